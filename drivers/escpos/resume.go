package escpos

import (
	"context"
	"errors"
	"time"

	"dcpos/drivers"
)

// recoverEvery is how often a printer that stays off-line after a person has helped is
// told to go on. More often would drive a cutter against its jam.
const recoverEvery = 2 * time.Second

// errNobodyHelped is returned when the job's patience is over, or there was none.
var errNobodyHelped = errors.New("the trouble was not removed in time")

// help is how long a job may still wait for a person, over all its stops.
type help struct {
	left    time.Duration
	stopped func(drivers.PauseReason)
	told    drivers.PauseReason
	resumed bool
}

// helper is a job's help; none for a printer that does not keep the rest of a job.
func (p *Printer) helper(job drivers.PrintJob) *help {
	h := &help{stopped: job.Stopped}
	if p.profile.Status.Resume {
		h.left = job.Patience
	}
	return h
}

// tell says once why the job waits, or that it goes on; nothing to a job that does not wait.
func (h *help) tell(reason drivers.PauseReason) {
	if h.told == reason || h.left <= 0 {
		return
	}
	h.told = reason
	h.resumed = h.resumed || reason == ""
	if h.stopped != nil {
		h.stopped(reason)
	}
}

// await waits until the printer prints on, telling it to where it does not by itself.
// What was sent is in its memory: the job goes on where it stopped, as one receipt.
func (p *Printer) await(ctx context.Context, l *link, h *help) error {
	if h.left <= 0 {
		return errNobodyHelped
	}
	start := time.Now()
	defer func() { h.left -= time.Since(start) }()
	end := time.NewTimer(h.left)
	defer end.Stop()
	again := time.NewTicker(recoverEvery)
	defer again.Stop()
	for {
		reason := trouble(p.Snapshot())
		h.tell(reason)
		if reason == "" {
			return nil
		}
		select {
		case <-l.changed:
		case <-again.C:
			if reason == drivers.PausedCover || reason == drivers.PausedPaper {
				continue // a person has not finished
			}
			if err := l.write(ctx, recoverGoOn, p.profile.Timing.Write()); err != nil {
				return l.why(ctx, err)
			}
		case <-end.C:
			return errNobodyHelped
		case <-l.lost:
			return l.failure()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write writes one piece. A printer that has said why it takes no data is given as long
// as the job has patience; one that has not, the profile's time.
func (p *Printer) write(ctx context.Context, l *link, b []byte, h *help) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := l.conn.Write(ctx, b)
		done <- err
	}()
	limit := p.profile.Timing.Write()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-l.changed:
			h.tell(trouble(p.Snapshot()))
		case <-timer.C:
			reason := trouble(p.Snapshot())
			if reason == "" || h.left <= 0 {
				stop()
				if err := <-done; err == nil {
					return nil // it was taken just now
				}
				return context.DeadlineExceeded
			}
			wait := min(limit, h.left)
			h.left -= wait
			timer.Reset(wait)
		}
	}
}
