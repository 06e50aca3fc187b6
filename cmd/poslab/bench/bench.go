// Package bench measures every figure of docs/PERFORMANCE.md with the programs and rooms
// as they ship, each beside a floor or a peer that was measured in the same run: on a
// shared machine a ratio says more than a number.
//
// To add a bench write a func(context.Context, *run) error that reports Figures, and a
// line in all.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dcpos/pos"
)

// Figure is one measured number.
type Figure struct {
	Bench string   `json:"bench"`
	Name  string   `json:"name"`
	Value float64  `json:"value"`
	Unit  string   `json:"unit"` // ms, s, us, B, MiB, %, or something per second
	Means pos.Text `json:"means"`
	Count int      `json:"count,omitempty"` // samples, entries or lines behind it
	// Peer is what was measured beside it, in the same unit; Ratio is Value / Peer.Value.
	Peer  *Peer   `json:"peer,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`
	// Rounds are what was measured one after the other, where Value is the median.
	Rounds []float64 `json:"rounds,omitempty"`
}

// Peer is a floor below which no program could be, or another program at the same work.
type Peer struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Sizes say how much work is measured; a zero field takes the value of Defaults.
type Sizes struct {
	Offline int   // offline acceptances, at most 400: a till takes 500 records until it meets the centre
	Online  int   // online sales of online-sale
	Sales   int   // online sales between two looks at the agent's memory
	Entries int   // of the journal with which an agent starts
	Starts  int   // of the agent, for each kind of journal
	Rows    int   // of the journals that are verified
	Backlog int   // entries of a drain
	Tills   int   // that send at once in ingest
	Each    int   // payments of three entries that each of them sends
	Lines   int   // of each side in reconcile
	Also    []int // further sizes of reconcile, of which only the cost per row is measured
	Breaks  int   // percent of them that are breaks; 0 is 0.29
	Stored  int   // payments in the journal of stored
	Plugs   int   // of a printer that is pulled out and put back
}

// Defaults are the sizes of docs/PERFORMANCE.md.
func Defaults() Sizes {
	return Sizes{
		Offline: 300, Online: 300, Sales: 1000, Entries: 100_000, Starts: 5, Rows: 10_000,
		Backlog: 20_000, Tills: 20, Each: 200, Lines: 1_000_000, Stored: 100_000, Plugs: 50,
	}
}

// Options of a run.
type Options struct {
	Names  []string      // benches to run; none are all
	Repeat time.Duration // of those measurements that repeat something; 0 is 5 s
	Dir    string        // where a temporary folder is made; its disk is what is measured. "" is os.TempDir
	Bin    string        // folder of posagent, poscentral, posctl and poslab
	// Postgres is the URL of an empty database, "auto" for a server of its own, or "none".
	Postgres string
	// DuckDB measures it as a peer of reconcile; npm brings it, from the network the first time.
	DuckDB bool
	// Compare lets reconcile compare its breaks with DuckDB's on random data of this seed,
	// byte for byte, and measure nothing.
	Compare  bool
	Seed     uint64
	Sizes    Sizes
	Progress io.Writer // told in lines what is being measured; nil: nobody
}

type bench struct {
	name    string
	measure func(context.Context, *run) error
}

// all lists the benches in the order of the report.
func all() []bench {
	return []bench{
		{"offline-decision", offlineDecision},
		{"tap", taps},
		{"online-sale", onlineSale},
		{"agent-size", agentSize},
		{"journal-append", journalAppend},
		{"stored", storedPayments},
		{"drain", drain},
		{"ingest", ingest},
		{"reconcile", reconcileFiles},
		{"signatures", signatures},
		{"scan", scans},
		{"receipt", receipts},
		{"plug", plugs},
		{"idle-devices", idleDevices},
	}
}

// Names lists the benches.
func Names() []string {
	var names []string
	for _, b := range all() {
		names = append(names, b.name)
	}
	return names
}

// Check tells what is wrong with the options before anything is measured.
func (o Options) Check() error {
	for _, n := range o.Names {
		if !slices.Contains(Names(), n) {
			return fmt.Errorf("no bench %q; there are %s", n, strings.Join(Names(), ", "))
		}
	}
	if o.Dir != "" {
		if s, err := os.Stat(o.Dir); err != nil {
			return err
		} else if !s.IsDir() {
			return fmt.Errorf("%s is no folder", o.Dir)
		}
	}
	if o.Repeat < 0 {
		return fmt.Errorf("seconds: %s is negative", o.Repeat)
	}
	return o.Sizes.check()
}

func (s Sizes) check() error {
	for name, n := range map[string]int{
		"offline": s.Offline, "online": s.Online, "sales": s.Sales, "entries": s.Entries, "starts": s.Starts, "rows": s.Rows,
		"backlog": s.Backlog, "tills": s.Tills, "each": s.Each, "lines": s.Lines, "stored": s.Stored, "plugs": s.Plugs,
	} {
		if n < 0 {
			return fmt.Errorf("%s: %d is negative", name, n)
		}
	}
	for _, n := range s.Also {
		if n <= 0 {
			return fmt.Errorf("lines: %d is not greater than 0", n)
		}
	}
	if s.Offline > 400 {
		return fmt.Errorf("offline: %d acceptances are near a till's limit of 500 records", s.Offline)
	}
	return nil
}

// run is one bench under way.
type run struct {
	Options
	name    string // of the bench
	root    string // its own folder, removed after it
	figures []Figure
}

// Run measures and returns the figures. A bench that fails does not keep the others from
// being measured; its error, with its name, is part of the error.
func Run(ctx context.Context, o Options) ([]Figure, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Repeat == 0 {
		o.Repeat = 5 * time.Second
	}
	o.Sizes = o.Sizes.orDefaults()
	figures := []Figure{}
	var errs []error
	for i, b := range all() {
		if len(o.Names) > 0 && !slices.Contains(o.Names, b.name) {
			continue
		}
		if ctx.Err() != nil {
			return figures, errors.Join(append(errs, ctx.Err())...)
		}
		if o.Progress != nil {
			_, _ = fmt.Fprintf(o.Progress, "[%d/%d] %s …\n", i+1, len(all()), b.name)
		}
		list, err := o.one(ctx, b)
		figures = append(figures, list...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", b.name, err))
		}
	}
	return figures, errors.Join(errs...)
}

func (o Options) one(ctx context.Context, b bench) (list []Figure, err error) {
	root, err := os.MkdirTemp(o.Dir, "poslab-bench-")
	if err != nil {
		return nil, err
	}
	if root, err = filepath.Abs(root); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	r := &run{Options: o, name: b.name, root: root}
	err = b.measure(ctx, r)
	return r.figures, err
}

func (s Sizes) orDefaults() Sizes {
	d := Defaults()
	for _, f := range []struct {
		have *int
		want int
	}{
		{&s.Offline, d.Offline},
		{&s.Online, d.Online},
		{&s.Sales, d.Sales},
		{&s.Entries, d.Entries},
		{&s.Starts, d.Starts},
		{&s.Rows, d.Rows},
		{&s.Backlog, d.Backlog},
		{&s.Tills, d.Tills},
		{&s.Each, d.Each},
		{&s.Lines, d.Lines},
		{&s.Stored, d.Stored},
		{&s.Plugs, d.Plugs},
	} {
		if *f.have == 0 {
			*f.have = f.want
		}
	}
	return s
}

// report adds a figure; the ratio follows from the peer.
func (r *run) report(f Figure) {
	f.Bench = r.name
	if f.Peer != nil && f.Peer.Value != 0 {
		f.Ratio = f.Value / f.Peer.Value
	}
	r.figures = append(r.figures, f)
}

// path is a file or folder below the bench's own folder.
func (r *run) path(parts ...string) string {
	return filepath.Join(append([]string{r.root}, parts...)...)
}

// folder makes one.
func (r *run) folder(name string) (string, error) {
	return r.path(name), os.MkdirAll(r.path(name), 0o700)
}
