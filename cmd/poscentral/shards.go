package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"dcpos/central/link"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/segment"
	"dcpos/pos"
)

// engine is how the daily reconciliation is computed: shared with workers, kept from day to
// day in a folder, or in one go. Rules that split by fields want it in one go: an id may be found under
// two branches, and only the process that sees them all can join it again.
func (c *centre) engine(ctx context.Context, job reconcile.Job) (reconcile.Summary, error) {
	switch {
	case job.Rules.ByFields():
		return reconcile.Run(ctx, job)
	case c.shards != nil:
		depot, err := c.depot()
		if err != nil {
			return reconcile.Summary{}, err
		}
		return reconcile.RunInParts(ctx, job, depot, reconcile.Elsewhere{Queue: c.shards})
	case c.segmentFolder() != "":
		return reconcile.RunIn(ctx, c.segmentFolder(), job)
	}
	return reconcile.Run(ctx, job)
}

// partition is what engine can do before statements are there.
func (c *centre) partition(ctx context.Context, job reconcile.Job) error {
	switch {
	case job.Rules.ByFields():
		return nil
	case c.shards != nil:
		depot, err := c.depot()
		if err != nil {
			return err
		}
		return reconcile.Prepare(ctx, job, depot, reconcile.Elsewhere{Queue: c.shards})
	case c.segmentFolder() != "":
		return reconcile.PrepareIn(ctx, c.segmentFolder(), job)
	}
	return nil
}

func (c *centre) depot() (reconcile.Depot, error) {
	store, err := c.segmentStore()
	return reconcile.Depot{Store: store, Notes: c.shards}, err
}

// segmentFolder is where this machine keeps segments; "" if it does not.
func (c *centre) segmentFolder() string {
	if at := c.settings.Reconcile.Segments; !strings.Contains(at, "://") {
		return at
	}
	return ""
}

// prepare partitions our lines of today and, until they are reconciled, of the day before.
func (c *centre) prepare(ctx context.Context) error {
	if c.settings.Reconcile.Prepare == 0 || len(c.banks.Codes()) == 0 {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(time.Duration(c.settings.Reconcile.Prepare) * time.Minute)
	defer ticker.Stop()
	for {
		now := time.Now()
		for _, day := range []int{-1, 0} {
			date := pos.DateOf(now.AddDate(0, 0, day), 0)
			if err := c.daily.Prepare(ctx, date); err != nil && ctx.Err() == nil {
				c.log.WarnContext(ctx, "our lines are not prepared: the run will do it", "date", date, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// keepDays is how long segments may be of use: corrected statements come later than that by
// hand only, and cost a full run then. It is also the age of the bucket of notes.
const keepDays = 45

// sweep removes what no run will ask for.
func (c *centre) sweep(ctx context.Context, now time.Time) {
	err := c.daily.Sweep(pos.DateOf(now.AddDate(0, 0, -keepDays), 0))
	if at := c.segmentFolder(); at != "" {
		err = errors.Join(err, segment.Sweep(at, now.AddDate(0, 0, -keepDays)))
	}
	if err != nil {
		c.log.WarnContext(ctx, "old segments are not removed", "err", err)
	}
}

// segmentStore is where workers find texts and segments. In a folder they lie beside what
// runs of this process alone keep.
func (c *centre) segmentStore() (segment.Store, error) {
	address := c.settings.Reconcile.Segments
	if !strings.Contains(address, "://") {
		return segment.Folder(filepath.Join(address, "data")), nil
	}
	return segment.Open(address, "")
}

// share makes the queue of shards, when there are workers, or segments lie elsewhere than in a folder.
func (c *centre) share(ctx context.Context, l *link.Link) (err error) {
	if len(c.settings.Reconcile.WorkerKeys) == 0 && !strings.Contains(c.settings.Reconcile.Segments, "://") {
		return nil
	}
	c.shards, err = l.Shards(ctx, link.ShardsConfig{Lease: time.Duration(c.settings.Reconcile.Lease) * time.Second})
	return err
}

// work lets the centre itself do what no worker takes.
func (c *centre) work(ctx context.Context) error {
	if c.shards == nil {
		<-ctx.Done()
		return nil
	}
	store, err := c.segmentStore()
	if err != nil {
		return err
	}
	tmp := filepath.Join(c.settings.Data, "work") // what a killed centre has left there goes
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o700)); err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	return serveShards(ctx, c.shards, store, tmp, c.settings.Reconcile.Memory, runtime.GOMAXPROCS(0))
}

// serveShards works until ctx ends, with temporary files in tmp, which it removes.
func serveShards(ctx context.Context, shards *link.Shards, store segment.Store, tmp string, memory int64, atOnce int) error {
	w := reconcile.NewWorker(reconcile.Depot{Store: store, Notes: shards}, tmp, memory, atOnce)
	shards.Serve(ctx, atOnce, w.DoQueued)
	return errors.Join(w.Close(), os.RemoveAll(tmp))
}

// segments serves the folder of segments to workers; nil when nobody is to have it.
func (c *centre) segments() (http.Handler, error) {
	r := c.settings.Reconcile
	if r.Token == "" || r.Segments == "" || strings.Contains(r.Segments, "://") {
		return nil, nil //nolint:nilnil // nothing is served
	}
	token, err := readToken(r.Token)
	if err != nil {
		return nil, fmt.Errorf("reconcile.segments_token_file: %w", err)
	}
	return segment.Handler(segment.Folder(filepath.Join(r.Segments, "data")), token), nil
}

func readToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	const least = 16
	token := strings.TrimSpace(string(b))
	if len(token) < least {
		return "", fmt.Errorf("%s: a token has at least %d characters", path, least)
	}
	return token, nil
}
