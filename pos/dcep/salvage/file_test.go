package salvage_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/pos"
	"dcpos/pos/dcep/salvage"
)

func entry(epoch uint32, seq uint64) pos.Entry {
	return pos.Entry{
		Position: pos.Position{Terminal: "T-1", Epoch: epoch, Seq: seq}, Env: pos.Lab, Kind: pos.KindDrawer, Operator: "1001",
		BusinessDate: "2026-11-21", Body: []byte{0xa0}, Hash: bytes.Repeat([]byte{byte(seq)}, 32), Sig: make([]byte, 64),
	}
}

func written(tb testing.TB, entries ...pos.Entry) ([]byte, salvage.End) {
	tb.Helper()
	var b bytes.Buffer
	w, err := salvage.NewWriter(&b)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			tb.Fatal(err)
		}
	}
	end, err := w.Close("a page is gone")
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes(), end
}

func TestWhatIsWrittenIsReadWithItsGaps(t *testing.T) {
	want := []pos.Entry{entry(1, 1), entry(1, 2), entry(1, 5), entry(3, 4), entry(3, 5)}
	b, _ := written(t, want...)
	var got []pos.Entry
	end, err := salvage.Read(bytes.NewReader(b), func(e pos.Entry) error { got = append(got, e); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	wantEnd := salvage.End{Entries: 5, Gaps: []salvage.Gap{{Epoch: 1, From: 3, To: 4}, {Epoch: 3, From: 1, To: 3}}, Problem: "a page is gone"}
	if d := cmp.Diff(wantEnd, end); d != "" {
		t.Error(d)
	}
}

func TestEntriesOutOfOrderAreRefused(t *testing.T) {
	w, err := salvage.NewWriter(&bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		e  pos.Entry
		ok bool
	}{{entry(2, 3), true}, {entry(2, 3), false}, {entry(2, 2), false}, {entry(1, 9), false}, {entry(2, 4), true}} {
		if err := w.Add(c.e); (err == nil) != c.ok {
			t.Errorf("epoch %d entry %d: %v", c.e.Epoch, c.e.Seq, err)
		}
	}
}

func TestAnyChangedOrMissingByteIsFound(t *testing.T) {
	b, _ := written(t, entry(1, 1), entry(1, 3))
	keep := func(pos.Entry) error { return nil }
	for i := range b {
		changed := bytes.Clone(b)
		changed[i] ^= 1
		if _, err := salvage.Read(bytes.NewReader(changed), keep); !errors.Is(err, salvage.ErrFormat) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := salvage.Read(bytes.NewReader(b[:i]), keep); !errors.Is(err, salvage.ErrFormat) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := salvage.Read(bytes.NewReader(append(bytes.Clone(b), 0)), keep); !errors.Is(err, salvage.ErrFormat) {
		t.Errorf("one byte more: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	whole, _ := written(f, entry(1, 1), entry(1, 3))
	f.Add(whole)
	f.Add([]byte(salvage.Magic))
	f.Add([]byte(salvage.Magic + "\xff\xff\xff\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var entries []pos.Entry
		end, err := salvage.Read(bytes.NewReader(b), func(e pos.Entry) error { entries = append(entries, e); return nil })
		if err == nil && end.Entries != uint64(len(entries)) {
			t.Errorf("%d entries, the end says %d", len(entries), end.Entries)
		}
	})
}
