package register

import (
	"sync"
	"time"
)

// Limiter counts in fixed windows of time, in memory. Its zero value is ready.
type Limiter struct {
	mu     sync.Mutex
	counts map[string]count
	swept  time.Time
}

type count struct {
	n     int
	until time.Time
}

// maxKeys bounds the limiter's memory: beyond it, what is new has to wait.
const maxKeys = 1 << 20

// Allow counts one more for the key and reports whether it is within most.
func (l *Limiter) Allow(key string, most int, per time.Duration, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]count{}
	}
	c, ok := l.counts[key]
	if !ok && len(l.counts) >= maxKeys {
		l.sweep(now)
		if len(l.counts) >= maxKeys {
			return false
		}
	}
	if !ok || !now.Before(c.until) {
		c = count{until: now.Add(per)}
	}
	c.n++
	l.counts[key] = c
	return c.n <= most
}

// sweep drops what is over, at most once a second: it walks over everything.
func (l *Limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Second {
		return
	}
	l.swept = now
	for k, c := range l.counts {
		if !now.Before(c.until) {
			delete(l.counts, k)
		}
	}
}
