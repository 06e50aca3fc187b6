package offline_test

import (
	"fmt"
	"testing"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// centre signs receipts.
type centre struct {
	signer   dcep.Signer
	verifier dcep.Verifier
}

func newCentre(tb testing.TB) centre {
	tb.Helper()
	k := generate(tb, dcep.SM2SM3)
	v, err := k.Suite().Verifier(k.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return centre{k, v}
}

func (c centre) receipt(tb testing.TB, e pos.Entry, generation uint64) dcep.Receipt {
	tb.Helper()
	r := dcep.Receipt{Env: e.Env, Terminal: e.Terminal, Epoch: e.Epoch, Seq: e.Seq, Head: e.Hash, CentreMS: 1, Generation: generation}
	c.sign(tb, &r)
	return r
}

func (c centre) sign(tb testing.TB, r *dcep.Receipt) {
	tb.Helper()
	if err := r.Sign(c.signer); err != nil {
		tb.Fatal(err)
	}
}

func (tl *till) all(tb testing.TB) []pos.Entry {
	tb.Helper()
	entries, err := tl.Unsent(tb.Context(), 0, 0, 100000, 1<<30)
	if err != nil {
		tb.Fatal(err)
	}
	return entries
}

func (tl *till) wantCursor(t *testing.T, epoch uint32, seq, generation, unsent uint64) {
	t.Helper()
	e, s, g, err := tl.Cursor(t.Context())
	if err != nil || e != epoch || s != seq || g != generation {
		t.Errorf("cursor (%d, %d) generation %d %v: want (%d, %d) generation %d", e, s, g, err, epoch, seq, generation)
	}
	if o, err := tl.Outbox(t.Context()); err != nil || o.Unsent != unsent {
		t.Errorf("outbox %+v %v: want %d unsent", o, err, unsent)
	}
}

func TestAReceiptMovesTheCursorForwardOnly(t *testing.T) {
	tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
	tl.sell(t, "k1", 100)
	tl.sell(t, "k2", 100)
	entries := tl.all(t)
	tl.wantCursor(t, 0, 0, 0, 7)
	for _, step := range []struct {
		seq, generation, wantSeq, wantGeneration, unsent uint64
	}{
		{4, 0, 4, 0, 3},
		{2, 0, 4, 0, 3},
		{4, 0, 4, 0, 3},
		{6, 0, 6, 0, 1},
		{3, 2, 3, 2, 4}, // the centre was restored: backwards
		{6, 0, 3, 2, 4}, // a receipt from before the restore comes late: no licence to forget
		{6, 1, 3, 2, 4},
		{7, 2, 7, 2, 0},
	} {
		if err := tl.Acknowledge(t.Context(), c.receipt(t, entries[step.seq-1], step.generation), c.verifier); err != nil {
			t.Fatal(err)
		}
		tl.wantCursor(t, 1, step.wantSeq, step.wantGeneration, step.unsent)
	}
	nothing := dcep.Receipt{Env: pos.Lab, Terminal: terminal, Epoch: 1, Generation: 3}
	c.sign(t, &nothing)
	if err := tl.Acknowledge(t.Context(), nothing, c.verifier); err != nil {
		t.Fatal(err)
	}
	tl.wantCursor(t, 1, 0, 3, 7)
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	tl.reopen(t)
	tl.wantCursor(t, 1, 0, 3, 7)
}

func TestAWrongReceiptChangesNothing(t *testing.T) {
	tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
	tl.sell(t, "k1", 100)
	last := tl.all(t)[3]
	for name, x := range map[string]struct {
		change func(*dcep.Receipt)
		by     centre
		want   pos.Code
	}{
		"another head":          {func(r *dcep.Receipt) { r.Head = make([]byte, 32) }, c, pos.ErrFork},
		"beyond our last entry": {func(r *dcep.Receipt) { r.Seq = 5 }, c, pos.ErrFork},
		"another epoch":         {func(r *dcep.Receipt) { r.Epoch = 2 }, c, pos.ErrFork},
		"another terminal":      {func(r *dcep.Receipt) { r.Terminal = "T-2" }, c, pos.ErrBadRequest},
		"live for lab":          {func(r *dcep.Receipt) { r.Env = pos.Live }, c, pos.ErrEnvironment},
		"another key":           {func(*dcep.Receipt) {}, newCentre(t), pos.ErrBadRequest},
		"nothing, with a head":  {func(r *dcep.Receipt) { r.Seq = 0 }, c, pos.ErrBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.receipt(t, last, 0)
			x.change(&r)
			x.by.sign(t, &r)
			wantCode(t, tl.Acknowledge(t.Context(), r, c.verifier), x.want)
			tl.wantCursor(t, 0, 0, 0, 4)
		})
	}
	t.Run("changed after signing", func(t *testing.T) {
		r := c.receipt(t, last, 0)
		r.Generation = 9
		wantCode(t, tl.Acknowledge(t.Context(), r, c.verifier), pos.ErrBadRequest)
		tl.wantCursor(t, 0, 0, 0, 4)
	})
}

func TestAReceiptOfALaterEpochDoesNotSpeakForTheEarlierOne(t *testing.T) {
	tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
	tl.sell(t, "k1", 100)
	if err := tl.OpenEpoch(t.Context(), tl.cfg.Signer, 2, pos.EpochOpened{Reason: pos.EpochForked}, tl.now(), today, "1001"); err != nil {
		t.Fatal(err)
	}
	tl.sell(t, "k2", 100)
	entries := tl.all(t)
	if len(entries) != 8 || entries[4].Epoch != 2 || entries[4].Seq != 1 {
		t.Fatalf("%d entries", len(entries))
	}
	wantCode(t, tl.Acknowledge(t.Context(), c.receipt(t, entries[6], 0), c.verifier), pos.ErrBadRequest)
	tl.wantCursor(t, 0, 0, 0, 8)
	for _, i := range []int{2, 3, 6} {
		if err := tl.Acknowledge(t.Context(), c.receipt(t, entries[i], 0), c.verifier); err != nil {
			t.Fatal(err)
		}
	}
	tl.wantCursor(t, 2, 3, 0, 1)
	nothing := dcep.Receipt{Env: pos.Lab, Terminal: terminal, Epoch: 2, Generation: 1}
	c.sign(t, &nothing)
	if err := tl.Acknowledge(t.Context(), nothing, c.verifier); err != nil {
		t.Fatal(err)
	}
	tl.wantCursor(t, 1, 0, 1, 8)
}

func TestOfflineMoneyCountsUntilItsReceipt(t *testing.T) {
	tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
	tl.accept(t, "k1", 100, "w1", 1)
	tl.accept(t, "k2", 250, "w2", 1)
	tl.accept(t, "k3", 50, "w1", 2)
	entries := tl.all(t)
	check := func(total pos.Money, count int, w1 pos.Money) {
		t.Helper()
		tl.view(t, func(v pos.JournalView) error {
			all, err := v.Stored()
			if err != nil || all.Total != total || all.Count != count {
				t.Errorf("stored %+v %v: want %d fen in %d", all, err, total, count)
			}
			if w, err := v.WalletStored("w1"); err != nil || w.Total != w1 {
				t.Errorf("wallet %+v %v: want %d fen", w, err, w1)
			}
			return nil
		})
	}
	check(400, 3, 150)
	for i, want := range []struct {
		total pos.Money
		count int
		w1    pos.Money
	}{{400, 3, 150}, {400, 3, 150}, {300, 2, 50}, {300, 2, 50}, {50, 1, 50}, {50, 1, 50}, {0, 0, 0}} {
		if err := tl.Acknowledge(t.Context(), c.receipt(t, entries[i], 0), c.verifier); err != nil {
			t.Fatal(err)
		}
		check(want.total, want.count, want.w1)
	}
}

func TestUnsentComesInOrderWithinItsBounds(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	for i := range 5 {
		tl.sell(t, fmt.Sprintf("k%d", i), 100)
	}
	var got []pos.Entry
	var at pos.Position
	for {
		batch, err := tl.Unsent(t.Context(), at.Epoch, at.Seq, 3, 2000)
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) == 0 {
			break
		}
		size := 0
		for _, e := range batch {
			size += offline.Size(e)
			if b, err := dcep.Marshal(e); err != nil || len(b) > offline.Size(e) {
				t.Errorf("entry %d has %d bytes, Size says %d (%v)", e.Seq, len(b), offline.Size(e), err)
			}
		}
		if len(batch) > 3 || (size > 2000 && len(batch) > 1) {
			t.Errorf("batch of %d entries, %d bytes", len(batch), size)
		}
		got = append(got, batch...)
		at = batch[len(batch)-1].Position
	}
	for i, e := range got {
		if e.Seq != uint64(i+1) {
			t.Fatalf("entry %d is number %d", i, e.Seq)
		}
	}
	if len(got) != 16 {
		t.Errorf("%d entries, want 16", len(got))
	}
	if one, err := tl.Unsent(t.Context(), 0, 0, 10, 1); err != nil || len(one) != 1 {
		t.Errorf("%d entries %v: an entry larger than the bound must still go", len(one), err)
	}
}

func TestAMissingKeyCanSendButNotWrite(t *testing.T) {
	tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
	tl.sell(t, "k1", 100)
	last := tl.all(t)[3]
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	tl.cfg.Signer = nil
	tl.reopen(t)
	_, d := tl.create("k2", 100)
	_, err := tl.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{d}, nil })
	wantCode(t, err, pos.ErrNotEnrolled)
	if err := tl.Acknowledge(t.Context(), c.receipt(t, last, 0), c.verifier); err != nil {
		t.Fatal(err)
	}
	if err := tl.OpenEpoch(t.Context(), generate(t, dcep.SM2SM3), 2, pos.EpochOpened{Reason: pos.EpochKey}, tl.now(), today, "1001"); err != nil {
		t.Fatal(err)
	}
	tl.write(t, d)
	report, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{})
	if err != nil || report.Epoch != 2 || report.LastSeq != 2 {
		t.Errorf("%+v %v", report, err)
	}
}

func TestAnEpochNeverGoesBackNorNamesAnotherHead(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	for _, epoch := range []uint32{0, 1} {
		err := tl.OpenEpoch(t.Context(), tl.cfg.Signer, epoch, pos.EpochOpened{}, tl.now(), today, "1001")
		wantCode(t, err, pos.ErrBadRequest)
	}
	err := tl.OpenEpoch(t.Context(), tl.cfg.Signer, 2, pos.EpochOpened{PrevEpoch: 1, PrevSeq: 9, PrevHead: []byte{1}}, tl.now(), today, "1001")
	wantCode(t, err, pos.ErrBadRequest)
}

func TestOperatorsAndSettingsStay(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	ctx := t.Context()
	for _, err := range []error{
		tl.AddOperator(ctx, "1001", "王", "cashier", "hash"), tl.AddOperator(ctx, "1002", "Li", "manager", "hash2"),
		tl.SetMeta(ctx, "downlink", "17"), tl.SetMeta(ctx, "downlink", "18"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, tl.AddOperator(ctx, pos.OperatorSystem, "x", "y", "z"), pos.ErrBadRequest)
	wantCode(t, tl.SetMeta(ctx, "projection_version", "9"), pos.ErrBadRequest)
	for want := 1; want <= 2; want++ {
		if n, err := tl.RecordSignInFailure(ctx, "1001", int64(want)*100); err != nil || n != want {
			t.Errorf("%d failures %v: want %d", n, err, want)
		}
	}
	_, err := tl.RecordSignInFailure(ctx, "9999", 0)
	wantCode(t, err, pos.ErrNotFound)
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	tl.reopen(t)
	o, ok, err := tl.Operator(ctx, "1001")
	if err != nil || !ok || o.Failures != 2 || o.LockedUntilMS != 200 || !o.Active || o.PINHash != "hash" {
		t.Errorf("operator %+v %v %v", o, ok, err)
	}
	if err := tl.ClearSignInFailures(ctx, "1001"); err != nil {
		t.Fatal(err)
	}
	if err := tl.RemoveOperator(ctx, "1002"); err != nil {
		t.Fatal(err)
	}
	list, err := tl.Operators(ctx)
	if err != nil || len(list) != 2 || list[0].Failures != 0 || list[1].Active {
		t.Errorf("operators %+v %v", list, err)
	}
	if v, ok, err := tl.Meta(ctx, "downlink"); err != nil || !ok || v != "18" {
		t.Errorf("meta %q %v %v", v, ok, err)
	}
}
