package office

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dcpos/central/campaign/draw"
	"dcpos/pos"
)

// Result is what the draw gave an entry; zero: nothing.
type Result struct {
	Rank  int64     // of a winner, from 1
	Face  pos.Money // of her envelope
	Place int64     // on the waiting list of her stratum, from 1
}

// Results are those of a draw, by ticket.
type Results map[draw.Ticket]Result

// Results reads a drawn campaign's winners and waiting list once, held against the log.
// Where the folder is of another machine it is made here first.
func (o *Office) Results(ctx context.Context, c Campaign) (Results, error) {
	o.mu.Lock()
	r, ok := o.results[c.Hash]
	o.mu.Unlock()
	if ok {
		return r, nil
	}
	if c.ResultSeen().IsZero() || c.Round == nil {
		return nil, pos.FieldError(pos.ErrIllegalMove, "campaign", errors.New("it was not drawn yet"))
	}
	r, err := o.readResults(c)
	if err != nil {
		if _, err = o.Draw(ctx, c.Definition.Name, *c.Round, "centre"); err == nil {
			r, err = o.readResults(c)
		}
	}
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.results[c.Hash] = r
	o.mu.Unlock()
	return r, nil
}

// Move is what the waiting list's moves did to an entry.
type Move struct {
	Up     bool      // she moved up, to an envelope of Face
	Passed bool      // her envelope passed to who waited
	Face   pos.Money // of the envelope
}

// moved are the moves of a log as far as it was read; it is only replaced.
type moved struct {
	n     int64
	moves map[draw.Ticket]Move
}

// Moves are those of the waiting list that are witnessed, by ticket.
func (o *Office) Moves(ctx context.Context, c Campaign) (map[draw.Ticket]Move, error) {
	n, drawn := c.shown(), int64(c.Version)+2
	if n <= drawn { // most campaigns never move anybody, and need no look at the folder
		return map[draw.Ticket]Move{}, nil
	}
	o.mu.Lock()
	have := o.moved[c.Hash]
	o.mu.Unlock()
	if have.moves != nil && have.n == n {
		return have.moves, nil
	}
	results, err := o.Results(ctx, c)
	if err != nil {
		return nil, err
	}
	moves := map[draw.Ticket]Move{}
	for _, r := range c.Log.Records[drawn:n] {
		out, err := draw.ParseTicket(r.Out)
		if err != nil {
			return nil, err
		}
		gone := moves[out]
		if !gone.Up {
			gone.Face = results[out].Face
		}
		moves[out] = Move{Up: gone.Up, Passed: true, Face: gone.Face}
		if r.In == "" {
			continue
		}
		next, err := draw.ParseTicket(r.In)
		if err != nil {
			return nil, err
		}
		moves[next] = Move{Up: true, Face: gone.Face}
	}
	o.mu.Lock()
	o.moved[c.Hash] = moved{n, moves}
	o.mu.Unlock()
	return moves, nil
}

func (o *Office) readResults(c Campaign) (Results, error) {
	dir := o.Dir(c.Definition.Name)
	b, err := os.ReadFile(filepath.Join(dir, draw.TranscriptFile)) //nolint:gosec // our folder
	if err != nil {
		return nil, fmt.Errorf("read transcript: %w", err)
	}
	var t draw.Transcript
	if logged, _ := c.Log.Result(); sum(b) != logged.SHA256 {
		return nil, errors.New("transcript.json is not the one that was logged")
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fmt.Errorf("read transcript: %w", err)
	}
	all := make(Results, t.Winners+t.Waiting)
	for _, f := range []struct {
		name, hash string
		read       func(fields []string) (r Result, err error)
	}{
		{draw.WinnersFile, t.WinnersSHA256, func(f []string) (r Result, err error) {
			face, err := strconv.ParseInt(f[4], 10, 64)
			if err == nil {
				r.Rank, err = strconv.ParseInt(f[0], 10, 64)
			}
			r.Face = pos.Money(face)
			return r, err
		}},
		{draw.WaitingFile, t.WaitingSHA256, func(f []string) (r Result, err error) {
			r.Place, err = strconv.ParseInt(f[0], 10, 64)
			return r, err
		}},
	} {
		b, err := os.ReadFile(filepath.Join(dir, f.name)) //nolint:gosec // our folder
		if err != nil {
			return nil, fmt.Errorf("read result: %w", err)
		}
		if sum(b) != f.hash {
			return nil, fmt.Errorf("%s is not the one of the transcript", f.name)
		}
		if err := readLines(b, all, f.read); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return all, nil
}

// Line is a line of the result as it was published.
type Line struct {
	Rank        int64 // of a winner, from 1; of the waiting list the place in its stratum
	Ticket      draw.Ticket
	Stratum     string
	Institution string
	Face        pos.Money // of a winner
}

// Lists are the winners by rank and the waiting list by place, held against the log.
func (o *Office) Lists(ctx context.Context, c Campaign) (winners, waiting []Line, err error) {
	if _, err := o.Results(ctx, c); err != nil { // it checks the files' hashes, and mends the folder
		return nil, nil, err
	}
	for _, f := range []struct {
		name string
		into *[]Line
	}{{draw.WinnersFile, &winners}, {draw.WaitingFile, &waiting}} {
		b, err := os.ReadFile(filepath.Join(o.Dir(c.Definition.Name), f.name))
		if err != nil {
			return nil, nil, fmt.Errorf("read result: %w", err)
		}
		lines := bufio.NewScanner(bytes.NewReader(b))
		lines.Scan() // the header
		for lines.Scan() {
			l, err := lineOf(strings.Split(lines.Text(), ","), f.name == draw.WinnersFile)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", f.name, err)
			}
			*f.into = append(*f.into, l)
		}
		if err := lines.Err(); err != nil {
			return nil, nil, fmt.Errorf("read result: %w", err)
		}
	}
	return winners, waiting, nil
}

func lineOf(fields []string, won bool) (l Line, err error) {
	if len(fields) < 5 {
		return l, errors.New("a line is short")
	}
	l.Stratum, l.Institution = fields[2], fields[3]
	if l.Ticket, err = draw.ParseTicket(fields[1]); err != nil {
		return l, err
	}
	if won {
		face, err := strconv.ParseInt(fields[4], 10, 64)
		if err != nil {
			return l, err
		}
		l.Face = pos.Money(face)
	}
	l.Rank, err = strconv.ParseInt(fields[0], 10, 64)
	return l, err
}

func readLines(b []byte, into Results, read func(fields []string) (Result, error)) error {
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Scan() // the header
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ",")
		if len(fields) < 5 {
			return errors.New("a line is short")
		}
		ticket, err := draw.ParseTicket(fields[1])
		if err != nil {
			return err
		}
		if into[ticket], err = read(fields); err != nil {
			return err
		}
	}
	return lines.Err()
}
