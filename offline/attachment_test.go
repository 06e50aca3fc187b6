package offline_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"testing"
	"time"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// attached is the first entry of a print job whose paper is attached.
func (tl *till) attached(job string, doc []byte) pos.Draft {
	d := tl.draft(pos.KindPrint, pos.PaymentID{}, pos.Printed{
		Job: job, Kind: pos.PrintReceipt, Result: string(pos.PrintQueued), Caller: "sdk", Key: job, Content: sum(doc),
	})
	d.Attachment = doc
	return d
}

// kept reports whether the attachment is found, whole.
func (tl *till) kept(t *testing.T, doc []byte) (ok bool) {
	t.Helper()
	tl.view(t, func(v pos.JournalView) error {
		b, found, err := v.Attachment(sum(doc))
		ok = found && bytes.Equal(b, doc)
		return err
	})
	return ok
}

func TestAttachments(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	open, over, next := []byte(`{"open":1}`), []byte(`{"over":1}`), []byte(`{"next":1}`)
	tl.write(t, tl.attached("1", open), tl.attached("2", over), tl.attached("3", over))
	if !tl.kept(t, open) || !tl.kept(t, over) || tl.kept(t, next) {
		t.Fatal("what was attached is not as it was")
	}
	for _, job := range []string{"2", "3"} {
		tl.write(t, tl.draft(pos.KindPrint, pos.PaymentID{}, pos.Printed{Job: job, Kind: pos.PrintReceipt, Result: "CANCELLED"}))
	}
	if !tl.kept(t, over) {
		t.Fatal("dropped before its day was over")
	}
	later := tl.attached("4", next)
	later.At.WallMS += (25 * time.Hour).Milliseconds()
	tl.write(t, later)
	if !tl.kept(t, open) || tl.kept(t, over) || !tl.kept(t, next) {
		t.Fatal("an open job's paper is kept, one that is over is not")
	}

	_, err := tl.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) {
		return []pos.Draft{tl.attached("5", make([]byte, offline.MaxAttachment+1))}, nil
	})
	if e := pos.AsError(err); e.Code != pos.ErrTooLarge || e.Field != "attachment" {
		t.Fatal(err)
	}
	if r, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{}); err != nil || !r.OK || !r.Projections {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestADamagedAttachmentIsNotFound(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	doc := []byte(`{"items":[]}`)
	tl.write(t, tl.attached("1", doc))
	db, err := sql.Open("sqlite3", tl.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE attachments SET doc = ?`, []byte(`{"items":{}}`)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	tl.view(t, func(v pos.JournalView) error {
		if _, ok, err := v.Attachment(sum(doc)); ok || err != nil {
			t.Errorf("%t %v", ok, err)
		}
		return nil
	})
}
