package offline

import (
	"context"
	"database/sql"
	"errors"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Forwarded is what is stored at the merchant's risk: the centre's receipt for the entry
// charges nobody, so that it counts until it is decided.
func (v *view) Forwarded() (pos.StoredMoney, error) { return forwarded(v.ctx, v.db) }

func forwarded(ctx context.Context, db file.Querier) (pos.StoredMoney, error) {
	var m pos.StoredMoney
	err := db.QueryRowContext(ctx, `SELECT coalesce(sum(amount), 0), count(*), coalesce(min(updated_ms), 0)
		FROM payments WHERE state = ?`, string(pos.Stored)).Scan(&m.Total, &m.Count, &m.OldestMS)
	if err != nil {
		return m, storage(err)
	}
	return m, nil
}

// WalletSince is the wallet's evidence that was taken, or judged, since; receipted or not.
func (v *view) WalletSince(wallet string, sinceMS int64) (pos.StoredMoney, error) {
	var m pos.StoredMoney
	err := v.db.QueryRowContext(v.ctx, `SELECT coalesce(sum(amount), 0), count(*), coalesce(min(updated_ms), 0)
		FROM payments WHERE wallet = ? AND counter IS NOT NULL AND updated_ms >= ?`, wallet, sinceMS).
		Scan(&m.Total, &m.Count, &m.OldestMS)
	if err != nil {
		return m, storage(err)
	}
	return m, nil
}

// ConfigVersion is the highest version that a config_changed entry names of what, be it
// forgotten by now; 0 without one.
func (s *Store) ConfigVersion(ctx context.Context, what string) (highest uint64, err error) {
	err = s.snapshot(ctx, func(tx *sql.Tx) error {
		kept, ok, err := checkpoint(ctx, tx)
		if err != nil {
			return err
		}
		for _, c := range kept.Configs {
			if ok && c.What == what {
				highest = c.Version
			}
		}
		named, err := configNamed(ctx, tx, what)
		highest = max(highest, named)
		return err
	})
	return highest, err
}

// configNamed is the highest version that an entry of the file names.
func configNamed(ctx context.Context, db file.Querier, what string) (uint64, error) {
	rows, err := db.QueryContext(ctx, `SELECT body FROM journal WHERE kind = ?`, string(pos.KindConfig))
	if err != nil {
		return 0, storage(err)
	}
	defer func() { _ = rows.Close() }()
	var highest uint64
	for rows.Next() {
		var body sql.RawBytes
		var c pos.ConfigChanged
		if err := rows.Scan(&body); err != nil {
			return 0, storage(err)
		}
		if err := dcep.Unmarshal(body, &c); err != nil {
			return 0, pos.NewError(pos.ErrChainBroken, errors.New("config_changed entry is not readable"))
		}
		if c.What == what {
			highest = max(highest, c.Version)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, storage(err)
	}
	return highest, nil
}
