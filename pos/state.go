package pos

import "fmt"

// State is where a payment stands. docs/TERMS.md owns the words.
type State string

// The states of design §3. e-CNY has no authorize/capture pair.
const (
	Created          State = "created"           // named and journaled; nobody was asked for money
	Asking           State = "asking"            // the question may have left, or a QR was shown
	Paid             State = "paid"              // 已支付
	Declined         State = "declined"          // the institution's no, or the question provably never left
	Unknown          State = "unknown"           // 结果查询中,请勿重复支付: queried until final
	Abandoned        State = "abandoned"         // given up after asking; money that still comes is refunded
	Cancelled        State = "cancelled"         // given up before anyone was asked
	AcceptedEvidence State = "accepted_evidence" // 已受理,待入账: the wallet's signed promise is kept
	Credited         State = "credited"          // the institution honoured the evidence
	Refused          State = "refused"           // the institution refused the evidence
	Conflict         State = "conflict"          // the evidence was seen with another digest, or in a fork
	Stored           State = "stored"            // 已登记,尚未扣款: kept to be forwarded
)

// States lists every state once.
func States() []State {
	return []State{
		Created, Asking, Paid, Declined, Unknown, Abandoned, Cancelled,
		AcceptedEvidence, Credited, Refused, Conflict, Stored,
	}
}

// Next lists the states that may follow s; empty for a final state.
func (s State) Next() []State {
	switch s {
	case Created:
		return []State{Asking, Cancelled, AcceptedEvidence, Stored}
	case Asking:
		return []State{Paid, Declined, Unknown, Abandoned}
	case Unknown, Stored:
		return []State{Paid, Declined}
	case AcceptedEvidence:
		return []State{Credited, Refused, Conflict}
	case Paid, Declined, Abandoned, Cancelled, Credited, Refused, Conflict:
		return nil
	}
	return nil
}

// Valid reports whether s is a state at all.
func (s State) Valid() bool {
	for _, k := range States() {
		if s == k {
			return true
		}
	}
	return false
}

// Final reports that nothing follows. A late payment of an abandoned QR is a
// record of its own, not a further state.
func (s State) Final() bool { return s.Valid() && len(s.Next()) == 0 }

// Open reports that the order's money is not decided: no other attempt may start beside it.
func (s State) Open() bool {
	switch s {
	case Created, Asking, Unknown, Stored:
		return true
	case Paid, Declined, Abandoned, Cancelled, AcceptedEvidence, Credited, Refused, Conflict:
		return false
	}
	return false
}

// Holds reports that the payment counts towards the order's paid sum.
func (s State) Holds() bool {
	switch s {
	case Paid, AcceptedEvidence, Credited, Stored:
		return true
	case Created, Asking, Declined, Unknown, Abandoned, Cancelled, Refused, Conflict:
		return false
	}
	return false
}

// CheckMove returns an ErrIllegalMove when to may not follow from.
func CheckMove(from, to State) error {
	for _, n := range from.Next() {
		if n == to {
			return nil
		}
	}
	return NewError(ErrIllegalMove, fmt.Errorf("payment may not go from %s to %s", from, to))
}

// Text is what cashier and customer read.
func (s State) Text() Text {
	switch s {
	case Created:
		return Text{ZH: "已登记", EN: "recorded"}
	case Asking:
		return Text{ZH: "等待支付", EN: "waiting for payment"}
	case Paid:
		return Text{ZH: "已支付", EN: "paid"}
	case Declined:
		return Text{ZH: "未支付", EN: "not paid"}
	case Unknown:
		return Text{ZH: "结果查询中,请勿重复支付", EN: "being asked, do not pay again"}
	case Abandoned:
		return Text{ZH: "已放弃,如已扣款将自动退回", EN: "given up; money that still arrives is refunded"}
	case Cancelled:
		return Text{ZH: "已取消", EN: "cancelled"}
	case AcceptedEvidence:
		return Text{ZH: "已受理,待入账", EN: "accepted, to be credited"}
	case Credited:
		return Text{ZH: "已入账", EN: "credited"}
	case Refused:
		return Text{ZH: "机构拒绝入账", EN: "refused by the institution"}
	case Conflict:
		return Text{ZH: "凭证冲突,待人工处理", EN: "evidence in conflict, a person decides"}
	case Stored:
		return Text{ZH: "已登记,尚未扣款", EN: "recorded, not yet charged"}
	}
	return Text{ZH: string(s), EN: string(s)}
}

// RefundState is where a refund stands.
type RefundState string

// The states of a refund. A refund needs the centre's authorization; offline it
// is an intent that pays and promises nothing.
const (
	RefundIntent   RefundState = "intent"   // 退款申请已记录
	RefundAsking   RefundState = "asking"   // the centre may have been asked
	RefundUnknown  RefundState = "unknown"  // queried until final
	RefundRefunded RefundState = "refunded" // 已退款
	RefundDeclined RefundState = "declined" // 退款未成功
)

// RefundStates lists every state once.
func RefundStates() []RefundState {
	return []RefundState{RefundIntent, RefundAsking, RefundUnknown, RefundRefunded, RefundDeclined}
}

// Next lists the states that may follow.
func (s RefundState) Next() []RefundState {
	switch s {
	case RefundIntent:
		return []RefundState{RefundAsking, RefundDeclined}
	case RefundAsking:
		return []RefundState{RefundRefunded, RefundDeclined, RefundUnknown, RefundIntent}
	case RefundUnknown:
		return []RefundState{RefundRefunded, RefundDeclined}
	case RefundRefunded, RefundDeclined:
		return nil
	}
	return nil
}

// Final reports that nothing follows.
func (s RefundState) Final() bool { return s == RefundRefunded || s == RefundDeclined }

// Text is what cashier and customer read.
func (s RefundState) Text() Text {
	switch s {
	case RefundIntent:
		return Text{ZH: "退款申请已记录,尚未退款", EN: "refund request recorded, nothing refunded yet"}
	case RefundAsking, RefundUnknown:
		return Text{ZH: "退款处理中", EN: "refund in progress"}
	case RefundRefunded:
		return Text{ZH: "已退款", EN: "refunded"}
	case RefundDeclined:
		return Text{ZH: "退款未成功", EN: "refund declined"}
	}
	return Text{ZH: string(s), EN: string(s)}
}

// CheckRefundMove returns an ErrIllegalMove when to may not follow from; the
// first state ("" before it) is RefundIntent or RefundAsking.
func CheckRefundMove(from, to RefundState) error {
	if from == "" && (to == RefundIntent || to == RefundAsking) {
		return nil
	}
	for _, n := range from.Next() {
		if n == to {
			return nil
		}
	}
	return NewError(ErrIllegalMove, fmt.Errorf("refund may not go from %q to %q", from, to))
}
