package offline

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep/salvage"
)

// SalvageReport tells what was read of a damaged journal.
type SalvageReport struct {
	Entries  uint64        `json:"entries"`
	Altered  uint64        `json:"altered"` // rows that were read but are not what was hashed; left out
	Gaps     []salvage.Gap `json:"gaps"`
	LastSeq  uint64        `json:"last_seq"`
	Epoch    uint32        `json:"epoch"`
	Problem  string        `json:"problem"` // what Verify says of the file
	Damaged  bool          `json:"damaged"` // Verify found something
	Terminal string        `json:"terminal"`
}

// Salvage writes every readable entry of a journal to w (package salvage), names the gaps, and leaves the
// journal as it is. An entry that its own hash does not vouch for is counted and left out. A file in
// which nothing can be read is ErrNotDatabase or pos.ErrChainBroken.
func Salvage(ctx context.Context, path string, w io.Writer) (SalvageReport, error) {
	var r SalvageReport
	if _, err := Verify(ctx, path, VerifyOptions{}); err != nil {
		r.Damaged, r.Problem = true, err.Error()
	}
	entries, err := r.readable(ctx, path)
	if err != nil {
		return r, fmt.Errorf("salvage: %w", err)
	}
	out, err := salvage.NewWriter(w)
	if err != nil {
		return r, err
	}
	r.after(ctx, path, out)
	for _, e := range entries {
		if err := out.Add(e); err != nil {
			return r, err
		}
		r.Epoch, r.LastSeq, r.Terminal = e.Epoch, e.Seq, e.Terminal
	}
	end, err := out.Close(r.Problem)
	r.Entries, r.Gaps = end.Entries, end.Gaps
	return r, err
}

// after notes what was forgotten behind a checkpoint: that is no gap. A checkpoint that cannot be read says nothing.
func (r *SalvageReport) after(ctx context.Context, path string, out *salvage.Writer) {
	db := file.Pool(path, file.Read, 1)
	defer func() { _ = db.Close() }() // nothing was written
	if k, ok, err := checkpoint(ctx, db); err == nil && ok {
		out.After(k.epoch, k.seq)
	}
}

// Export writes what the centre has not receipted (all: everything that is here) as a plain salvage file (package
// salvage) to w, in order, from one snapshot, and tells how much it is. The journal must be whole: Verify it first.
func (s *Store) Export(ctx context.Context, all bool, w io.Writer) (r SalvageReport, err error) {
	err = s.snapshot(ctx, func(tx *sql.Tx) error {
		from, err := exportFrom(ctx, tx, all)
		if err != nil {
			return err
		}
		out, err := salvage.NewWriter(w)
		if err != nil {
			return err
		}
		for out.After(from.epoch, from.seq); ; {
			entries, err := entriesAfter(ctx, tx, from, 1000, 4<<20)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if err := out.Add(e); err != nil {
					return err
				}
				from = placeOf(e)
				r.Epoch, r.LastSeq, r.Terminal = e.Epoch, e.Seq, e.Terminal
			}
			if len(entries) == 0 {
				break
			}
		}
		end, err := out.Close("")
		r.Entries, r.Gaps = end.Entries, end.Gaps
		return err
	})
	return r, err
}

func exportFrom(ctx context.Context, tx *sql.Tx, all bool) (place, error) {
	if !all {
		c, err := cursor(ctx, tx)
		return c.place, err
	}
	k, _, err := checkpoint(ctx, tx)
	return k.place, err
}

// ReadSalvage reads what Salvage wrote. Entries come in order and are not verified against any key: that
// is the receiver's part. An error means that the file is not whole.
func ReadSalvage(in io.Reader, keep func(pos.Entry) error) (salvage.End, error) {
	return salvage.Read(in, keep)
}

// readable reads the file as it is and, if that gives nothing, a copy of it with a new first page. The copy
// leaves out a WAL: without a header it cannot be told whether it belongs to the file.
func (r *SalvageReport) readable(ctx context.Context, path string) (entries []pos.Entry, err error) {
	before, err := stamp(path)
	if err != nil {
		return nil, err
	}
	access := file.Read
	if before.alone() {
		access = file.ReadAlone
	}
	entries, err = r.read(ctx, path, access)
	if err == nil {
		return entries, nil
	}
	dir, e := os.MkdirTemp("", "salvage")
	if e != nil {
		return nil, errors.Join(err, e)
	}
	defer func() {
		if e := os.RemoveAll(dir); e != nil {
			entries, err = nil, errors.Join(err, e)
		}
	}()
	grafted, e := file.Graft(ctx, path, dir)
	if e != nil {
		return nil, errors.Join(err, e)
	}
	r.Altered = 0
	if entries, e = r.read(ctx, grafted, file.ReadAlone); e != nil || len(entries) == 0 {
		return nil, err
	}
	return entries, nil
}

// read collects the entries, from both ends towards the damage and then number by number through it.
func (r *SalvageReport) read(ctx context.Context, path string, access file.Access) (entries []pos.Entry, err error) {
	db := file.Pool(path, access, 1)
	defer func() { err = errors.Join(err, db.Close()) }()
	found := map[place]pos.Entry{}
	up, upErr := r.scan(ctx, db, found, `ORDER BY epoch, seq`)
	if upErr != nil {
		down, downErr := r.scan(ctx, db, found, `ORDER BY epoch DESC, seq DESC`)
		if len(found) == 0 {
			return nil, storage(errors.Join(upErr, downErr))
		}
		if downErr == nil || up.epoch != down.epoch || down.seq < up.seq {
			down = up
		}
		if err := r.probe(ctx, db, found, up, down); err != nil {
			return nil, err
		}
	}
	for _, e := range found {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b pos.Entry) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
	})
	return entries, nil
}

// scan reads rows in one direction until the file cannot be read further; last is the last place read.
func (r *SalvageReport) scan(ctx context.Context, db *sql.DB, found map[place]pos.Entry, order string) (last place, err error) {
	rows, err := db.QueryContext(ctx, `SELECT `+entryColumns+` FROM journal `+order)
	if err != nil {
		return last, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e, err := scanEntry(rows)
		if err != nil {
			r.Altered++
			continue
		}
		last = placeOf(e)
		r.take(found, e)
	}
	return last, rows.Err()
}

// maxProbe bounds how many numbers are looked for one by one.
const maxProbe = 1_000_000

// probe asks for each entry between the two ends alone; a lookup fails only if its own path through the
// file is damaged.
func (r *SalvageReport) probe(ctx context.Context, db *sql.DB, found map[place]pos.Entry, up, down place) error {
	for seq := up.seq + 1; seq < min(down.seq, up.seq+maxProbe); seq++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		row := db.QueryRowContext(ctx, `SELECT `+entryColumns+` FROM journal WHERE epoch = ? AND seq = ?`, up.epoch, int64(seq))
		if e, err := scanEntry(row); err == nil {
			r.take(found, e)
		}
	}
	return nil
}

// take keeps an entry that its hash vouches for.
func (r *SalvageReport) take(found map[place]pos.Entry, e pos.Entry) {
	if _, known := found[placeOf(e)]; known {
		return
	}
	if vouched(e) {
		found[placeOf(e)] = e
		return
	}
	r.Altered++
}
