package sdk

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"dcpos/pos"
)

// PrintJob is one paper that the till owes or has printed, with its words. State tells
// how it stands; Ask that it waits for AnswerPrint or CancelPrint.
type PrintJob struct {
	pos.PrintJob
	Text pos.Text `json:"text"`
	Hint pos.Text `json:"hint,omitzero"`
}

func (c *Client) printCall(ctx context.Context, k call) (PrintJob, error) {
	var j PrintJob
	err := c.do(ctx, k, &j)
	return j, err
}

// Print prints the receipt as it is now and waits for the paper. Each call asks anew:
// while an earlier print of the payment is not over it is taken up, otherwise the
// receipt is printed once more, marked as a duplicate. It is sent once.
func (c *Client) Print(ctx context.Context, id pos.PaymentID) (PrintJob, error) {
	return c.printCall(ctx, call{method: http.MethodPost, path: at(id, "/print"), once: true})
}

// PrintRequest asks for one paper.
type PrintRequest struct {
	Key      string         `json:"key,omitempty"` // idempotency key; empty: drawn, and returned in PrintJob.Key
	Kind     pos.PrintKind  `json:"kind"`
	Payment  *pos.PaymentID `json:"payment,omitempty"` // of pos.PrintPayment
	Receipt  *Receipt       `json:"receipt,omitempty"` // of pos.PrintReceipt
	Operator string         `json:"operator,omitempty"`
}

// QueuePrint has the till owe a paper, and returns at once; PrintJob and EventPrint tell
// what becomes of it. The same key never prints a second paper, whatever restarts in
// between; with other content it is refused (pos.ErrKeyConflict).
func (c *Client) QueuePrint(ctx context.Context, r PrintRequest) (PrintJob, error) {
	if r.Key == "" {
		r.Key = NewKey()
	}
	return c.printCall(ctx, call{method: http.MethodPost, path: "/v1/prints", body: r})
}

// PrintJob reads one print job.
func (c *Client) PrintJob(ctx context.Context, id string) (PrintJob, error) {
	return c.printCall(ctx, call{method: http.MethodGet, path: "/v1/prints/" + url.PathEscape(id)})
}

// PrintJobs lists print jobs: the latest first, limit of them (1 to 200; 0 is 50), or with
// open all that are not over, in the order of the queue.
func (c *Client) PrintJobs(ctx context.Context, open bool, limit int) ([]PrintJob, error) {
	v := url.Values{}
	if open {
		v.Set("open", "true")
	}
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	var out struct {
		Prints []PrintJob `json:"prints"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/prints?" + v.Encode()}, &out)
	return out.Prints, err
}

// AnswerPrint is a person's word on whether the whole paper came out. No prints it
// again. It is sent once, because a second no may mean a second paper.
func (c *Client) AnswerPrint(ctx context.Context, id string, cameOut bool) (PrintJob, error) {
	return c.printCall(ctx, call{
		method: http.MethodPost, path: "/v1/prints/" + url.PathEscape(id) + "/answer", body: map[string]bool{"came_out": cameOut}, once: true,
	})
}

// CancelPrint gives a print job up.
func (c *Client) CancelPrint(ctx context.Context, id string) (PrintJob, error) {
	return c.printCall(ctx, call{method: http.MethodPost, path: "/v1/prints/" + url.PathEscape(id) + "/cancel"})
}
