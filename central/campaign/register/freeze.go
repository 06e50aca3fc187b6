package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"dcpos/central/campaign/draw"
	"dcpos/pos"
)

// page is how many entries are read at once.
const page = 10_000

// Freeze ends registration after its close and writes entries.csv. From then on nothing
// changes, so that writing it again makes the same bytes.
func (d *Desk) Freeze(ctx context.Context, w io.Writer, by string) error {
	now := d.cfg.Now()
	if now.Before(d.rules.Register.Until) {
		return pos.NewError(pos.ErrIllegalMove, errors.New("freeze: registration has not closed"))
	}
	err := d.cfg.Store.Write(ctx, func(tx Tx) error {
		frozen, err := tx.FrozenMS(ctx, d.rules.Name)
		if err != nil || frozen > 0 {
			return err
		}
		return errors.Join(tx.PutFrozen(ctx, d.rules.Name, now.UnixMilli()),
			tx.Audit(ctx, by, "registration_frozen", d.rules.Name, d.cfg.Campaign.Hash))
	})
	if err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	if err := d.cfg.Store.PutList(ctx, d.rules.Name); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	return draw.WriteList(w, d.list(ctx))
}

// list is the entries that count, by ticket.
func (d *Desk) list(ctx context.Context) iter.Seq2[draw.Entry, error] {
	return func(yield func(draw.Entry, error) bool) {
		var after *draw.Ticket
		for {
			var part []Listed
			err := d.cfg.Store.Read(ctx, func(tx Tx) (err error) {
				part, err = tx.List(ctx, d.rules.Name, after, page)
				return err
			})
			if err != nil {
				yield(draw.Entry{}, err)
				return
			}
			for _, l := range part {
				if d.counts(l.Place) && !yield(l.Entry, nil) {
					return
				}
			}
			if len(part) < page {
				return
			}
			after = &part[len(part)-1].Ticket
		}
	}
}

// Destroy forgets who the entrants were, KeepDays after the spend window. The tickets
// stay, and the draw verifies as before. Where nothing is left it is a repeat.
func (d *Desk) Destroy(ctx context.Context, by string) error {
	if due := d.rules.Spend.Until.AddDate(0, 0, d.rules.Registration.KeepDays); d.cfg.Now().Before(due) {
		return pos.NewError(pos.ErrIllegalMove, fmt.Errorf("destroy: personal data is kept until %s", due.Format(time.DateOnly)))
	}
	err := d.cfg.Store.Write(ctx, func(tx Tx) error {
		if _, found, err := tx.Key(ctx, d.rules.Name); err != nil || !found {
			return err
		}
		return errors.Join(tx.DropKey(ctx, d.rules.Name), tx.Audit(ctx, by, "registration_key_destroyed", d.rules.Name, ""))
	})
	if err != nil {
		return fmt.Errorf("destroy: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys = nil
	return nil
}

// Reveal reads the personal data behind tickets of the frozen list, for the offers to winners; each is audited.
// Who is not in the registration, or cannot be read, is left out. It fails once the key is
// destroyed.
func (d *Desk) Reveal(ctx context.Context, tickets []draw.Ticket, by string) (map[draw.Ticket]Personal, error) {
	var found []Record
	var key []byte
	err := d.cfg.Store.Write(ctx, func(tx Tx) error {
		wrapped, have, err := tx.Key(ctx, d.rules.Name)
		if err != nil {
			return err
		}
		if !have {
			return pos.NewError(pos.ErrNotFound, errors.New("personal data was destroyed"))
		}
		if key, err = unwrap(d.wrap, d.rules.Name, wrapped); err != nil {
			return err
		}
		found, err = d.lookUp(ctx, tx, tickets, by)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reveal: %w", err)
	}
	k, err := keysOf(key, d.rules.Name)
	if err != nil {
		return nil, err
	}
	people := make(map[draw.Ticket]Personal, len(found))
	for _, rec := range found {
		if p, err := k.reveal(rec.Sealed, rec.Ref); err == nil {
			people[rec.Ticket] = p
		}
	}
	return people, nil
}

// lookUp finds the records of tickets; each look is audited.
func (d *Desk) lookUp(ctx context.Context, tx Tx, tickets []draw.Ticket, by string) ([]Record, error) {
	var found []Record
	for _, ticket := range tickets {
		rec, have, err := tx.ByTicket(ctx, d.rules.Name, ticket)
		if err != nil {
			return nil, err
		}
		if !have {
			continue
		}
		if err := tx.Audit(ctx, by, "entrant_revealed", d.rules.Name, ticket.String()); err != nil {
			return nil, err
		}
		found = append(found, rec)
	}
	return found, nil
}
