package store

import (
	"context"
	"fmt"
	"io"

	"dcpos/central/console"
	"dcpos/central/reconcile/breaks"
	"dcpos/pos"
)

// ConsoleBreaks lets people work on breaks on the console.
func ConsoleBreaks(desk *breaks.Desk, s *Store) console.Breaks {
	return consoleBreaks{desk, s.Breaks()}
}

type consoleBreaks struct {
	desk  *breaks.Desk
	store breaks.Store
}

func actor(p console.Person) breaks.Person { return breaks.Person(p) }

// Cases implements console.Breaks.
func (c consoleBreaks) Cases(ctx context.Context, f pos.BreakFilter) ([]pos.BreakCase, error) {
	return c.store.Cases(ctx, f)
}

// Case implements console.Breaks.
func (c consoleBreaks) Case(ctx context.Context, id string) (console.BreakFile, error) {
	of, remedies, events, found, err := c.store.Case(ctx, id)
	if err == nil && !found {
		err = pos.FieldError(pos.ErrNotFound, "break", fmt.Errorf("no break %.64q", id))
	}
	return console.BreakFile{Case: of, Remedies: remedies, Events: events}, err
}

// Proposals implements console.Breaks.
func (c consoleBreaks) Proposals(ctx context.Context, limit int) ([]pos.Remedy, []pos.BreakCase, error) {
	return c.store.Proposals(ctx, pos.RemedyProposed, limit)
}

// Aging implements console.Breaks.
func (c consoleBreaks) Aging(ctx context.Context) ([]pos.BreakAge, error) { return c.store.Aging(ctx) }

// Settlements implements console.Breaks.
func (c consoleBreaks) Settlements(ctx context.Context, date pos.Date, limit int) ([]pos.Settlement, error) {
	return c.store.Settlements(ctx, date, limit)
}

// FourEyes implements console.Breaks.
func (c consoleBreaks) FourEyes() pos.Money { return c.desk.FourEyes() }

// Remedies implements console.Breaks.
func (c consoleBreaks) Remedies(of *pos.BreakCase) []pos.RemedyKind { return breaks.Fitting(of) }

// Assign implements console.Breaks.
func (c consoleBreaks) Assign(ctx context.Context, id, to string, by console.Person) error {
	_, err := c.desk.Assign(ctx, id, to, actor(by))
	return err
}

// Explain implements console.Breaks.
func (c consoleBreaks) Explain(ctx context.Context, id string, cause pos.BreakCause, note string, by console.Person) error {
	_, err := c.desk.Explain(ctx, id, cause, note, actor(by))
	return err
}

// CarryOver implements console.Breaks.
func (c consoleBreaks) CarryOver(ctx context.Context, id string, until pos.Date, by console.Person) error {
	_, err := c.desk.CarryOver(ctx, id, until, actor(by))
	return err
}

// Propose implements console.Breaks.
func (c consoleBreaks) Propose(ctx context.Context, id string, kind pos.RemedyKind, reason string, by console.Person) (pos.Remedy, error) {
	return c.desk.Propose(ctx, id, kind, reason, actor(by))
}

// Decide implements console.Breaks.
func (c consoleBreaks) Decide(ctx context.Context, remedy string, approve bool, reason string, by console.Person) (pos.Remedy, error) {
	return c.desk.Decide(ctx, remedy, approve, reason, actor(by))
}

// WriteCSV implements console.Breaks.
func (c consoleBreaks) WriteCSV(w io.Writer, cases []pos.BreakCase, on pos.Date) error {
	return breaks.WriteCSV(w, cases, on)
}

// WriteExcel implements console.Breaks.
func (c consoleBreaks) WriteExcel(w io.Writer, cases []pos.BreakCase, on pos.Date, lang string) error {
	return breaks.WriteExcel(w, cases, on, lang)
}
