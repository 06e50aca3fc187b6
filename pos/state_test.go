package pos_test

import (
	"errors"
	"testing"

	"dcpos/pos"
)

// legal is the table of design §3, written a second time.
func legal() map[pos.State][]pos.State {
	return map[pos.State][]pos.State{
		pos.Created:          {pos.Asking, pos.Cancelled, pos.AcceptedEvidence, pos.Stored},
		pos.Asking:           {pos.Paid, pos.Declined, pos.Unknown, pos.Abandoned},
		pos.Unknown:          {pos.Paid, pos.Declined},
		pos.Stored:           {pos.Paid, pos.Declined},
		pos.AcceptedEvidence: {pos.Credited, pos.Refused, pos.Conflict},
	}
}

func TestEveryPairOfStatesIsDecided(t *testing.T) {
	n := 0
	for _, from := range pos.States() {
		want := map[pos.State]bool{}
		for _, to := range legal()[from] {
			want[to] = true
		}
		for _, to := range pos.States() {
			n++
			err := pos.CheckMove(from, to)
			if want[to] && err != nil {
				t.Errorf("%s → %s refused: %v", from, to, err)
			}
			if !want[to] && !errors.Is(err, &pos.Error{Code: pos.ErrIllegalMove}) {
				t.Errorf("%s → %s: got %v, want illegal_move", from, to, err)
			}
		}
		if from.Final() != (len(legal()[from]) == 0) {
			t.Errorf("%s: Final is %v", from, from.Final())
		}
		if from.Final() && from.Open() {
			t.Errorf("%s is final and open", from)
		}
		if from.Text().ZH == "" || from.Text().EN == "" || from.Text().EN == string(from) && from != pos.Paid &&
			from != pos.Cancelled && from != pos.Credited {
			t.Errorf("%s has no sentence", from)
		}
	}
	if n != 12*12 {
		t.Errorf("%d pairs tried, want 144", n)
	}
	if err := pos.CheckMove("nonsense", pos.Paid); err == nil {
		t.Error("an unknown state moved")
	}
}

func TestEveryPairOfRefundStatesIsDecided(t *testing.T) {
	allowed := map[[2]pos.RefundState]bool{
		{"", pos.RefundIntent}: true, {"", pos.RefundAsking}: true,
		{pos.RefundIntent, pos.RefundAsking}: true, {pos.RefundIntent, pos.RefundDeclined}: true,
		{pos.RefundAsking, pos.RefundRefunded}: true, {pos.RefundAsking, pos.RefundDeclined}: true,
		{pos.RefundAsking, pos.RefundUnknown}: true, {pos.RefundAsking, pos.RefundIntent}: true,
		{pos.RefundUnknown, pos.RefundRefunded}: true, {pos.RefundUnknown, pos.RefundDeclined}: true,
	}
	for _, from := range append(pos.RefundStates(), "") {
		for _, to := range pos.RefundStates() {
			if err := pos.CheckRefundMove(from, to); (err == nil) != allowed[[2]pos.RefundState{from, to}] {
				t.Errorf("%q → %q: %v", from, to, err)
			}
		}
	}
}

func TestEveryCodeSaysWhatToDoInTwoLanguages(t *testing.T) {
	for _, c := range []pos.Code{
		pos.ErrBadRequest, pos.ErrNotFound, pos.ErrKeyConflict, pos.ErrOrderOpen, pos.ErrOrderUnknown, pos.ErrOrderPaid,
		pos.ErrIllegalMove, pos.ErrNoOperator, pos.ErrBadPIN, pos.ErrForbidden, pos.ErrOffline, pos.ErrOfflineCode,
		pos.ErrExpired, pos.ErrCodeUsed, pos.ErrBadCode, pos.ErrLimitPayment, pos.ErrLimitTotal, pos.ErrLimitCount,
		pos.ErrLimitAge, pos.ErrLimitWallet, pos.ErrClock, pos.ErrEvidence, pos.ErrEvidenceSeen, pos.ErrEnvironment,
		pos.ErrEvidenceAmount, pos.ErrEvidenceReplay, pos.ErrEvidenceLate, pos.ErrEvidenceOther, pos.ErrEvidenceForged,
		pos.ErrWalletExpired, pos.ErrWalletRevoked, pos.ErrWalletUnknown, pos.ErrTapTorn, pos.ErrTapMany, pos.ErrTapNoWallet, pos.ErrTapRefused,
		pos.ErrInsufficient, pos.ErrInstitution, pos.ErrRefundTooMuch, pos.ErrNotRefundable, pos.ErrChainBroken,
		pos.ErrFork, pos.ErrStorage, pos.ErrSchema, pos.ErrNotEnrolled, pos.ErrQuarantined, pos.ErrUnsentMoney,
		pos.ErrPrinter, pos.ErrTooLarge, pos.ErrTooMany, pos.ErrConfig, pos.ErrInternal, pos.ErrDeclinedGeneral, pos.ErrNotSent,
		pos.ErrSignature, pos.ErrSignatureTime, pos.ErrReplay, pos.ErrShopLimit, pos.ErrShopCategory,
	} {
		unknown := pos.NewError("no such code", nil)
		e := pos.NewError(c, nil)
		if e.Text == unknown.Text || e.Text.ZH == "" || e.Text.EN == "" || e.Hint.ZH == "" || e.Hint.EN == "" {
			t.Errorf("%s has no sentence of its own: %+v", c, e)
		}
	}
}
