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

	"dcpos/central/link"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/segment"
)

// engine is how the daily reconciliation is computed: shared with workers, kept from day to
// day in a folder, or in one go.
func (c *centre) engine(ctx context.Context, job reconcile.Job) (reconcile.Summary, error) {
	r := c.settings.Reconcile
	switch {
	case c.shards != nil:
		store, err := c.segmentStore()
		if err != nil {
			return reconcile.Summary{}, err
		}
		return reconcile.RunInParts(ctx, job, reconcile.Depot{Store: store, Notes: c.shards}, reconcile.Elsewhere{Queue: c.shards})
	case r.Segments != "" && !strings.Contains(r.Segments, "://"):
		return reconcile.RunIn(ctx, r.Segments, job)
	}
	return reconcile.Run(ctx, job)
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

// share makes the queue of shards, when there are workers.
func (c *centre) share(ctx context.Context, l *link.Link) (err error) {
	if len(c.settings.Reconcile.WorkerKeys) == 0 {
		return nil
	}
	c.shards, err = l.Shards(ctx, link.ShardsConfig{})
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
	return serveShards(ctx, c.shards, store, c.settings.Reconcile.Memory, runtime.GOMAXPROCS(0))
}

// serveShards works until ctx ends.
func serveShards(ctx context.Context, shards *link.Shards, store segment.Store, memory int64, atOnce int) error {
	tmp, err := os.MkdirTemp("", "poscentral-worker-*")
	if err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
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
