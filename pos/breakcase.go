package pos

import "time"

// BreakState is where a case is in its life.
type BreakState string

// The states.
const (
	BreakOpen       BreakState = "open"
	BreakAssigned   BreakState = "assigned"
	BreakExplained  BreakState = "explained"
	BreakCarried    BreakState = "carried"     // waits for the other side's next days
	BreakResolved   BreakState = "resolved"    // matched later, or gone from a corrected file
	BreakAdjusted   BreakState = "adjusted"    // a remedy has booked it
	BreakWrittenOff BreakState = "written_off" // given up
)

// BreakStates lists them in the order of a life.
func BreakStates() []BreakState {
	return []BreakState{BreakOpen, BreakAssigned, BreakExplained, BreakCarried, BreakResolved, BreakAdjusted, BreakWrittenOff}
}

// Final reports that nobody has to do anything.
func (s BreakState) Final() bool {
	return s == BreakResolved || s == BreakAdjusted || s == BreakWrittenOff
}

// Text names the state for a person.
func (s BreakState) Text() Text {
	switch s {
	case BreakOpen:
		return Text{ZH: "待处理", EN: "open"}
	case BreakAssigned:
		return Text{ZH: "已分派", EN: "assigned"}
	case BreakExplained:
		return Text{ZH: "已查明", EN: "explained"}
	case BreakCarried:
		return Text{ZH: "挂账待次日", EN: "carried over"}
	case BreakResolved:
		return Text{ZH: "已核销", EN: "resolved"}
	case BreakAdjusted:
		return Text{ZH: "已调账", EN: "adjusted"}
	case BreakWrittenOff:
		return Text{ZH: "已核销损益", EN: "written off"}
	}
	return Text{ZH: string(s), EN: string(s)}
}

// BreakCause is why a break is there, as a person found out.
type BreakCause string

// The causes.
const (
	CauseTiming     BreakCause = "timing"      // booked on another day
	CauseTheirs     BreakCause = "institution" // the institution's mistake
	CauseOurs       BreakCause = "ours"        // our mistake
	CauseLostAnswer BreakCause = "lost_answer" // charged, but the answer did not arrive
	CauseDouble     BreakCause = "double"      // booked twice
	CauseFeeTerms   BreakCause = "fee_terms"   // the fee was agreed otherwise
	CauseFraud      BreakCause = "fraud"
	CauseOther      BreakCause = "other"
)

// BreakCauses lists them.
func BreakCauses() []BreakCause {
	return []BreakCause{CauseTiming, CauseTheirs, CauseOurs, CauseLostAnswer, CauseDouble, CauseFeeTerms, CauseFraud, CauseOther}
}

// Text names the cause for a person.
func (c BreakCause) Text() Text {
	switch c {
	case CauseTiming:
		return Text{ZH: "跨日时差", EN: "booked on another day"}
	case CauseTheirs:
		return Text{ZH: "机构差错", EN: "the institution's error"}
	case CauseOurs:
		return Text{ZH: "我方差错", EN: "our error"}
	case CauseLostAnswer:
		return Text{ZH: "应答丢失", EN: "the answer was lost"}
	case CauseDouble:
		return Text{ZH: "重复记账", EN: "booked twice"}
	case CauseFeeTerms:
		return Text{ZH: "费率不符", EN: "another fee was agreed"}
	case CauseFraud:
		return Text{ZH: "疑似欺诈", EN: "fraud suspected"}
	case CauseOther:
		return Text{ZH: "其他", EN: "other"}
	}
	return Text{ZH: string(c), EN: string(c)}
}

// BreakCase is one break. Amounts are fen; a side without a line has no status.
type BreakCase struct {
	ID          string       `json:"id"`
	Date        Date         `json:"date"` // settlement date of the run that found it
	Kind        BreakKind    `json:"kind"`
	Txn         string       `json:"txn_id"`
	Bank        string       `json:"bank"`
	Merchant    string       `json:"merchant_id"`
	Ours        Money        `json:"ours_fen"`
	Theirs      Money        `json:"theirs_fen"`
	OursStatus  string       `json:"ours_status"`
	TheirStatus string       `json:"theirs_status"`
	Field       string       `json:"field,omitempty"`
	OursValue   string       `json:"ours_value,omitempty"`
	TheirsValue string       `json:"theirs_value,omitempty"`
	Rule        string       `json:"rule"` // that made it, or resolved it
	Outcome     MatchOutcome `json:"outcome"`
	Batch       string       `json:"batch_no,omitempty"`
	Orig        string       `json:"orig_txn_id,omitempty"`
	Clock       string       `json:"clock,omitempty"` // of a line that one side lacks: HH:MM:SS in Asia/Shanghai
	Party       string       `json:"group,omitempty"` // the lines that a rule put together

	Difference Money `json:"difference_fen"` // ours − theirs
	Fees       Money `json:"fees_fen"`       // what they keep beyond our fee
	Booked     Money `json:"booked_fen"`     // what left suspense again
	Claimed    Money `json:"claimed_fen"`    // of Booked: what the institution was asked for
	Matched    Money `json:"matched_fen"`    // of Booked: what the lines of Party have cancelled

	State    BreakState `json:"state"`
	Assignee string     `json:"assignee,omitempty"`
	Cause    BreakCause `json:"cause,omitempty"`
	Note     string     `json:"note,omitempty"`
	Until    Date       `json:"until,omitempty"` // carried by a person until then
	File     string     `json:"file,omitempty"`  // SHA-256 of the statement that resolved it
	Revision int        `json:"revision"`        // grows with every posting

	OpenedMS  int64 `json:"opened_ms"`
	ChangedMS int64 `json:"changed_ms"`
}

// Outstanding is what the case keeps in suspense now.
func (c *BreakCase) Outstanding() Money { return c.Difference + c.Fees - c.Booked }

// Age in days on a date.
func (c *BreakCase) Age(on Date) int {
	from, err1 := time.Parse(time.DateOnly, string(c.Date))
	to, err2 := time.Parse(time.DateOnly, string(on))
	if err1 != nil || err2 != nil {
		return 0
	}
	return int(to.Sub(from) / (24 * time.Hour))
}

// BreakEvent is one line of a case's history.
type BreakEvent struct {
	Case   string     `json:"-"`
	AtMS   int64      `json:"at_ms"`
	Actor  string     `json:"actor"` // an account, or "rule" for what a run did
	What   string     `json:"what"`
	State  BreakState `json:"state"`
	Detail string     `json:"detail,omitempty"`
}

// Text says what happened.
func (e *BreakEvent) Text() Text {
	switch e.What {
	case "opened":
		return Text{ZH: "发现", EN: "found"}
	case "changed":
		return Text{ZH: "变化", EN: "changed"}
	case "reopened":
		return Text{ZH: "重新打开", EN: "opened again"}
	case "resolved":
		return Text{ZH: "核销", EN: "resolved"}
	case "carried":
		return Text{ZH: "挂账待次日", EN: "carried over"}
	case "overdue":
		return Text{ZH: "逾期未到", EN: "nothing came in time"}
	case "assigned":
		return Text{ZH: "分派", EN: "assigned"}
	case "explained":
		return Text{ZH: "查明原因", EN: "explained"}
	case "remedy_proposed":
		return Text{ZH: "提出处理", EN: "remedy proposed"}
	case "remedy_approved":
		return Text{ZH: "复核同意", EN: "remedy approved"}
	case "remedy_rejected":
		return Text{ZH: "驳回", EN: "remedy rejected"}
	case "remedy_withdrawn":
		return Text{ZH: "处理作废", EN: "remedy withdrawn"}
	case "remedy_failed":
		return Text{ZH: "处理失败", EN: "remedy failed"}
	case "remedied":
		return Text{ZH: "处理完成", EN: "remedied"}
	case "claim_met":
		return Text{ZH: "追索已兑现", EN: "claim met"}
	}
	return MatchOutcome(e.What).Text() // what a rule said
}

// Settlement is the second leg of a settlement date: its lines are settled when the net credit
// has arrived, or what it lacks was remedied.
type Settlement struct {
	Bank      string          `json:"bank"`
	Date      Date            `json:"date"`
	State     SettlementState `json:"state"`
	Matched   Money           `json:"matched_fen"` // of the lines that agree
	Gross     Money           `json:"gross_fen"`   // of all lines of the statement
	Fees      Money           `json:"fees_fen"`
	Apart     Money           `json:"apart_fen"`  // settled by itself, not in the credit: fees that are billed, refunds that are debited
	Credit    Money           `json:"credit_fen"` // what has arrived
	File      string          `json:"file,omitempty"`
	Revision  int             `json:"revision"`
	ChangedMS int64           `json:"changed_ms"`
}

// SettlementState says whether the money is there.
type SettlementState string

// The states of a settlement.
const (
	SettlementWaiting SettlementState = "waiting" // the account's statement is not there
	SettlementSettled SettlementState = "settled"
	SettlementDiffers SettlementState = "differs" // a case says by how much
)

// Text names the state for a person.
func (s SettlementState) Text() Text {
	switch s {
	case SettlementWaiting:
		return Text{ZH: "待到账", EN: "credit awaited"}
	case SettlementSettled:
		return Text{ZH: "已结清", EN: "settled"}
	case SettlementDiffers:
		return Text{ZH: "到账不符", EN: "credit differs"}
	}
	return Text{ZH: string(s), EN: string(s)}
}

// Expected is what should be credited.
func (s *Settlement) Expected() Money { return s.Gross - s.Fees + s.Apart }

// RemedyKind is how a break's money is put right.
type RemedyKind string

// The remedies.
const (
	RemedyComplete RemedyKind = "complete"  // 补单: the sale took place, the merchant is owed it
	RemedyRefund   RemedyKind = "refund"    // the customer gets it back, through the payment room
	RemedyClaim    RemedyKind = "claim"     // the institution is asked to make it good
	RemedyAdjust   RemedyKind = "adjust"    // the merchant's account is corrected
	RemedyWriteOff RemedyKind = "write_off" // given up, or kept
)

// RemedyKinds lists them.
func RemedyKinds() []RemedyKind {
	return []RemedyKind{RemedyComplete, RemedyRefund, RemedyClaim, RemedyAdjust, RemedyWriteOff}
}

// Text names the remedy for a person.
func (k RemedyKind) Text() Text {
	switch k {
	case RemedyComplete:
		return Text{ZH: "补单入账", EN: "complete the sale"}
	case RemedyRefund:
		return Text{ZH: "退款给顾客", EN: "refund the customer"}
	case RemedyClaim:
		return Text{ZH: "向机构追索", EN: "claim on the institution"}
	case RemedyAdjust:
		return Text{ZH: "调账", EN: "adjust the merchant's account"}
	case RemedyWriteOff:
		return Text{ZH: "核销损益", EN: "write off"}
	}
	return Text{ZH: string(k), EN: string(k)}
}

// RemedyState says how far a remedy is.
type RemedyState string

// The states of a remedy.
const (
	RemedyProposed  RemedyState = "proposed"  // waits for a second person
	RemedyExecuting RemedyState = "executing" // the institution was asked
	RemedyDone      RemedyState = "done"
	RemedyRejected  RemedyState = "rejected"
	RemedyFailed    RemedyState = "failed"   // the institution said no
	RemedyReversed  RemedyState = "reversed" // a claim that the institution has met
)

// Text names the state for a person.
func (s RemedyState) Text() Text {
	switch s {
	case RemedyProposed:
		return Text{ZH: "待复核", EN: "waits for a second person"}
	case RemedyExecuting:
		return Text{ZH: "执行中", EN: "under way"}
	case RemedyDone:
		return Text{ZH: "已完成", EN: "done"}
	case RemedyRejected:
		return Text{ZH: "已驳回", EN: "rejected"}
	case RemedyFailed:
		return Text{ZH: "失败", EN: "failed"}
	case RemedyReversed:
		return Text{ZH: "已冲回", EN: "reversed"}
	}
	return Text{ZH: string(s), EN: string(s)}
}

// Live reports that the remedy may still move money.
func (s RemedyState) Live() bool { return s == RemedyProposed || s == RemedyExecuting }

// Remedy is one attempt to put a break right. Amount is what it takes out of suspense: all
// that the case keeps there.
type Remedy struct {
	ID         string      `json:"id"` // CASE-N; also the ledger's key, after "remedy:"
	Case       string      `json:"break"`
	Kind       RemedyKind  `json:"kind"`
	State      RemedyState `json:"state"`
	Amount     Money       `json:"amount_fen"`
	Reason     string      `json:"reason"`
	ProposedBy string      `json:"proposed_by"`
	DecidedBy  string      `json:"decided_by,omitempty"` // the second person; empty below the limit
	Detail     string      `json:"detail,omitempty"`
	AtMS       int64       `json:"at_ms"`
	ChangedMS  int64       `json:"changed_ms"`
}

// BreakFilter selects cases; empty fields select all.
type BreakFilter struct {
	Date     Date
	Bank     string
	Kind     BreakKind
	State    BreakState
	Unended  bool // not in a final state
	Txn      string
	Assignee string
	After    string // the id after which to go on, in the order of (date descending, id)
	Limit    int
}

// BreakAge is what an institution's cases of one date keep in suspense.
type BreakAge struct {
	Bank        string `json:"bank"`
	Date        Date   `json:"date"`
	Cases       int64  `json:"cases"`
	Outstanding Money  `json:"outstanding_fen"`
}
