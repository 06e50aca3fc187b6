package pos

// Kind says what a journal entry records. The values are a contract
// (docs/PROTOCOL.md, "journal"); unknown kinds are kept and passed on.
type Kind string

// The kinds of entry. One journal holds all of them.
const (
	KindEpochOpened    Kind = "epoch_opened"      // first entry of an epoch; body EpochOpened
	KindPaymentCreated Kind = "payment_created"   // body PaymentCreated
	KindPaymentMoved   Kind = "payment_moved"     // body PaymentMoved
	KindLatePaid       Kind = "payment_late_paid" // money came for an abandoned payment; body LatePaid
	KindRefundMoved    Kind = "refund_moved"      // body RefundMoved
	KindOrderConfirmed Kind = "order_confirmed"   // a cashier allowed an attempt beside an unknown one; body OrderConfirmed
	KindPrint          Kind = "print"             // body Printed
	KindDrawer         Kind = "drawer_opened"     // body DrawerOpened
	KindShift          Kind = "shift"             // body Shift
	KindClockJump      Kind = "clock_jump"        // body ClockJump
	KindConfig         Kind = "config_changed"    // body ConfigChanged
	KindCheckpoint     Kind = "checkpoint"        // entries before it were forgotten; body Checkpoint
)

// Money reports that the entry moves or promises money; its chain head is
// signed in the transaction that writes it.
func (k Kind) Money() bool {
	switch k {
	case KindPaymentCreated, KindPaymentMoved, KindLatePaid, KindRefundMoved, KindEpochOpened:
		return true
	case KindOrderConfirmed, KindPrint, KindDrawer, KindShift, KindClockJump, KindConfig, KindCheckpoint:
		return false
	}
	return false
}

// Position names one entry: the journal key (terminal, epoch, seq).
type Position struct {
	Terminal string `json:"terminal"`
	Epoch    uint32 `json:"epoch"`
	Seq      uint64 `json:"seq"` // from 1, without gaps
}

// Instant is time as evidence, not a number: what the till's clocks said, in
// which boot, and the last time the centre had signed. With the entry's place in
// the chain the centre judges an interval from it.
type Instant struct {
	WallMS   int64  `json:"wall_ms"`   // Unix milliseconds of the wall clock
	MonoMS   int64  `json:"mono_ms"`   // milliseconds since boot
	BootID   string `json:"boot_id"`   // /proc/sys/kernel/random/boot_id
	CentreMS int64  `json:"centre_ms"` // last centre time that came signed; 0 before the first
}

// Entry is one record of the journal. Body is the canonical encoding of the
// kind's body type (pos/dcep); Hash covers every other field but Sig, Prev
// included; Sig signs the head that Hash is.
type Entry struct {
	Position
	Env          Environment `json:"env"`
	Kind         Kind        `json:"kind"`
	Payment      PaymentID   `json:"payment,omitzero"`
	Operator     string      `json:"operator"` // operator number; "system" for what no person did
	At           Instant     `json:"at"`
	BusinessDate Date        `json:"business_date"`
	Body         []byte      `json:"body"`
	Prev         []byte      `json:"prev"`
	Hash         []byte      `json:"hash"`
	Sig          []byte      `json:"sig,omitempty"`
}

// OperatorSystem is the operator of entries that no person caused.
const OperatorSystem = "system"

// EpochReason says why an epoch was opened.
type EpochReason string

// The reasons for a new epoch.
const (
	EpochEnrolled EpochReason = "enrolled"
	EpochRestored EpochReason = "restored"
	EpochForked   EpochReason = "forked"
	EpochKey      EpochReason = "key_changed"
	EpochDamaged  EpochReason = "damaged"
)

// EpochOpened is the first entry of every epoch. It names the head before it, so
// that the epochs of a terminal are one chain.
type EpochOpened struct {
	Reason    EpochReason `json:"reason"`
	Suite     string      `json:"suite"`
	PublicKey []byte      `json:"public_key"` // the suite's public form
	Merchant  string      `json:"merchant"`
	Store     string      `json:"store"`
	PrevEpoch uint32      `json:"prev_epoch,omitempty"`
	PrevSeq   uint64      `json:"prev_seq,omitempty"`
	PrevHead  []byte      `json:"prev_head,omitempty"`
}

// PaymentCreated names a payment before anyone is asked for money.
type PaymentCreated struct {
	OrderID     string `json:"order_id"`
	OrderAmount Money  `json:"order_amount"`
	Amount      Money  `json:"amount"`
	Mode        Mode   `json:"mode"`
	Caller      string `json:"caller"`    // who asked: "screen", or the name of an API client
	Key         string `json:"key"`       // the caller's idempotency key, kept for ever
	BodyHash    string `json:"body_hash"` // hash of the request: same key + other body = conflict
	Attempt     int    `json:"attempt"`   // 1 for the order's first
	Note        string `json:"note,omitempty"`
}

// PaymentMoved takes a payment from one state to the next.
type PaymentMoved struct {
	From           State  `json:"from"`
	To             State  `json:"to"`
	Reason         Code   `json:"reason,omitempty"`
	Source         string `json:"source"` // "till", "centre" or "wallet"
	Institution    string `json:"institution,omitempty"`
	InstitutionTxn string `json:"institution_txn,omitempty"`
	SettlementDate Date   `json:"settlement_date,omitempty"`
	ExpiresMS      int64  `json:"expires_ms,omitempty"` // of the question or of the QR
	QR             string `json:"qr,omitempty"`         // what the customer scans; stored to be shown again
	CodeHash       []byte `json:"code_hash,omitempty"`  // keyed hash of the payment code, never the code
	Evidence       []byte `json:"evidence,omitempty"`   // the wallet's signed statement, whole
	Wallet         string `json:"wallet,omitempty"`     // the wallet's certificate serial
	Counter        uint64 `json:"counter,omitempty"`    // the wallet's own counter
	Envelope       Money  `json:"envelope,omitempty"`   // the part paid from red envelopes
	Instrument     string `json:"instrument,omitempty"` // of what was stored: the institution's name of it

	// Of evidence that was taken and of what was stored: where the true time lay, as the till could prove it, and
	// the version of the policy by which it was taken.
	Time   *Interval `json:"time,omitempty"`
	Policy uint64    `json:"policy,omitempty"`
}

// LatePaid records money that arrived for an abandoned payment; a refund of its own follows by itself.
type LatePaid struct {
	Institution    string   `json:"institution"`
	InstitutionTxn string   `json:"institution_txn"`
	SettlementDate Date     `json:"settlement_date"`
	RefundID       RefundID `json:"refund_id"`
}

// RefundMoved takes a refund from one state to the next; its first entry carries amount and key.
type RefundMoved struct {
	RefundID    RefundID    `json:"refund_id"`
	From        RefundState `json:"from"`
	To          RefundState `json:"to"`
	Amount      Money       `json:"amount"`
	Caller      string      `json:"caller"`
	Key         string      `json:"key"`
	BodyHash    string      `json:"body_hash"`
	Reason      Code        `json:"reason,omitempty"`
	Auto        bool        `json:"auto,omitempty"` // of a late payment, by the centre
	Institution string      `json:"institution,omitempty"`
	RefundTxn   string      `json:"refund_txn,omitempty"`
	Date        Date        `json:"settlement_date,omitempty"`
	Envelope    Money       `json:"envelope,omitempty"` // of a refund that is done: the part that goes back to red envelopes
	Recalled    Money       `json:"recalled,omitempty"` // the part of Envelope that the fund takes back: it is over
}

// OrderConfirmed is the cashier's journaled yes to another attempt while one is unknown.
type OrderConfirmed struct {
	OrderID string      `json:"order_id"`
	Unknown []PaymentID `json:"unknown"`
}

// Printed takes a print job from one state to the next. Paper never undoes money.
// Entries without a kind are of tills that journaled only what became of a receipt.
type Printed struct {
	Job       string `json:"job"`
	Result    string `json:"result"`              // the PrintState that the job is in now
	Duplicate bool   `json:"duplicate,omitempty"` // the paper is marked 补打 DUPLICATE
	Detail    string `json:"detail,omitempty"`

	Kind    PrintKind `json:"kind,omitempty"`
	Caller  string    `json:"caller,omitempty"`   // of the first entry: who asked, as in PaymentCreated
	Key     string    `json:"key,omitempty"`      // likewise: the caller's idempotency key, kept for ever
	Content string    `json:"content,omitempty"`  // likewise, of a receipt that the caller laid out: its SHA-256, hexadecimal
	Shows   State     `json:"shows,omitempty"`    // with SENDING: the payment's state that the paper tells
	Reason  string    `json:"reason,omitempty"`   // with PAUSED: cover, paper, error, offline, old
	OnPaper bool      `json:"on_paper,omitempty"` // some of it may be on paper
	Ask     bool      `json:"ask,omitempty"`      // from here only a person's word leads on
}

// DrawerOpened records a kick of the cash drawer.
type DrawerOpened struct {
	Reason string `json:"reason"`
}

// Shift is an operator's sign-in or sign-out.
type Shift struct {
	Operator string `json:"operator"`
	In       bool   `json:"in"`
}

// ClockJump records that the wall clock moved otherwise than the monotonic one.
type ClockJump struct {
	ByMS int64 `json:"by_ms"`
}

// ConfigChanged names a configuration or policy by hash.
type ConfigChanged struct {
	What    string `json:"what"`
	Version uint64 `json:"version,omitempty"`
	Hash    string `json:"hash"`
}

// Checkpoint says up to where a till has forgotten entries that the centre has receipted,
// and what they left: verification starts here.
type Checkpoint struct {
	Epoch     uint32 `json:"epoch"` // the last entry that was forgotten
	Seq       uint64 `json:"seq"`
	Head      []byte `json:"head"`
	Suite     string `json:"suite"` // of that epoch's key
	PublicKey []byte `json:"public_key"`
	Epochs    uint64 `json:"epochs"`  // that were opened so far
	Entries   uint64 `json:"entries"` // that were forgotten so far
	Carried   []byte `json:"carried"` // hash over what they said of payments and print jobs, as table carried keeps it
	Receipt   []byte `json:"receipt"` // the centre's receipt for exactly this place: the licence
	// Configs are the highest versions that the forgotten entries named of each configuration, by
	// What: a till that has forgotten when it took a policy still refuses an older one.
	Configs []ConfigVersion `json:"configs,omitempty"`
}

// ConfigVersion is the highest version of a configuration or policy that a till has taken.
type ConfigVersion struct {
	What    string `json:"what"`
	Version uint64 `json:"version"`
}
