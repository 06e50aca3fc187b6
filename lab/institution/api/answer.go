package api

import "dcpos/pos"

// Status is where the institution says a request stands.
type Status string

// The statuses. Failed is a final no; NotFound is answered to queries only and
// says that no such request has arrived up to now.
const (
	Success   Status = "S"
	Failed    Status = "F"
	InProcess Status = "P"
	NotFound  Status = "N"
)

// Reasons of a Failed answer beside the codes of pos that are used as they are:
// expired, code_used, bad_code, insufficient_funds, declined, not_found,
// not_refundable, refund_too_much.
const (
	ReasonOK           = "ok"
	ReasonExpiredCode  = "expired_code" // the payment code is older than a minute
	ReasonAlreadyPaid  = "already_paid" // another wallet paid this order
	ReasonDoubleSpend  = "double_spend"
	ReasonBadSignature = "bad_signature"
	ReasonRevoked      = "revoked"
	ReasonUnknown      = "unknown_wallet"
)

// Error codes of answers that are not about a payment.
const (
	CodeUnauthorized = "unauthorized"
	CodeUnavailable  = "unavailable"
	CodeNotReady     = "not_ready"
)

// Result answers payments, evidence, and queries of payments and orders.
type Result struct {
	Status         Status    `json:"status"`
	TxnID          string    `json:"txn_id,omitempty"` // the institution's own number
	Reason         string    `json:"reason,omitempty"`
	SettlementDate pos.Date  `json:"settlement_date,omitempty"`
	Fee            pos.Money `json:"fee_fen"`
	Envelope       pos.Money `json:"envelope_fen"` // red-envelope part of the amount
	WalletHint     string    `json:"wallet_hint,omitempty"`
	Envelopes      []Share   `json:"envelopes,omitempty"` // of it by name, in the order of spending
}

// OrderResult answers POST /orders; Reason is set only with Failed.
type OrderResult struct {
	Status       Status `json:"status"`
	QR           string `json:"qr,omitempty"`
	ValidUntilMS int64  `json:"valid_until_ms"`
	Reason       string `json:"reason,omitempty"`
}

// RefundResult answers refunds and their queries.
type RefundResult struct {
	Status         Status   `json:"status"`
	TxnID          string   `json:"txn_id,omitempty"`
	Reason         string   `json:"reason,omitempty"`
	SettlementDate pos.Date `json:"settlement_date,omitempty"`

	Envelope  pos.Money `json:"envelope_fen,omitempty"` // what went back to envelopes
	Envelopes []Share   `json:"envelopes,omitempty"`    // of it by name
}

// WalletOpened answers POST /wallets.
type WalletOpened struct {
	WalletID    string `json:"wallet_id"`
	Certificate []byte `json:"certificate"` // DER
}

// Balance answers GET /wallets/{id}.
type Balance struct {
	Balance  pos.Money `json:"balance_fen"`
	Envelope pos.Money `json:"envelope_fen"` // the named ones included

	Envelopes []HeldEnvelope `json:"envelopes,omitempty"`
}

// CodeIssued answers POST /wallets/{id}/code (19 digits, one minute, single use) and
// POST /wallets/{id}/pass (a forwardable code, single use).
type CodeIssued struct {
	Code string `json:"code"`
}

// ScanResult answers POST /wallets/{id}/scan.
type ScanResult struct {
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// Problem is the body of every answer of 4xx and 5xx.
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Totals are the sums of one institution's books. The books balance:
// WalletsOwn + WalletsEnvelope + Merchants + Fees = Issued at every moment.
type Totals struct {
	Institution     string               `json:"institution"`
	Wallets         int                  `json:"wallets"`
	Issued          pos.Money            `json:"issued_fen"`
	WalletsOwn      pos.Money            `json:"wallets_own_fen"`
	WalletsEnvelope pos.Money            `json:"wallets_envelope_fen"`
	Merchants       pos.Money            `json:"merchants_fen"`
	Merchant        map[string]pos.Money `json:"merchant_fen"`
	Fees            pos.Money            `json:"fees_fen"`
	Paid            pos.Money            `json:"paid_fen"` // evidence included
	PaidCount       int                  `json:"paid_count"`
	Evidence        pos.Money            `json:"evidence_fen"`
	EvidenceCount   int                  `json:"evidence_count"`
	Refunded        pos.Money            `json:"refunded_fen"`
	RefundedCount   int                  `json:"refunded_count"`
	FailedCount     int                  `json:"failed_count"` // payments, orders, evidence and refunds
	OpenOrders      int                  `json:"open_orders"`
}
