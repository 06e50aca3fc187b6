package payment

import (
	"context"
	"sync"
)

// Round runs what Run runs once, to its end.
func (d *Desk) Round(ctx context.Context) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	return d.round(ctx, &wait)
}

// Backoff is the pause before the n-th further question, in milliseconds.
func Backoff(n int) int64 { return backoff(n) }
