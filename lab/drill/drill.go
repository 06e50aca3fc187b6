// Package drill kills the programs of the house and cuts their power while customers
// pay, and judges from outside what became of the money.
//
// A Site is a shop with its tills, a centre and six simulated institutions, each a
// child process. Load sells; a Notebook remembers every word that a till ever said;
// Run strikes at random moments, then waits until nothing is undecided and compares
// the notebook with the tills' journals, the centre's ledger and the institutions'
// books. It shares no code with what it judges: it reads what the local API,
// posctl, poscentral and the institutions say.
//
// To add a strike, add its name to Strike and its deed beside agent and centre.
package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dcpos/pos"
)

// Options say what a drill does.
type Options struct {
	Bin     string // folder of the four programs
	Dir     string // empty or absent; holds logs and data afterwards
	Tills   int    // 0 is 2
	Clients int    // of each till; 0 is 3
	Seed    uint64 // decides moments, amounts and what survives a cut; not the scheduler
	Strikes map[Strike]int
	// Progress is told after each strike; nil tells nobody.
	Progress func(done, all int)
}

// Result is what a drill found.
type Result struct {
	Seed     uint64            `json:"seed"`
	Strikes  map[Strike]int    `json:"strikes"` // done
	Payments int               `json:"payments"`
	States   map[pos.State]int `json:"states"`    // of the payments at the end
	Late     int               `json:"late_paid"` // paid after the customer had left, and refunded
	Acked    int               `json:"acked"`     // answers that called money paid, accepted or refunded
	Refunds  int               `json:"refunds"`   // done
	Amount   pos.Money         `json:"amount"`    // paid or credited, fen
	Refusals map[pos.Code]int  `json:"refusals"`  // answers that were no success
	Findings []string          `json:"findings"`  // what must not be; empty: passed
	Seconds  float64           `json:"seconds"`
	Tail     float64           `json:"tail_seconds"` // of them, after the last strike
}

// OK reports that nothing was found.
func (r Result) OK() bool { return len(r.Findings) == 0 }

// Run builds a site, strikes under load, and judges. Kills run on ordinary folders,
// cuts on file systems that forget; a drill with both does one after the other. An
// error means that the drill could not be done; findings are in the result.
func Run(ctx context.Context, o Options) (Result, error) {
	total := Result{Seed: o.Seed, Strikes: map[Strike]int{}, States: map[pos.State]int{}, Refusals: map[pos.Code]int{}}
	began, done, all := time.Now(), 0, 0
	for _, n := range o.Strikes {
		all += n
	}
	progress := func() {
		done++
		if o.Progress != nil {
			o.Progress(done, all)
		}
	}
	for _, part := range []struct {
		name      string
		forgetful bool
		kinds     []Strike
	}{{"kills", false, []Strike{AgentKill, CentreKill}}, {"cuts", true, []Strike{AgentCut, CentreCut}}} {
		plan := plan(o, part.kinds)
		if len(plan) == 0 {
			continue
		}
		p := o
		p.Dir = filepath.Join(o.Dir, part.name)
		if err := p.run(ctx, plan, part.forgetful, &total, progress); err != nil {
			return total, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	total.Seconds = time.Since(began).Seconds()
	return total, nil
}

// plan mixes the strikes in an order that the seed decides.
func plan(o Options, kinds []Strike) []Strike {
	var all []Strike
	for _, k := range kinds {
		all = append(all, slices.Repeat([]Strike{k}, o.Strikes[k])...)
	}
	dice := rand.New(rand.NewPCG(o.Seed, 0)) //nolint:gosec // an order that the seed repeats
	dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func (o Options) run(ctx context.Context, plan []Strike, forgetful bool, total *Result, progress func()) (err error) {
	if names, err := os.ReadDir(o.Dir); err == nil && len(names) > 0 {
		return fmt.Errorf("%s is not empty", o.Dir)
	}
	since := time.Now()
	s, err := Open(ctx, SiteOptions{Bin: o.Bin, Dir: o.Dir, Tills: defaults(o.Tills, 2), Forgetful: forgetful, Seed: o.Seed})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	book := NewNotebook()
	load, err := StartLoad(ctx, s, book, defaults(o.Clients, 3))
	if err != nil {
		return err
	}
	k := &striker{site: s, book: book, dice: rand.New(rand.NewPCG(o.Seed, 1<<32))} //nolint:gosec // moments of a drill
	for _, kind := range plan {
		if err = k.strike(ctx, kind); err != nil {
			break
		}
		total.Strikes[kind]++
		progress()
	}
	last := time.Now()
	if err == nil {
		err = load.Finish(ctx)
	}
	if err == nil {
		s.Quiesce(ctx, book)
		s.Judge(ctx, book, since)
	}
	total.add(book)
	total.Tail += time.Since(last).Seconds()
	return err
}

func defaults(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// add counts what is in a notebook.
func (r *Result) add(book *Notebook) {
	for _, said := range book.All() {
		r.Payments++
		r.States[said.Payment.State]++
		if said.Payment.State == pos.Paid || said.Payment.State == pos.Credited {
			r.Amount += said.Payment.Amount
		}
		if said.Payment.LatePaid {
			r.Late++
		}
		for _, refund := range said.Refunds {
			if refund.State == pos.RefundRefunded {
				r.Refunds++
			}
		}
	}
	r.Acked += book.Acks()
	r.Findings = append(r.Findings, book.Findings()...)
	book.mu.Lock()
	defer book.mu.Unlock()
	for code, n := range book.refusals {
		r.Refusals[code] += n
	}
}
