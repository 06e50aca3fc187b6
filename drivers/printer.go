package drivers

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"dcpos/drivers/receipt"
)

// Tri is an answer to a yes-or-no question that a device may leave open. Silence
// is Unknown, never No.
type Tri uint8

// The three answers. The zero value is Unknown.
const (
	Unknown Tri = iota
	No
	Yes
)

// TriOf is Yes for true and No for false.
func TriOf(b bool) Tri {
	if b {
		return Yes
	}
	return No
}

// String is "unknown", "no" or "yes".
func (t Tri) String() string {
	switch t {
	case Unknown:
		return "unknown"
	case No:
		return "no"
	case Yes:
		return "yes"
	}
	return fmt.Sprintf("tri_%d", t)
}

// MarshalText implements encoding.TextMarshaler.
func (t Tri) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Reading is one answer and when it was given. An Unknown one that was never
// asked has the zero time.
type Reading struct {
	Value Tri       `json:"value"`
	At    time.Time `json:"at"`
}

// PrinterStatus is the last known answer to each question.
type PrinterStatus struct {
	Online       Reading `json:"online"`         // Yes: it answers and would print. No: it answers and would not, or it is gone
	CoverOpen    Reading `json:"cover_open"`     // the cover over the roll
	PaperEnd     Reading `json:"paper_end"`      // nothing to print on
	PaperNearEnd Reading `json:"paper_near_end"` // a metre or so is left
	CutterError  Reading `json:"cutter_error"`   // the cutter is stuck
	HeadHot      Reading `json:"head_hot"`       // it pauses and goes on by itself, mostly until the head has cooled
	Fault        Reading `json:"fault"`          // any other error that needs a person or a restart
	DrawerOpen   Reading `json:"drawer_open"`    // by the drawer's switch, where the profile says how it is wired
}

// Same reports whether both give the same answers, whenever they were given.
func (s PrinterStatus) Same(other PrinterStatus) bool {
	a, b := reflect.ValueOf(s), reflect.ValueOf(other)
	for i := range a.NumField() { // every question, also those that are added
		x, _ := a.Field(i).Interface().(Reading)
		y, _ := b.Field(i).Interface().(Reading)
		if x.Value != y.Value {
			return false
		}
	}
	return true
}

// PrintState is where a job ended. The states QUEUED → CLAIMED → SENDING → SENT are
// passed through inside Print; a job ends in one of the four below.
type PrintState string

// The states of a print job.
const (
	PrintQueued    PrintState = "QUEUED"    // waiting for the printer
	PrintClaimed   PrintState = "CLAIMED"   // the printer is ours; it is being asked how it is
	PrintSending   PrintState = "SENDING"   // some bytes have left
	PrintSent      PrintState = "SENT"      // all bytes have left
	PrintConfirmed PrintState = "CONFIRMED" // the printer said that all of it has been printed
	PrintUnknown   PrintState = "UNKNOWN"   // all of it left and nothing came back: neither printed nor failed
	PrintPaused    PrintState = "PAUSED"    // not (all) printed, for a Reason that a person can remove
	PrintCancelled PrintState = "CANCELLED" // the caller's context ended before the first byte left
)

// PauseReason says why a job paused.
type PauseReason string

// The reasons.
const (
	PausedCover   PauseReason = "cover"   // the cover is open
	PausedPaper   PauseReason = "paper"   // out of paper
	PausedError   PauseReason = "error"   // cutter, overheating or another fault
	PausedOffline PauseReason = "offline" // does not answer, does not take data, or is gone
)

// Code is the error code that belongs to the reason.
func (r PauseReason) Code() ErrorCode {
	switch r {
	case PausedCover:
		return ErrCoverOpen
	case PausedPaper:
		return ErrPaperEnd
	case PausedError:
		return ErrFailure
	case PausedOffline:
		return ErrOffline
	}
	return ErrFailure
}

// Confirmation says how a CONFIRMED is known.
type Confirmation string

// The ways, best first.
const (
	ConfirmedByJobID  Confirmation = "gs_h"    // the printer returned this job's own mark after printing (ESC/POS GS ( H, function 48)
	ConfirmedByStatus Confirmation = "gs_r"    // the printer answered a status command that it takes up in the order of printing (GS r)
	ConfirmedByNone   Confirmation = "nothing" // not confirmed
)

// PrintJob is one receipt to print.
type PrintJob struct {
	// ID names the job in logs and results; the caller journals it. It is not sent.
	ID string
	// Receipt is what to print.
	Receipt receipt.Receipt
	// Duplicate puts 补打 DUPLICATE above the receipt. Set it on every print after one
	// whose result had MayBeOnPaper.
	Duplicate bool
	// Patience is how long a job that stopped on the way (no paper, cover open, an error) waits
	// for a person to help, on printers that then print on from where they stopped (profile:
	// status.resume): one receipt, no duplicate. 0, or another printer: it ends as PAUSED at once.
	Patience time.Duration
	// Stopped, when set, is called with the reason when the job begins to wait so, again when
	// the reason changes, and with an empty reason when it goes on. It must not block.
	Stopped func(PauseReason)
}

// PrintResult is how a job ended.
type PrintResult struct {
	JobID       string       `json:"job_id"`
	State       PrintState   `json:"state"`
	Reason      PauseReason  `json:"reason,omitempty"` // only with PAUSED
	ConfirmedBy Confirmation `json:"confirmed_by"`
	BytesSent   int          `json:"bytes_sent"`
	BytesTotal  int          `json:"bytes_total"`
	// Resumed: the job stopped on the way, a person helped, and it went on.
	Resumed bool `json:"resumed,omitempty"`
	// Notes name what could not be printed as written, such as a rare character
	// printed as □; in English, for the journal.
	Notes []string  `json:"notes,omitempty"`
	At    time.Time `json:"at"`
}

// MayBeOnPaper reports whether a part of the job may be on paper, so that a further
// print of it has to be marked as a duplicate.
func (r PrintResult) MayBeOnPaper() bool { return r.BytesSent > 0 }

// POSPrinter is the UnifiedPOS category of receipt printers.
type POSPrinter interface {
	Device

	// Print prints one job and waits until it is CONFIRMED, UNKNOWN, PAUSED or CANCELLED;
	// jobs of several callers are printed one after the other. ctx bounds the whole.
	//
	// The result is always filled in. The error is nil for CONFIRMED and UNKNOWN; for
	// PAUSED and CANCELLED it is a *pos.Error that says what to do (errors.Is finds
	// ErrCoverOpen, ErrPaperEnd, ErrFailure, ErrOffline or the context's error; beside
	// ErrOffline also ErrNoHardware when the port is gone and must be claimed anew), and for
	// a receipt that can never be printed ErrIllegal or ErrTooBig. Printing the same job
	// again prints it again: whether that is wanted is the caller's to know.
	Print(ctx context.Context, job PrintJob) (PrintResult, error)

	// Status asks the printer and returns what it answered; what it left open is Unknown.
	// ErrOffline: it answers nothing. ErrNoHardware: its port is gone; only Release and
	// Claim (or closing and opening anew) help.
	Status(ctx context.Context) (PrinterStatus, error)

	// Snapshot is the last known status, without asking.
	Snapshot() PrinterStatus

	// Columns is how many Latin characters of normal size fit a line.
	Columns() int
}

// CashDrawer is the UnifiedPOS category of cash drawers. A drawer without a port of
// its own hangs on a printer, whose driver implements this too.
type CashDrawer interface {
	// OpenDrawer gives the opening pulse. ErrIllegal: the profile has no drawer.
	// ErrOffline: the pulse may not have been given.
	OpenDrawer(ctx context.Context) error

	// DrawerOpened asks the drawer's switch. Unknown when there is none, or its wiring is
	// not known.
	DrawerOpened(ctx context.Context) (Reading, error)
}
