package offline

import (
	"context"
	"errors"
	"fmt"
	"math"

	"dcpos/offline/file"
	"dcpos/pos"
)

// entryColumns are the columns of table journal in the order of scanEntry and insertEntry.
const entryColumns = `terminal, epoch, seq, env, kind, payment, operator,
	wall_ms, mono_ms, boot_id, centre_ms, business_date, body, prev, hash, sig`

const insertEntry = `INSERT INTO journal (` + entryColumns + `) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`

// errStray marks a row whose place no entry of ours can have.
var errStray = errors.New("row outside of every epoch")

// scanner is what *sql.Row and *sql.Rows have in common.
type scanner interface{ Scan(dest ...any) error }

// scanEntry reads one row exactly as it was written: NULL is nil, an empty blob is not,
// so that no change of a column escapes the hash.
func scanEntry(row scanner) (pos.Entry, error) {
	var e pos.Entry
	var epoch, seq int64
	var payment []byte
	err := row.Scan(&e.Terminal, &epoch, &seq, &e.Env, &e.Kind, &payment, &e.Operator,
		&e.At.WallMS, &e.At.MonoMS, &e.At.BootID, &e.At.CentreMS, &e.BusinessDate, &e.Body, &e.Prev, &e.Hash, &e.Sig)
	if err != nil {
		return e, err
	}
	if epoch < 1 || epoch > math.MaxUint32 || seq < 1 {
		return e, fmt.Errorf("epoch %d, sequence number %d: %w", epoch, seq, errStray)
	}
	e.Epoch, e.Seq = uint32(epoch), uint64(seq)
	if payment == nil {
		return e, nil
	}
	if len(payment) != len(e.Payment) {
		return e, fmt.Errorf("entry %d: payment id of %d bytes", e.Seq, len(payment))
	}
	if copy(e.Payment[:], payment); e.Payment.IsZero() {
		return e, fmt.Errorf("entry %d: payment id of zeros", e.Seq)
	}
	return e, nil
}

// entryValues are the columns of an entry in the order of entryColumns.
func entryValues(e pos.Entry) []any {
	return []any{
		e.Terminal, int64(e.Epoch), int64(e.Seq), string(e.Env), string(e.Kind), idBlob(e.Payment), e.Operator,
		e.At.WallMS, e.At.MonoMS, e.At.BootID, e.At.CentreMS, string(e.BusinessDate), e.Body, e.Prev, e.Hash, e.Sig,
	}
}

// idBlob is NULL for the zero id.
func idBlob(id pos.PaymentID) any {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// place is a position within the file of one terminal.
type place struct {
	epoch uint32
	seq   uint64
}

func (p place) before(q place) bool {
	return p.epoch < q.epoch || (p.epoch == q.epoch && p.seq < q.seq)
}

func placeOf(e pos.Entry) place { return place{e.Epoch, e.Seq} }

// entriesAfter reads up to limit entries after a place, in order, and stops at maxBytes of
// bodies and overhead but gives at least one.
func entriesAfter(ctx context.Context, db file.Querier, after place, limit, maxBytes int) ([]pos.Entry, error) {
	rows, err := db.QueryContext(ctx, `SELECT `+entryColumns+` FROM journal WHERE (epoch, seq) > (?, ?)
		ORDER BY epoch, seq LIMIT ?`, int64(after.epoch), int64(after.seq), limit)
	if err != nil {
		return nil, storage(err)
	}
	defer func() { _ = rows.Close() }()
	var entries []pos.Entry
	size := 0
	for rows.Next() {
		e, err := scanEntry(rows)
		if err != nil {
			return nil, storage(err)
		}
		if size += Size(e); len(entries) > 0 && size > maxBytes {
			break
		}
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, storage(err)
	}
	return entries, nil
}

// Size is an upper estimate of an entry's canonical bytes, for batches that must fit a message.
func Size(e pos.Entry) int {
	const names = 256 // field names, numbers and lengths of the canonical map
	return names + len(e.Terminal) + len(e.Kind) + len(e.Payment) + len(e.Operator) + len(e.At.BootID) +
		len(e.Body) + len(e.Prev) + len(e.Hash) + len(e.Sig)
}
