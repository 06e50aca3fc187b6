package offline_test

import (
	"bytes"
	"os"
	"testing"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

func (tl *till) secret(t *testing.T, id pos.PaymentID) (b []byte, ok bool) {
	t.Helper()
	tl.view(t, func(v pos.JournalView) (err error) {
		b, ok, err = v.Secret(id)
		return err
	})
	return b, ok
}

// TestCodeLivesAsLongAsItsPaymentIsStored: it comes with the entry, stays over a restart, and
// goes, bytes and all, with the entry that ends it. No entry and no exported file holds it.
func TestCodeLivesAsLongAsItsPaymentIsStored(t *testing.T) {
	for _, end := range []pos.State{pos.Paid, pos.Declined} {
		tl := newTill(t, dcep.Ed25519SHA256)
		id, d := tl.create("k1", 70)
		tl.write(t, d)
		stored := tl.move(id, pos.Created, pos.Stored, nil)
		sealed := stored.Secret
		tl.write(t, stored)
		if err := tl.Close(); err != nil {
			t.Fatal(err)
		}
		tl.reopen(t)
		if got, ok := tl.secret(t, id); !ok || !bytes.Equal(got, sealed) {
			t.Fatalf("%q %t after a restart", got, ok)
		}
		for _, e := range tl.all(t) {
			if bytes.Contains(e.Body, sealed) {
				t.Error("the journal holds the code")
			}
		}
		var salvaged bytes.Buffer
		if _, err := tl.Export(t.Context(), true, &salvaged); err != nil || bytes.Contains(salvaged.Bytes(), sealed) {
			t.Errorf("the export: %v", err)
		}
		tl.write(t, tl.move(id, pos.Stored, end, nil))
		if _, ok := tl.secret(t, id); ok {
			t.Errorf("it is kept after %s", end)
		}
		if err := tl.Close(); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", "-wal"} {
			if file, err := os.ReadFile(tl.cfg.Path + suffix); err == nil && bytes.Contains(file, sealed) {
				t.Errorf("its bytes are in the file%s after %s", suffix, end)
			}
		}
	}
}

// TestNothingIsStoredThatCouldNotBeCharged: entry and code are written together or not at
// all, and a code stands with no other entry.
func TestNothingIsStoredThatCouldNotBeCharged(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	id, d := tl.create("k1", 70)
	tl.write(t, d)
	for name, spoil := range map[string]func(*pos.Draft){
		"no code":               func(d *pos.Draft) { d.Secret = nil },
		"an endless code":       func(d *pos.Draft) { d.Secret = make([]byte, 1025) },
		"a code that is asked":  func(d *pos.Draft) { d.Body = pos.PaymentMoved{From: pos.Created, To: pos.Asking, Source: "till"} },
		"an entry that misfits": func(d *pos.Draft) { d.Body = pos.PaymentMoved{From: pos.Asking, To: pos.Stored, Source: "till"} },
		"a code of no operator": func(d *pos.Draft) { d.Operator = "" },
	} {
		draft := tl.move(id, pos.Created, pos.Stored, nil)
		spoil(&draft)
		if _, err := tl.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{draft}, nil }); err == nil {
			t.Errorf("%s was taken", name)
		}
		if _, ok := tl.secret(t, id); ok {
			t.Errorf("%s left a code", name)
		}
	}
	tl.write(t, tl.move(id, pos.Created, pos.Stored, nil)) // none of it stands in the way
}
