package offline

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"dcpos/offline/file"
	"dcpos/pos"
)

// MaxAttachment bounds one attachment in bytes.
const MaxAttachment = 256 << 10

// attachmentAge is how long an attachment is kept that no open print job names: a job
// that ended UNKNOWN may be asked for again.
const attachmentAge = 24 * time.Hour

// attach keeps a draft's attachment, and drops those that nobody needs any more. The same
// bytes are kept once.
func attach(ctx context.Context, tx *sql.Tx, d pos.Draft) error {
	if len(d.Attachment) == 0 {
		return nil
	}
	if len(d.Attachment) > MaxAttachment {
		return pos.FieldError(pos.ErrTooLarge, "attachment", fmt.Errorf("%d bytes, at most %d", len(d.Attachment), MaxAttachment))
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM attachments WHERE kept_ms < ? AND hash NOT IN
		(SELECT doc->>'content' FROM prints WHERE open = 1 AND doc->>'content' IS NOT NULL)`, d.At.WallMS-attachmentAge.Milliseconds())
	if err != nil {
		return fmt.Errorf("drop attachments: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO attachments (hash, kept_ms, doc) VALUES (?, ?, ?)
		ON CONFLICT (hash) DO UPDATE SET kept_ms = max(kept_ms, excluded.kept_ms), doc = excluded.doc`,
		hashOf(d.Attachment), d.At.WallMS, d.Attachment)
	if err != nil {
		return fmt.Errorf("keep attachment: %w", err)
	}
	return nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (v *view) Attachment(hash string) ([]byte, bool, error) { return attachment(v.ctx, v.db, hash) }

func attachment(ctx context.Context, db file.Querier, hash string) ([]byte, bool, error) {
	var b []byte
	err := db.QueryRowContext(ctx, `SELECT doc FROM attachments WHERE hash = ?`, hash).Scan(&b)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, storage(err)
	}
	return b, hashOf(b) == hash, nil // a bit may have flipped on the disk
}
