package pos

// BreakKind names the one class that the reconciler gives to a statement line.
// The values are a contract: they stand in summary.json and breaks.csv
// (docs/PROTOCOL.md, "reconcile").
type BreakKind string

// The classes in order of precedence; Matched is the only one that is not a break.
const (
	MissingTheirs   BreakKind = "missing_theirs"   // ours has the line, theirs lacks it
	MissingOurs     BreakKind = "missing_ours"     // theirs has the line, ours lacks it
	AmountMismatch  BreakKind = "amount_mismatch"  // amounts differ
	StatusMismatch  BreakKind = "status_mismatch"  // amounts agree, statuses differ
	FieldMismatch   BreakKind = "field_mismatch"   // bank, merchant or fee differs
	DuplicateOurs   BreakKind = "duplicate_ours"   // a further line with an id already seen on our side
	DuplicateTheirs BreakKind = "duplicate_theirs" // the same on their side
	Matched         BreakKind = "matched"
)

// BreakKinds lists the kinds of break in the order of the contract, without Matched.
func BreakKinds() []BreakKind {
	return []BreakKind{
		MissingTheirs, MissingOurs, AmountMismatch, StatusMismatch, FieldMismatch,
		DuplicateOurs, DuplicateTheirs,
	}
}

// Text names the kind for a person.
func (k BreakKind) Text() Text {
	switch k {
	case MissingTheirs:
		return Text{ZH: "对方缺少", EN: "missing in their statement"}
	case MissingOurs:
		return Text{ZH: "我方缺少", EN: "missing in our ledger"}
	case AmountMismatch:
		return Text{ZH: "金额不符", EN: "amounts differ"}
	case StatusMismatch:
		return Text{ZH: "状态不符", EN: "statuses differ"}
	case FieldMismatch:
		return Text{ZH: "字段不符", EN: "a field differs"}
	case DuplicateOurs:
		return Text{ZH: "我方重复", EN: "doubled on our side"}
	case DuplicateTheirs:
		return Text{ZH: "对方重复", EN: "doubled on their side"}
	case Matched:
		return Text{ZH: "已匹配", EN: "matched"}
	case CreditMismatch:
		return Text{ZH: "到账不符", EN: "the net credit differs"}
	}
	return Text{ZH: string(k), EN: string(k)}
}

// CreditMismatch is the kind of work on a day's net credit that is another than the
// statement's lines come to. It is no class of a line: it stands in no breaks.csv.
const CreditMismatch BreakKind = "credit_mismatch"

// MatchOutcome is what the matching rules, or a later statement, have made of a break.
type MatchOutcome string

// OutcomeGone is the outcome of a break that a later statement of its date does not show; the
// others are central/reconcile/match's.
const OutcomeGone MatchOutcome = "gone"

// Text names the outcome for a person.
func (o MatchOutcome) Text() Text {
	switch o {
	case "matched":
		return Text{ZH: "已找到对应", EN: "its partner was found"}
	case "suggested":
		return Text{ZH: "可能的对应,请人工确认", EN: "a partner that may be: a person decides"}
	case "ambiguous":
		return Text{ZH: "有多种对应,请人工判断", EN: "more than one way: a person decides"}
	case "differing":
		return Text{ZH: "对应已到但不一致", EN: "its partner came with another amount or status"}
	case "carried":
		return Text{ZH: "等待次日", EN: "waits for the next day"}
	case "break":
		return Text{ZH: "没有对应", EN: "no partner"}
	case OutcomeGone:
		return Text{ZH: "更正后的对账单已无此差异", EN: "gone from the corrected statement"}
	}
	return Text{ZH: string(o), EN: string(o)}
}

// LineStatus names a statement line's status (S, F, P or R) for a person.
func LineStatus(s string) Text {
	switch s {
	case "S":
		return Text{ZH: "成功", EN: "success"}
	case "F":
		return Text{ZH: "失败", EN: "failed"}
	case "P":
		return Text{ZH: "处理中", EN: "pending"}
	case "R":
		return Text{ZH: "退款", EN: "refund"}
	}
	return Text{ZH: s, EN: s}
}
