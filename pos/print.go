package pos

import (
	"encoding/hex"
	"fmt"
)

// PrintKind says what a print job puts on paper.
type PrintKind string

// The kinds of print job.
const (
	PrintPayment  PrintKind = "payment"   // the receipt of a payment, as the payment is when it prints
	PrintSelfTest PrintKind = "self_test" // the ticket that shows what printer and till can do
	PrintReceipt  PrintKind = "receipt"   // a paper that its caller laid out; the job names its content by hash
)

// Valid reports whether k is a kind.
func (k PrintKind) Valid() bool { return k == PrintPayment || k == PrintSelfTest || k == PrintReceipt }

// PrintState is how a print job stands. The words are those of the printer's driver.
type PrintState string

// The states of a print job.
const (
	PrintQueued    PrintState = "QUEUED"    // owed; nothing of this try has left
	PrintSending   PrintState = "SENDING"   // journaled before the first byte leaves: from now on something may be on paper
	PrintConfirmed PrintState = "CONFIRMED" // the printer, or a person, has said that all of it is on paper
	PrintUnknown   PrintState = "UNKNOWN"   // it left, and nobody has said whether it came out
	PrintPaused    PrintState = "PAUSED"    // not all printed, for a Reason that a person can remove
	PrintCancelled PrintState = "CANCELLED" // given up, or it can never be printed
)

// Next lists the states that may follow.
func (s PrintState) Next() []PrintState {
	switch s {
	case PrintQueued:
		return []PrintState{PrintSending, PrintPaused, PrintCancelled}
	case PrintSending:
		return []PrintState{PrintConfirmed, PrintUnknown, PrintPaused, PrintQueued, PrintCancelled}
	case PrintUnknown:
		return []PrintState{PrintConfirmed, PrintQueued, PrintCancelled}
	case PrintPaused:
		return []PrintState{PrintSending, PrintPaused, PrintConfirmed, PrintQueued, PrintCancelled}
	case PrintConfirmed, PrintCancelled:
		return nil
	}
	return nil
}

// Final reports that nothing follows.
func (s PrintState) Final() bool { return s == PrintConfirmed || s == PrintCancelled }

// CheckPrintMove returns an ErrIllegalMove when to may not follow from; "" stands
// before the first state, QUEUED.
func CheckPrintMove(from, to PrintState) error {
	if from == "" && to == PrintQueued {
		return nil
	}
	for _, n := range from.Next() {
		if n == to {
			return nil
		}
	}
	return NewError(ErrIllegalMove, fmt.Errorf("print job may not go from %q to %q", from, to))
}

// ReasonOld is the Reason of a job that waited so long that it does not print by
// itself any more. The other reasons are the printer's: cover, paper, error, offline.
const ReasonOld = "old"

// isHash reports whether s is a SHA-256 in hexadecimal.
func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

// PrintJob is one paper that the till owes, as the entries of its journal say. It is a
// projection: Take is the only way it changes.
type PrintJob struct {
	ID        string     `json:"id"`
	Kind      PrintKind  `json:"kind,omitempty"` // empty: of a till that journaled outcomes only; nothing is owed
	Payment   PaymentID  `json:"payment,omitzero"`
	Caller    string     `json:"caller,omitempty"`
	Key       string     `json:"key,omitempty"`     // the caller's, unique per caller for ever
	Content   string     `json:"content,omitempty"` // of PrintReceipt: the SHA-256 of what it prints, hexadecimal
	State     PrintState `json:"state"`
	Reason    string     `json:"reason,omitempty"` // why it is PAUSED
	Ask       bool       `json:"ask,omitempty"`    // it waits for a person's word and does nothing by itself
	OnPaper   bool       `json:"on_paper,omitempty"`
	Duplicate bool       `json:"duplicate,omitempty"` // its last paper was marked 补打 DUPLICATE
	Shows     State      `json:"shows,omitempty"`     // the payment's state that its last paper tells
	Detail    string     `json:"detail,omitempty"`
	Operator  string     `json:"operator"` // who asked for it
	CreatedMS int64      `json:"created_ms"`
	QueuedMS  int64      `json:"queued_ms"` // when it was owed anew: its age counts from here
	UpdatedMS int64      `json:"updated_ms"`
	LastSeq   uint64     `json:"last_seq"`
}

// Open reports that the job is not over: it prints when it can, or waits for a word.
func (j PrintJob) Open() bool {
	return j.Kind != "" && !j.State.Final() && (j.State != PrintUnknown || j.Ask)
}

// Take folds a print entry. j is the job as it stood before, zero for the first.
// Entries without a kind are of tills that journaled the outcome alone.
func (j PrintJob) Take(e Entry, b Printed) (PrintJob, error) {
	if b.Kind == "" {
		if j.Kind != "" {
			return j, NewError(ErrIllegalMove, fmt.Errorf("entry %d: print job %s has a kind", e.Seq, j.ID))
		}
		return PrintJob{
			ID: b.Job, Payment: e.Payment, State: PrintState(b.Result), OnPaper: PrintState(b.Result) != PrintCancelled,
			Duplicate: b.Duplicate, Detail: b.Detail, Operator: e.Operator,
			CreatedMS: e.At.WallMS, QueuedMS: e.At.WallMS, UpdatedMS: e.At.WallMS, LastSeq: e.Seq,
		}, nil
	}
	to := PrintState(b.Result)
	if err := CheckPrintMove(j.State, to); err != nil {
		return j, err
	}
	if j.State == "" {
		if b.Job == "" || !b.Kind.Valid() || (b.Kind == PrintPayment) == e.Payment.IsZero() || b.Caller == "" || !label(b.Key, MaxKey) {
			return j, FieldError(ErrBadRequest, "job", fmt.Errorf("entry %d: print job without id, kind, caller or key", e.Seq))
		}
		if (b.Kind == PrintReceipt) != isHash(b.Content) || b.Kind != PrintReceipt && b.Content != "" {
			return j, FieldError(ErrBadRequest, "content", fmt.Errorf("entry %d: a receipt has the hash of its content, others have none", e.Seq))
		}
		j = PrintJob{
			ID: b.Job, Kind: b.Kind, Payment: e.Payment, Caller: b.Caller, Key: b.Key, Content: b.Content, Operator: e.Operator,
			CreatedMS: e.At.WallMS,
		}
	}
	if b.Job != j.ID || b.Kind != j.Kind || e.Payment != j.Payment {
		return j, FieldError(ErrBadRequest, "job", fmt.Errorf("entry %d: print job %s is another one", e.Seq, b.Job))
	}
	if to == PrintQueued && j.State != PrintSending { // owed at first, or anew by a person's word
		j.QueuedMS = e.At.WallMS
	}
	j.State, j.Reason, j.Ask, j.Detail = to, b.Reason, b.Ask, b.Detail
	j.OnPaper = j.OnPaper || b.OnPaper || to == PrintConfirmed || to == PrintUnknown
	if to == PrintSending {
		j.Shows, j.Duplicate = b.Shows, b.Duplicate
	}
	j.UpdatedMS, j.LastSeq = e.At.WallMS, e.Seq
	return j, nil
}
