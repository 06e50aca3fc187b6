package kernel_test

import (
	"strings"
	"testing"
	"time"

	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/kernel"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func request(now time.Time) kernel.Request {
	return kernel.Request{
		Env: pos.Lab, Terminal: "T1", Merchant: "M1", Payment: pos.NewPaymentID(now, [10]byte{1}), Amount: 1000,
		At: now, Expires: now.Add(time.Minute),
	}
}

func TestQRKernel(t *testing.T) {
	shop := checkouttest.NewShop(t)
	other := checkouttest.NewShop(t)
	now := time.Now()
	good := func(p kernel.Prompt, w *checkouttest.Wallet) string {
		answer, err := w.Sign(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for name, c := range map[string]struct {
		answer func(p, q kernel.Prompt) string
		at     time.Duration
		want   pos.Code
	}{
		"genuine":             {func(p, _ kernel.Prompt) string { return good(p, shop.NewWallet(t)) }, 0, ""},
		"another challenge":   {func(_, q kernel.Prompt) string { return good(q, shop.NewWallet(t)) }, 0, pos.ErrEvidenceReplay},
		"another root":        {func(p, _ kernel.Prompt) string { return good(p, other.NewWallet(t)) }, 0, pos.ErrWalletUnknown},
		"too late":            {func(p, _ kernel.Prompt) string { return good(p, shop.NewWallet(t)) }, 2 * time.Minute, pos.ErrEvidenceLate},
		"list is too old":     {func(p, _ kernel.Prompt) string { return good(p, shop.NewWallet(t)) }, 100 * time.Hour, pos.ErrRevocationOld},
		"the challenge again": {func(p, _ kernel.Prompt) string { return p.Text }, 0, pos.ErrEvidence},
		"nothing":             {func(_, _ kernel.Prompt) string { return "" }, 0, pos.ErrEvidence},
		"a changed byte": {func(p, _ kernel.Prompt) string {
			a := []byte(good(p, shop.NewWallet(t)))
			if i := len(a) / 2; a[i] == 'A' {
				a[i] = 'B'
			} else {
				a[i] = 'A'
			}
			return string(a)
		}, 0, pos.ErrEvidence},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := shop.Kernel.Begin(t.Context(), request(now))
			if err != nil {
				t.Fatal(err)
			}
			q, err := shop.Kernel.Begin(t.Context(), request(now))
			if err != nil {
				t.Fatal(err)
			}
			if p.Text == q.Text || !strings.HasPrefix(p.Text, dcep.ChallengePrefix) {
				t.Fatal("challenges repeat")
			}
			taken, err := shop.Kernel.Verify(t.Context(), p, c.answer(p, q), now.Add(c.at))
			if pos.CodeOf(err) != c.want {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if err == nil && (taken.Institution != "ICBC" || taken.Counter == 0 || len(taken.Evidence) == 0) {
				t.Fatalf("%+v", taken)
			}
		})
	}
}

func TestNoTrustNoEvidence(t *testing.T) {
	k := &kernel.QR{Trust: func() dcep.Trust { return dcep.Trust{Env: pos.Live} }}
	err := k.Ready(t.Context(), time.Now())
	if e := pos.AsError(err); e == nil || e.Code != pos.ErrEvidence || e.Hint.ZH == "" {
		t.Fatalf("%v", err)
	}
	if _, err := k.Verify(t.Context(), kernel.Prompt{}, "x", time.Now()); pos.CodeOf(err) != pos.ErrEvidence {
		t.Fatalf("%v", err)
	}
}

func FuzzVerify(f *testing.F) {
	shop := checkouttest.NewShop(f)
	now := time.Now()
	p, err := shop.Kernel.Begin(f.Context(), request(now))
	if err != nil {
		f.Fatal(err)
	}
	answer, err := shop.NewWallet(f).Sign(p.Text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Add(p.Text)
	f.Add(dcep.EvidencePrefix)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := shop.Kernel.Verify(t.Context(), p, text, now); err == nil && text != answer {
			t.Fatalf("forged: %q", text)
		}
	})
}
