package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3" of the floor

	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// bareRows is the floor of taking journals in: the same entries' bytes as rows of one bare
// table of SQLite, a durable commit for each batch; no signature, chain, projection, ledger
// or network.
func (r *run) bareRows(ctx context.Context, path string, entries int) (*Peer, error) {
	const sample = 3_000 // a rate needs no more
	rows, err := bareEntries(min(entries, sample))
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL&_synchronous=FULL&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	inserted, took, err := insertRows(ctx, db, rows, r.Repeat/5)
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, fmt.Errorf("insert bare rows: %w", err)
	}
	return &Peer{
		Name:  fmt.Sprintf("the same bytes into a bare SQLite table, a commit per %d", wire.BatchEntries),
		Value: perSecond(inserted, took),
	}, nil
}

// bareEntries are the canonical bytes of a till's entries.
func bareEntries(count int) ([][]byte, error) {
	signer, _, err := pair(dcep.SM2SM3)
	if err != nil {
		return nil, err
	}
	s := &sender{id: "BENCH", epoch: 1, signer: signer}
	b := &book{}
	var rows [][]byte
	for len(rows) < count {
		for _, d := range b.sale() {
			if err := s.append(d); err != nil {
				return nil, err
			}
			row, err := dcep.Marshal(s.entries[len(s.entries)-1])
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// insertRows inserts the rows, again and again with new numbers until the time is over.
func insertRows(ctx context.Context, db *sql.DB, rows [][]byte, share time.Duration) (n int, took time.Duration, err error) {
	const table = `CREATE TABLE bare (terminal TEXT, epoch INT, seq INT, entry BLOB, PRIMARY KEY (terminal, epoch, seq)) WITHOUT ROWID`
	if _, err := db.ExecContext(ctx, table); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	for n == 0 || time.Since(began) < share {
		for batch := range slices.Chunk(rows, wire.BatchEntries) {
			if err := insertBatch(ctx, db, n, batch); err != nil {
				return 0, 0, err
			}
			n += len(batch)
		}
	}
	return n, time.Since(began), nil
}

func insertBatch(ctx context.Context, db *sql.DB, first int, rows [][]byte) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	insert, err := tx.PrepareContext(ctx, `INSERT INTO bare VALUES ('BENCH', 1, ?, ?)`)
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }() // its work is the transaction's
	for i, row := range rows {
		if _, err := insert.ExecContext(ctx, first+i+1, row); err != nil {
			return err
		}
	}
	return tx.Commit()
}
