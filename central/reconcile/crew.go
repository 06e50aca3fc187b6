package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"dcpos/central/reconcile/segment"
)

// Local is a crew of goroutines of this process.
type Local struct {
	Worker *Worker
	AtOnce int
	// Progress is told how much is done, never by two goroutines at once.
	Progress func(done, total int64)
}

// Do implements Crew.
func (l Local) Do(ctx context.Context, tasks []Task) error {
	return l.each(ctx, len(tasks), func(ctx context.Context, i int) error { return l.Worker.Do(ctx, tasks[i]) })
}

// each does n things, AtOnce at a time, until one fails.
func (l Local) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	progress := progress{report: l.Progress, total: int64(n)}
	var next, done atomic.Int64
	var group sync.WaitGroup
	for range max(l.AtOnce, 1) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := do(ctx, int(i)); err != nil {
					cancel(err)
					return
				}
				progress.set(done.Add(1))
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// Queue hands tasks, by the keys of their notes, to workers elsewhere. When Offer returns nil
// each has its note; done is told how many have.
type Queue interface {
	Offer(ctx context.Context, tasks map[string][]byte, done func(n int)) error
}

// Elsewhere is a crew that a queue reaches.
type Elsewhere struct {
	Queue    Queue
	Progress func(done, total int64)
}

// Do implements Crew.
func (e Elsewhere) Do(ctx context.Context, tasks []Task) error {
	bodies := make(map[string][]byte, len(tasks))
	for _, t := range tasks {
		b, err := json.Marshal(t)
		if err != nil {
			return err
		}
		bodies[t.Key] = b
	}
	progress := progress{report: e.Progress, total: int64(len(bodies))}
	return e.Queue.Offer(ctx, bodies, func(n int) { progress.set(int64(n)) })
}

// DoQueued carries out a task as Elsewhere has queued it.
func (w *Worker) DoQueued(ctx context.Context, body []byte) error {
	var t Task
	if err := json.Unmarshal(body, &t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	return w.Do(ctx, t)
}

// RunIn is RunInParts with a depot in a folder of this machine and workers in this process.
func RunIn(ctx context.Context, folder string, job Job) (Summary, error) {
	var s Summary
	err := inFolder(folder, job, func(d Depot, crew Crew) (err error) {
		s, err = RunInParts(ctx, job, d, crew)
		return err
	})
	return s, err
}

// PrepareIn is Prepare with a depot in a folder.
func PrepareIn(ctx context.Context, folder string, job Job) error {
	return inFolder(folder, job, func(d Depot, crew Crew) error { return Prepare(ctx, job, d, crew) })
}

func inFolder(folder string, job Job, do func(Depot, Crew) error) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder of segments: %w", err)
	}
	tmp, err := os.MkdirTemp(folder, ".tmp-*")
	if err != nil {
		return fmt.Errorf("make the folder of segments: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	depot := Depot{Store: segment.Folder(filepath.Join(folder, "data")), Notes: segment.Notes(filepath.Join(folder, "notes")), InPlace: true}
	if job.Memory == 0 {
		job.Memory = defaultMemory
	}
	if job.Workers <= 0 {
		job.Workers = runtime.GOMAXPROCS(0)
	}
	workers := tune(job.Memory, job.Workers).workers
	w := NewWorker(depot, tmp, job.Memory, workers)
	return errors.Join(do(depot, Local{w, workers, job.Progress}), w.Close())
}
