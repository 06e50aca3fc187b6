package offline_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func TestSalesAreThereAfterReopening(t *testing.T) {
	for _, suite := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		t.Run(suite, func(t *testing.T) {
			tl := newTill(t, suite)
			id := tl.sell(t, "k1", 1234)
			offlineID := tl.accept(t, "k2", 500, "w1", 7)
			want, err := tl.Payments(t.Context(), offline.Query{})
			if err != nil {
				t.Fatal(err)
			}
			if len(want) != 2 || want[0].ID != offlineID || want[1].ID != id || want[1].State != pos.Paid {
				t.Fatalf("payments: %+v", want)
			}
			if err := tl.Close(); err != nil {
				t.Fatal(err)
			}
			files, err := os.ReadDir(filepath.Dir(tl.cfg.Path))
			if err != nil || len(files) != 2 {
				t.Fatalf("after close: %v %v, want journal.db and its bookmark alone", files, err)
			}
			tl.reopen(t)
			got, err := tl.Payments(t.Context(), offline.Query{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCreateNeverTouchesAFileThatExists(t *testing.T) {
	cfg := offline.Config{Path: filepath.Join(t.TempDir(), "journal.db"), Signer: generate(t, dcep.Ed25519SHA256), Env: pos.Lab, Terminal: terminal}
	if err := os.WriteFile(cfg.Path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := offline.Create(t.Context(), cfg, pos.EpochOpened{}, 1, pos.Instant{}, today)
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v: want fs.ErrExist", err)
	}
	if b, err := os.ReadFile(cfg.Path); err != nil || string(b) != "precious" {
		t.Errorf("file is now %q %v", b, err)
	}
}

func TestNewFileIsForItsOwnerOnly(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(tl.cfg.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s%s has mode %o", "journal.db", suffix, info.Mode().Perm())
		}
	}
}

func TestOpenRefusesAnotherTerminalEnvironmentOrKey(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*offline.Config)
		want   pos.Code
	}{
		"live till, lab journal": {func(c *offline.Config) { c.Env = pos.Live }, pos.ErrEnvironment},
		"another terminal":       {func(c *offline.Config) { c.Terminal = "T-0002" }, pos.ErrConfig},
		"another key":            {func(c *offline.Config) { c.Signer = generate(t, dcep.Ed25519SHA256) }, pos.ErrConfig},
		"no terminal":            {func(c *offline.Config) { c.Terminal = "" }, pos.ErrConfig},
		"no file":                {func(c *offline.Config) { c.Path += ".absent" }, pos.ErrStorage},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tl.cfg
			c.change(&cfg)
			_, err := offline.Open(t.Context(), cfg)
			wantCode(t, err, c.want)
		})
	}
}

func TestAnErrorOfTheDecisionWritesNothing(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	no := errors.New("no")
	_, d := tl.create("k1", 100)
	if _, err := tl.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{d}, no }); !errors.Is(err, no) {
		t.Errorf("error %v: want the decision's own", err)
	}
	o, err := tl.Outbox(t.Context())
	if err != nil || o.Seq != 1 {
		t.Errorf("outbox %+v %v: want the epoch's entry alone", o, err)
	}
}

func TestOneBadDraftWritesNoneOfTheDecision(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	id, good := tl.create("k1", 100)
	bad := map[string]pos.Draft{
		"illegal move":        tl.move(id, pos.Created, pos.Paid, nil),
		"wrong from":          tl.move(id, pos.Asking, pos.Paid, nil),
		"unknown payment":     tl.move(pos.PaymentID{1}, pos.Created, pos.Asking, nil),
		"kind unknown":        tl.draft("surprise", id, pos.Shift{}),
		"body of other kind":  tl.draft(pos.KindPrint, id, pos.ClockJump{ByMS: 3}),
		"epoch by the way":    tl.draft(pos.KindEpochOpened, pos.PaymentID{}, pos.EpochOpened{}),
		"no operator":         {Kind: pos.KindShift, BusinessDate: today, Body: pos.Shift{Operator: "1", In: true}},
		"no date":             {Kind: pos.KindShift, Operator: "1", Body: pos.Shift{Operator: "1", In: true}},
		"body too large":      tl.draft(pos.KindDrawer, pos.PaymentID{}, pos.DrawerOpened{Reason: string(make([]byte, offline.MaxBody+1))}),
		"operator not UTF-8":  {Kind: pos.KindShift, Operator: "\xff", BusinessDate: today, Body: pos.Shift{Operator: "1", In: true}},
		"body text not UTF-8": tl.draft(pos.KindDrawer, pos.PaymentID{}, pos.DrawerOpened{Reason: "\xff"}),
	}
	for name, d := range bad {
		t.Run(name, func(t *testing.T) {
			_, err := tl.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{good, d}, nil })
			if err == nil {
				t.Error("accepted")
			}
			if err := tl.Failed(); err != nil {
				t.Errorf("a bad draft stopped the store: %v", err)
			}
			tl.view(t, func(v pos.JournalView) error {
				if _, ok, err := v.Payment(id); ok || err != nil {
					t.Errorf("first draft of a refused decision is there (%v)", err)
				}
				return nil
			})
		})
	}
}

func TestADecisionSeesWhatTheOneBeforeItWrote(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	const callers = 16
	ids := make([]pos.PaymentID, callers)
	drafts := make([]pos.Draft, callers)
	for i := range callers {
		ids[i], drafts[i] = tl.create("same key", 100)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	wins := 0
	for i := range callers {
		wg.Go(func() {
			_, err := tl.Update(t.Context(), func(v pos.JournalView) ([]pos.Draft, error) {
				if _, ok, err := v.PaymentByKey("screen", "same key"); ok || err != nil {
					return nil, err
				}
				mu.Lock()
				wins++
				mu.Unlock()
				return drafts[i : i+1], nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if wins != 1 {
		t.Errorf("%d decisions found the key free, want 1", wins)
	}
}

func TestKeysAndEvidenceAreKeptEvenIfTheDecisionDoesNotLook(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	first := tl.accept(t, "k1", 100, "w1", 7)
	_, again := tl.create("k1", 100)
	_, err := tl.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{again}, nil })
	wantCode(t, err, pos.ErrKeyConflict)
	id, d := tl.create("k2", 100)
	_, err = tl.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) {
		return []pos.Draft{d, tl.evidence(id, "w1", 7)}, nil
	})
	wantCode(t, err, pos.ErrEvidenceSeen)
	tl.accept(t, "k3", 100, "w1", 8)
	tl.accept(t, "k4", 100, "w2", 7)
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	tl.reopen(t)
	tl.view(t, func(v pos.JournalView) error {
		p, ok, err := v.PaymentByKey("screen", "k1")
		if err != nil || !ok || p.ID != first {
			t.Errorf("key k1 gives %v %v %v", p.ID, ok, err)
		}
		if got, ok, err := v.EvidenceSeen("w1", 7); err != nil || !ok || got != first {
			t.Errorf("evidence (w1, 7) gives %v %v %v", got, ok, err)
		}
		if _, ok, err := v.EvidenceSeen("w1", 9); ok || err != nil {
			t.Errorf("evidence (w1, 9): %v %v", ok, err)
		}
		return nil
	})
}
