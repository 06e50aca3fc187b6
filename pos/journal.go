package pos

// Draft is an entry before it has a place: the journal adds terminal, epoch,
// sequence number, environment and chain. Body is the kind's body type, by value.
type Draft struct {
	Kind         Kind
	Payment      PaymentID
	Operator     string
	At           Instant
	BusinessDate Date
	Body         any
	// Attachment, where there is one, is kept beside the journal in the same transaction,
	// under its SHA-256 in hexadecimal. It is not carried to the centre and not kept for
	// ever: only while a print job that is not over names it, and for a day.
	Attachment []byte
	// Secret, where there is one, is the sealed code of a payment that moves to Stored. It is
	// kept beside the journal in the same transaction, never in an entry, never carried
	// anywhere, and erased in the transaction in which the payment becomes final.
	Secret []byte
}

// JournalView is what a decision may look at while it holds the journal's only
// writer: what it reads cannot change before its drafts are written. The
// boolean tells whether there is such a thing.
type JournalView interface {
	Payment(id PaymentID) (Payment, bool, error)
	// PaymentByKey finds a payment by the caller's idempotency key, kept for ever.
	PaymentByKey(caller, key string) (Payment, bool, error)
	// RefundByKey finds a refund by its caller's key, with the payment it points at.
	RefundByKey(caller, key string) (Payment, RefundID, bool, error)
	// Order gives the order with its attempts, oldest first; an unknown order has none.
	Order(caller string, date Date, orderID string) (Order, error)
	// Stored is the offline money that the centre has not receipted.
	Stored() (StoredMoney, error)
	// WalletStored is the same for one wallet.
	WalletStored(wallet string) (StoredMoney, error)
	// WalletSince is what this till took of the wallet's evidence, or heard of it, since a
	// moment of the wall clock, receipted or not.
	WalletSince(wallet string, sinceMS int64) (StoredMoney, error)
	// Secret finds the sealed code of a payment that is stored.
	Secret(id PaymentID) ([]byte, bool, error)
	// Forwarded is what is stored at the merchant's risk and not decided, receipted or not.
	Forwarded() (StoredMoney, error)
	// EvidenceSeen finds the payment that took evidence with this wallet counter.
	EvidenceSeen(wallet string, counter uint64) (PaymentID, bool, error)
	// CodeSeen finds the payment that used the payment code of this keyed hash.
	CodeSeen(hash []byte) (PaymentID, bool, error)
	// PrintJob finds a print job by its id, PrintJobByKey by its caller's key, kept for ever.
	PrintJob(id string) (PrintJob, bool, error)
	PrintJobByKey(caller, key string) (PrintJob, bool, error)
	// Attachment finds what a draft attached, by its SHA-256 in hexadecimal. What was dropped
	// or does not have its hash any more is not found.
	Attachment(hash string) ([]byte, bool, error)
	// PrintJobsOf gives the print jobs of a payment, oldest first.
	PrintJobsOf(id PaymentID) ([]PrintJob, error)
	// OpenPrintJobs gives the jobs that are not over, oldest first: the queue.
	OpenPrintJobs() ([]PrintJob, error)
	// PrintJobs gives the latest jobs, newest first, limit at most.
	PrintJobs(limit int) ([]PrintJob, error)
}

// Outbox tells how far the centre is behind, for banners and for the gate before
// anything that could lose money.
type Outbox struct {
	Epoch     uint32      `json:"epoch"`
	Seq       uint64      `json:"seq"`       // last entry written
	Receipted uint64      `json:"receipted"` // last entry of this epoch that the centre has receipted
	Unsent    uint64      `json:"unsent"`    // entries without a receipt, all epochs
	Money     StoredMoney `json:"money"`     // evidence of wallets among them
	Forwarded StoredMoney `json:"forwarded"` // and what is stored at the merchant's risk, receipted or not
	Head      []byte      `json:"head"`
}
