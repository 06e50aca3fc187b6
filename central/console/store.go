package console

import (
	"context"
	"time"

	"dcpos/pos"
)

// Store is what the pages read, and what signing in needs.
type Store interface {
	Accounts
	Sessions
	// Tills lists terminals by name, those after the given one.
	Tills(ctx context.Context, after string, limit int) ([]Till, error)
	// Day counts the payments of a business date by state, as the tills' journals say.
	Day(ctx context.Context, date pos.Date) ([]StateTotal, error)
	// Open counts what the centre is still asking about.
	Open(ctx context.Context) (Open, error)
	Payments(ctx context.Context, f Filter) ([]PaymentLine, error)
	Payment(ctx context.Context, id pos.PaymentID) (PaymentDetail, bool, error)
	// DoubleSpends lists counters under which a wallet has signed several statements, the newest
	// first, below the number before (0: from the end).
	DoubleSpends(ctx context.Context, before int64, limit int) ([]DoubleSpend, error)
	// Excesses lists wallets that signed beyond their class over all tills, the newest first, below the
	// number before (0: from the end).
	Excesses(ctx context.Context, before int64, limit int) ([]Excess, error)
	// Journeys lists wallets that were at two stores between which nobody travels in the time, the newest first, below
	// the number before (0: from the end).
	Journeys(ctx context.Context, before int64, limit int) ([]Journey, error)
	// Revocations lists what people did about wallets, the newest first.
	Revocations(ctx context.Context, limit int) ([]Revocation, error)
	// AuditLog lists the trail, newest first, below the number before (0: from the end).
	AuditLog(ctx context.Context, before int64, limit int) ([]AuditLine, error)
}

// Till is a terminal as the overview shows it.
type Till struct {
	ID        string
	Merchant  string
	Shop      string
	Class     string
	State     string // active, quarantined, suspended
	Reason    string
	Epoch     uint32
	ContactMS int64  // when it was last heard; 0 never
	Kept      uint64 // last entry of the open epoch that the centre keeps
	GapFrom   uint64 // first missing entry; 0 none
	Unsent    uint64 // entries that the till has and the centre lacks, as last told
	Version   string
}

// StateTotal is how many payments are in a state, and their sum.
type StateTotal struct {
	State  pos.State `json:"state"`
	Count  int64     `json:"count"`
	Amount pos.Money `json:"amount"`
}

// Open is what waits for an institution.
type Open struct {
	Payments int64 `json:"payments"`
	Refunds  int64 `json:"refunds"`
	OldestMS int64 `json:"oldest_ms"` // when the oldest of them began; 0 none
}

// Filter selects payments; empty fields select all. Date is a business date.
type Filter struct {
	ID       string // whole, or its last digits as on the receipt
	Terminal string
	State    pos.State
	Date     pos.Date
	Limit    int
}

// PaymentLine is a payment in a list. Till is the journal's state, Centre the centre's;
// either may be empty.
type PaymentLine struct {
	ID             string
	Terminal       string
	Merchant       string
	Amount         pos.Money
	Till           pos.State
	Centre         pos.State
	Institution    string
	BusinessDate   pos.Date
	SettlementDate pos.Date
	CreatedMS      int64
}

// PaymentDetail is all that is known of a payment.
type PaymentDetail struct {
	PaymentLine
	Mode      pos.Mode
	Reason    pos.Code
	Detail    string
	Txn       string
	Envelope  pos.Money
	LatePaid  bool
	Lost      bool // stored at the merchant's risk, and not charged
	NextMS    int64
	Step      int
	OrderID   string
	Operator  string
	UpdatedMS int64
	// Settled is where the money stands: empty before its line of a statement was matched, waiting until the net
	// credit of its date has arrived and agrees, settled then.
	Settled   pos.SettlementState
	SettledMS int64 // when it became so
	Refunds   []RefundLine
	Entries   []EntryLine
}

// RefundLine is one refund of a payment.
type RefundLine struct {
	ID        string
	State     pos.RefundState
	Amount    pos.Money
	Auto      bool
	Operator  string
	Reason    pos.Code
	Txn       string
	Date      pos.Date
	Envelope  pos.Money // the part that went back to envelopes; the rest was own money
	Recalled  pos.Money // of Envelope: what the fund takes back
	UpdatedMS int64
}

// EntryLine is one journal entry that names a payment.
type EntryLine struct {
	pos.Position
	Branch   int
	Kind     pos.Kind
	Operator string
	WallMS   int64
	Text     string // such as "asking → paid"
	Late     bool
	Fault    string
}

// DoubleSpend is a counter of a wallet with more than one statement: each side is a signed proof.
type DoubleSpend struct {
	Number      int64
	Institution string
	Wallet      string
	Counter     uint64
	FoundMS     int64
	Sides       []SpentSide // the first seen first
}

// SpentSide is one of the statements, and where its money stands.
type SpentSide struct {
	Payment  string
	Terminal string
	Amount   pos.Money
	SeenMS   int64
	Apart    bool      // of a forked or incomplete journal: the money is in suspense there
	State    pos.State // the centre's word; empty while it is apart
	Waits    bool      // for the institution's word on another side
	Held     bool      // for two people's word on its envelopes
	Decided  string    // what people decided about a conflict: credit, write_off; empty: nothing yet
	Evidence []byte    // canonical bytes
}

// Excess is what a wallet has signed, over all tills, beyond a cap of its class. The payments are as others are.
type Excess struct {
	Number      int64
	Institution string
	Wallet      string
	Class       int // 0: its certificate tells none
	Cap         pos.Text
	Period      string // the day or the year in which it was passed
	Most        pos.Money
	Sum         pos.Money
	Count       int
	Policy      uint64 // the version whose cap it is; 0: not told
	FoundMS     int64
	Parts       []ExcessPart // the last ones of the sum
}

// ExcessPart is one of the payments that were added up.
type ExcessPart struct {
	Payment  string
	Terminal string
	Amount   pos.Money
	SignedMS int64
	State    pos.State // the centre's word
}

// Journey is a wallet that was at two stores between which it cannot have been carried. The payments are as others are.
type Journey struct {
	Number      int64
	Institution string
	Wallet      string
	Metres      int64         // from one store to the other
	Most        time.Duration // the longest time that can lie between
	Travel      pos.Travel    // what was held possible
	FoundMS     int64
	Stops       []Stop // two, in the order of the tills' clocks
}

// Speed is how fast the wallet would have to be carried at least, in km/h; 0 when there is no time at all.
func (j Journey) Speed() int64 {
	if ms := j.Most.Milliseconds(); ms > 0 {
		return j.Metres * 3600 / ms
	}
	return 0
}

// Stop is one of the two places.
type Stop struct {
	Payment  string
	Terminal string
	Store    pos.Text // as it is called now
	District string
	At       string // latitude and longitude when it was found
	Amount   pos.Money
	Time     pos.Interval
	State    pos.State // the centre's word
}

// Revocation is a wallet that people here have revoked, or ask to.
type Revocation struct {
	Institution string
	Wallet      string
	State       string // proposed, revoked, rejected, lifted
	Text        pos.Text
	Reason      string
	ProposedBy  string
	ProposedMS  int64
	ClosedBy    string
	ClosedMS    int64
}

// AuditLine is one line of the trail.
type AuditLine struct {
	Number  int64
	AtMS    int64
	Actor   string
	What    string
	Subject string
	Detail  string
}

// Runs are the reconciliation runs; whoever runs them implements it.
type Runs interface {
	// Runs lists runs, newest first.
	Runs(ctx context.Context, limit int) ([]Run, error)
	// Asks lists the dates that were asked for, newest first.
	Asks(ctx context.Context, limit int) ([]RunAsk, error)
	// Breaks lists the breaks of a run; pos.ErrNotFound for an unknown run.
	Breaks(ctx context.Context, run string, limit int) (Run, []Break, error)
}

// RunAsk is a settlement date that the serving centre was asked to reconcile.
type RunAsk struct {
	Date   pos.Date `json:"date"`
	Number int64    `json:"number"` // grows each time the date is asked for
	By     string   `json:"by"`     // an account, "hour" or "correction"
	AtMS   int64    `json:"at_ms"`
	DueMS  int64    `json:"due_ms"` // when it is tried next; 0: answered
	Tries  int      `json:"tries"`
	Lacks  pos.Text `json:"lacks,omitzero"` // what the last try lacked, or how it failed
}

// Run is one reconciliation of a settlement date.
type Run struct {
	ID      string          `json:"id"`
	Date    pos.Date        `json:"date"`
	Started time.Time       `json:"started"`
	Summary string          `json:"summary"` // path of summary.json
	Matched int64           `json:"matched"`
	Breaks  int64           `json:"breaks"`
	Closes  bool            `json:"closes"`  // the money proof
	Waiting []string        `json:"waiting"` // institutions whose statement was not there
	Rules   string          `json:"rules"`
	Files   []StatementFile `json:"files"`
}

// StatementFile is what became of one institution's statement.
type StatementFile struct {
	Institution string   `json:"institution"`
	Account     bool     `json:"account"` // the settlement account's statement
	Verdict     pos.Text `json:"verdict"`
	Tone        string   `json:"-"`
	Lines       int64    `json:"lines"`
	Hash        string   `json:"hash"`
	Reason      pos.Text `json:"reason"`
}

// Break is one line of breaks.csv.
type Break struct {
	Kind        pos.BreakKind
	Txn         string
	Bank        string
	Merchant    string
	Ours        string // yuan; empty when that side has no line
	Theirs      string
	OursStatus  string
	TheirStatus string
	Field       string
	OursValue   string
	TheirsValue string
}

// Actions are what a person may do here; the nouns that own them do them, and write
// them into the audit trail under the name of the account.
type Actions struct {
	// IssueCode makes an enrolment code for devices of a store.
	IssueCode func(ctx context.Context, r CodeRequest) (code string, expires time.Time, err error)
	// Release makes a quarantined terminal active again.
	Release func(ctx context.Context, terminal, reason, by string) error
	// Policies lists what tills may accept offline as it was published, newest first.
	Policies func(ctx context.Context) ([]Policy, error)
	// Publish puts limits in force for the fleet, or one store or terminal, from an instant on.
	Publish func(ctx context.Context, p pos.Policy, by string) (version uint64, err error)
	// ProposeRevocation asks for a wallet to be revoked, DecideRevocation is a second person's word on it, and
	// LiftRevocation takes the wallet off the list again. nil: wallets are not revoked here.
	ProposeRevocation func(ctx context.Context, institution, wallet, reason, by string) error
	DecideRevocation  func(ctx context.Context, institution, wallet string, confirm bool, by string) error
	LiftRevocation    func(ctx context.Context, institution, wallet, by string) error
	Take              Take // nil: files are not taken here
	// Reconcile has the serving centre reconcile a settlement date; nil: it cannot be asked.
	Reconcile func(ctx context.Context, date pos.Date, by string) (RunAsk, error)
}

// Policy is a published policy and who published it.
type Policy struct {
	pos.Policy
	By   string
	AtMS int64
}

// CodeRequest asks for an enrolment code. With Terminal set it opens the terminal's
// next epoch for EpochReason.
type CodeRequest struct {
	Shop        string
	Class       string
	Devices     int
	Terminal    string
	EpochReason pos.EpochReason
	By          string
}
