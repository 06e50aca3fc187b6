package store

import (
	"context"
	"fmt"
	"maps"
	"sync"
)

// batch gathers the writes of many callers into one transaction, because what a durable
// commit costs does not grow with what is in it. While one transaction commits, the
// next gathers; a caller that is alone does not wait. Each write stands or falls by
// itself (a savepoint), and no caller is answered before the commit.
type batch struct {
	mu      sync.Mutex
	waiting []*batched
	busy    bool
}

// batched is one caller's write.
type batched struct {
	ctx  context.Context
	fn   func(t *Tx) error
	err  error
	done chan struct{}
}

// maxBatch bounds a transaction.
const maxBatch = 256

// write runs fn in a transaction that it may share. It follows the rules of (*Store).tx.
func (b *batch) write(ctx context.Context, s *Store, fn func(t *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &batched{ctx: ctx, fn: fn, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	lead := !b.busy
	b.busy = true
	b.mu.Unlock()
	if lead {
		go b.run(s)
	}
	<-w.done // not ctx: fn may be running
	return w.err
}

// run works until nobody waits.
func (b *batch) run(s *Store) {
	for {
		b.mu.Lock()
		n := min(len(b.waiting), maxBatch)
		part := b.waiting[:n:n]
		b.waiting = b.waiting[n:]
		if n == 0 {
			b.busy, b.waiting = false, nil
		}
		b.mu.Unlock()
		if n == 0 {
			return
		}
		b.together(s, part)
		for _, w := range part {
			close(w.done)
		}
	}
}

// together runs the writes in one transaction; if that fails, each in its own, so that
// nobody suffers from another's cancelled context or broken connection.
func (b *batch) together(s *Store, part []*batched) {
	if len(part) > 1 {
		err := s.tx(context.Background(), func(t *Tx) error {
			for _, w := range part {
				if err := t.inside(w); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			return
		}
	}
	for _, w := range part {
		w.err = s.tx(w.ctx, w.fn)
	}
}

// inside runs one write in a savepoint and keeps its error for its caller; an error of
// its own is one that ends the transaction.
func (t *Tx) inside(w *batched) error {
	ctx := context.Background()
	if _, err := t.Exec(ctx, `SAVEPOINT batched`); err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	moved := maps.Clone(t.balances) // what the savepoint does not know
	w.err = w.fn(t)
	if w.err == nil {
		_, err := t.Exec(ctx, `RELEASE SAVEPOINT batched`)
		return err
	}
	if fatal(w.err) || retryable(w.err) {
		return w.err
	}
	t.balances = moved
	if _, err := t.Exec(ctx, `ROLLBACK TO SAVEPOINT batched`); err != nil {
		return fmt.Errorf("back to savepoint: %w", err)
	}
	_, err := t.Exec(ctx, `RELEASE SAVEPOINT batched`)
	return err
}
