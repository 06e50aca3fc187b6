package register

import (
	"cmp"
	"hash/maphash"
	"sync"
	"time"
)

// Limiter counts in fixed windows of time, in memory. Its zero value is ready.
type Limiter struct {
	mu     sync.Mutex
	seed   maphash.Seed
	counts map[uint64]count // by hash of the key: two of ten million share one once in 300,000 processes
	most   int              // keys; 0: maxKeys
	swept  time.Time
}

type count struct {
	untilMS int64
	n       int32
}

// maxKeys bounds the limiter's memory, some 300 MB: beyond it, what is new has to wait. Each phone that
// registers within a day is a key, and campaigns had 2.5 million of them in two days.
const maxKeys = 1 << 23

// Allow counts one more for the key and reports whether it is within most.
func (l *Limiter) Allow(key string, most int, per time.Duration, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts, l.seed = map[uint64]count{}, maphash.MakeSeed()
	}
	k, room := maphash.String(l.seed, key), cmp.Or(l.most, maxKeys)
	c, ok := l.counts[k]
	if !ok && len(l.counts) >= room {
		l.sweep(now)
		if len(l.counts) >= room {
			return false
		}
	}
	if !ok || now.UnixMilli() >= c.untilMS {
		c = count{untilMS: now.Add(per).UnixMilli()}
	}
	c.n = min(c.n, maxCount) + 1
	l.counts[k] = c
	return int(c.n) <= most
}

// maxCount keeps a count from running over; no limit is above it.
const maxCount = 1<<31 - 2

// sweep drops what is over, at most once a second: it walks over everything.
func (l *Limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Second {
		return
	}
	l.swept = now
	for k, c := range l.counts {
		if now.UnixMilli() >= c.untilMS {
			delete(l.counts, k)
		}
	}
}
