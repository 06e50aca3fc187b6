package store

import (
	"context"
	"database/sql"
	"fmt"

	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/register"
)

// PutList implements register.Store. It goes on behind the last that is there: rows come in the order of
// tickets and each transaction takes the next, so that what is there is always the beginning, whoever
// else writes the list at once, and whoever ends in the middle.
func (s registrationStore) PutList(ctx context.Context, campaign string) error {
	err := s.view(ctx, func(t *Tx) error {
		var last []byte
		if _, err := one(t.QueryRow(ctx, `SELECT ticket FROM registration_list WHERE campaign = ? ORDER BY ticket DESC LIMIT 1`, campaign), &last); err != nil {
			return err
		}
		// The plus keeps both engines from the indexes of what is confirmed: they would read the table at random places.
		rows, err := t.Query(ctx, `SELECT ticket, ref, stratum, institution, place FROM registrations
			WHERE campaign = ? AND +confirmed_ms > 0 AND ticket > ? ORDER BY ticket`, campaign, blob(last))
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells what matters
		for {
			part, err := nextListed(rows, campaign)
			if err != nil || len(part) == 0 {
				return err
			}
			if err := s.tx(ctx, func(t *Tx) error { return t.putListed(ctx, part) }); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return fmt.Errorf("keep list: %w", err)
	}
	return nil
}

// listedAtOnce bounds a transaction that writes the list: others write between two.
const listedAtOnce = 4096

const listedWidth = 6

// nextListed reads the values of the next rows, listedWidth each.
func nextListed(rows *sql.Rows, campaign string) (values []any, err error) {
	for len(values) < listedAtOnce*listedWidth && rows.Next() {
		var ticket, ref []byte
		var stratum, institution, place string
		if err := rows.Scan(&ticket, &ref, &stratum, &institution, &place); err != nil {
			return nil, err
		}
		values = append(values, campaign, ticket, ref, stratum, institution, place)
	}
	return values, rows.Err()
}

func (t *Tx) putListed(ctx context.Context, values []any) error {
	for len(values) > 0 {
		n := rowsAtOnce(len(values) / listedWidth)
		if _, err := t.Exec(ctx, `INSERT INTO registration_list (campaign, ticket, ref, stratum, institution, place) VALUES `+
			rowsOf(listedWidth, n)+` ON CONFLICT DO NOTHING`, values[:n*listedWidth]...); err != nil {
			return err
		}
		values = values[n*listedWidth:]
	}
	return nil
}

// ByTicket implements register.Tx.
func (t registrationTx) ByTicket(ctx context.Context, campaign string, ticket draw.Ticket) (r register.Record, found bool, err error) {
	var ref []byte
	found, err = one(t.QueryRow(ctx, `SELECT ref FROM registration_list WHERE campaign = ? AND ticket = ?`, campaign, ticket[:]), &ref)
	if err != nil || !found {
		return r, false, err
	}
	return oneRegistration(t.QueryRow(ctx, selectRegistrations+byRef, ref[:min(prefix, len(ref))], ref, campaign))
}

// List implements register.Tx.
func (t registrationTx) List(ctx context.Context, campaign string, after *draw.Ticket, limit int) ([]register.Listed, error) {
	query := `SELECT ticket, stratum, institution, place FROM registration_list WHERE campaign = ?`
	args := []any{campaign}
	if after != nil {
		query += ` AND ticket > ?`
		args = append(args, after[:])
	}
	rows, err := t.Query(ctx, query+` ORDER BY ticket LIMIT ?`, append(args, limit)...)
	return list(rows, err, "entries", func(row interface{ Scan(...any) error }) (l register.Listed, err error) {
		var ticket []byte
		err = row.Scan(&ticket, &l.Stratum, &l.Institution, &l.Place)
		copy(l.Ticket[:], ticket)
		return l, err
	})
}
