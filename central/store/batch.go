package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// batch gathers the work of many callers into one transaction, because what a durable
// commit costs does not grow with what is in it. While one transaction commits, the
// next gathers; a caller that is alone does not wait. Each job stands or falls by
// itself, and no caller is answered before the commit.
type batch[J any] struct {
	// work does the jobs in one transaction and sets their errors. Its own error ends the
	// transaction: then each job is done alone.
	work func(ctx context.Context, t *Tx, jobs []*job[J]) error
	// locks says that work locks what it reads, and needs no serializable transaction.
	locks bool

	mu      sync.Mutex
	waiting []*job[J]
	busy    bool
}

// job is one caller's work.
type job[J any] struct {
	ctx  context.Context
	what J
	err  error
	done chan struct{}
}

// maxBatch bounds a transaction.
const maxBatch = 256

// do has the work done in a transaction that it may share. It follows the rules of (*Store).tx.
func (b *batch[J]) do(ctx context.Context, s *Store, what J) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job[J]{ctx: ctx, what: what, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, j)
	lead := !b.busy
	b.busy = true
	b.mu.Unlock()
	if lead {
		go b.run(s)
	}
	<-j.done // not ctx: the work may be under way
	return j.err
}

// run works until nobody waits.
func (b *batch[J]) run(s *Store) {
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
		for _, j := range part {
			close(j.done)
		}
	}
}

// together does the jobs in one transaction; if that fails, each in its own, so that
// nobody suffers from another's cancelled context or broken connection.
func (b *batch[J]) together(s *Store, part []*job[J]) {
	if len(part) > 1 {
		ctx := context.Background()
		if b.tx(ctx, s, part) == nil {
			return
		}
	}
	for _, j := range part {
		err := b.tx(j.ctx, s, []*job[J]{j})
		if err != nil && !errors.Is(err, errAlone) {
			j.err = err
		}
	}
}

func (b *batch[J]) tx(ctx context.Context, s *Store, jobs []*job[J]) error {
	level := sql.LevelSerializable
	if b.locks {
		level = sql.LevelReadCommitted
	}
	return s.txAt(ctx, level, func(t *Tx) error { return b.work(ctx, t, jobs) })
}

// errAlone ends a shared transaction that holds the changes of a write that failed.
var errAlone = errors.New("each for itself")

// writes is the work of a batch of functions. A function that failed before it had changed
// anything leaves nothing behind; after that, or where the database itself refused, the
// transaction ends. So nobody pays for savepoints: two statements of each write.
func writes(_ context.Context, t *Tx, jobs []*job[func(t *Tx) error]) error {
	for _, j := range jobs {
		if j.err = j.ctx.Err(); j.err != nil {
			continue // its caller has gone
		}
		t.changed = false
		j.err = j.what(t)
		switch {
		case j.err == nil:
		case fatal(j.err), retryable(j.err):
			return j.err
		case t.changed || ofDatabase(j.err):
			return errAlone
		}
	}
	return nil
}
