package localapi

import (
	"context"
	"fmt"
	"net/http"

	"dcpos/agent/checkout"
	"dcpos/pos"
)

type printOutput struct{ Body checkout.Print }

func printOut(p checkout.Print, err error) (*printOutput, error) {
	if err != nil {
		return nil, err
	}
	return &printOutput{Body: p}, nil
}

type receiptInput struct {
	PaymentPath
	KeyHeader
}

// printReceipt waits for the paper. Without a key each call asks anew.
func (a *API) printReceipt(ctx context.Context, in *receiptInput) (*printOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	return printOut(a.till.Print(ctx, checkout.PrintRequest{
		Caller: who(ctx).name, Key: in.Header, Kind: pos.PrintPayment, Payment: id,
	}))
}

// PrintRequest is the body that asks for a paper.
type PrintRequest struct {
	Key      string        `json:"key,omitempty" maxLength:"64" doc:"Unique per client for ever: the same key never prints twice"`
	Kind     pos.PrintKind `json:"kind" enum:"payment,self_test,receipt"`
	Payment  string        `json:"payment,omitempty" maxLength:"36" doc:"Payment id, of kind payment"`
	Receipt  *Receipt      `json:"receipt,omitempty" doc:"Of kind receipt: what to print, kept until it is"`
	Operator string        `json:"operator,omitempty" maxLength:"64" doc:"The client's own operator, where the till demands no sign-in"`
}

type printInput struct {
	KeyHeader
	Body PrintRequest
}

func (a *API) queuePrint(ctx context.Context, in *printInput) (*printOutput, error) {
	key, err := in.key(in.Body.Key)
	if err != nil {
		return nil, err
	}
	r := checkout.PrintRequest{Caller: who(ctx).name, Key: key, Kind: in.Body.Kind, Operator: in.Body.Operator}
	if in.Body.Payment != "" {
		if r.Payment, err = pos.ParsePaymentID(in.Body.Payment); err != nil {
			return nil, pos.FieldError(pos.ErrBadRequest, "payment", err)
		}
	}
	if in.Body.Receipt != nil {
		own, err := in.Body.Receipt.receipt()
		if err != nil {
			return nil, err
		}
		r.Receipt = &own
	}
	return printOut(a.till.QueuePrint(ctx, r))
}

// PrintPath names the print job in the path. It is exported for the sake of reflection.
type PrintPath struct {
	ID string `path:"id" maxLength:"36" doc:"Print job id"`
}

func (a *API) printJob(ctx context.Context, in *PrintPath) (*printOutput, error) {
	return printOut(a.till.PrintJob(ctx, in.ID))
}

type printsInput struct {
	Open  bool `query:"open" doc:"Only what is not over, in the order of the queue"`
	Limit int  `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

// PrintList is the answer to a list of print jobs.
type PrintList struct {
	Prints []checkout.Print `json:"prints"`
}

type printsOutput struct{ Body PrintList }

func (a *API) listPrints(ctx context.Context, in *printsInput) (*printsOutput, error) {
	list, err := a.till.PrintJobs(ctx, in.Open, in.Limit)
	if err != nil {
		return nil, err
	}
	return &printsOutput{Body: PrintList{Prints: list}}, nil
}

type answerInput struct {
	PrintPath
	Body struct {
		CameOut *bool `json:"came_out" doc:"Whether the whole paper came out: yes ends the job, no prints it again"`
	}
}

func (a *API) answerPrint(ctx context.Context, in *answerInput) (*printOutput, error) {
	if in.Body.CameOut == nil {
		return nil, pos.FieldError(pos.ErrBadRequest, "came_out", fmt.Errorf("want true or false"))
	}
	return printOut(a.till.AnswerPrint(ctx, who(ctx).name, in.ID, *in.Body.CameOut))
}

func (a *API) cancelPrint(ctx context.Context, in *PrintPath) (*printOutput, error) {
	return printOut(a.till.CancelPrint(ctx, who(ctx).name, in.ID))
}

func (a *API) registerPrints() {
	const one = "/v1/prints/{id}"
	post, get := http.MethodPost, http.MethodGet
	operation(a, "printReceipt", post, "/v1/payments/{id}/print", ScopePay, "Print the receipt as it is now, and wait for it", a.printReceipt)
	operationUpTo(a, maxReceiptBody, "queuePrint", post, "/v1/prints", ScopePay, "Owe a paper; it prints in its turn", a.queuePrint)
	operation(a, "listPrints", get, "/v1/prints", ScopeRead, "Print jobs, newest first", a.listPrints)
	operation(a, "printJob", get, one, ScopeRead, "One print job", a.printJob)
	operation(a, "answerPrint", post, one+"/answer", ScopePay, "Say whether a paper came out", a.answerPrint)
	operation(a, "cancelPrint", post, one+"/cancel", ScopePay, "Give a print job up", a.cancelPrint)
}
