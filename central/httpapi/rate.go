package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// maxAddresses bounds what a limiter remembers. When it is full, strangers share one
// bucket until old ones are forgotten.
const maxAddresses = 10_000

// limiter is a token bucket per address: burst tries at once, then one per refill.
type limiter struct {
	burst  int
	refill time.Duration
	now    func() time.Time

	mu      sync.Mutex
	buckets map[netip.Prefix]*bucket
}

type bucket struct {
	left float64 // tries, not money
	at   time.Time
}

func newLimiter(burst int, refill time.Duration, now func() time.Time) *limiter {
	return &limiter{burst: burst, refill: refill, now: now, buckets: map[netip.Prefix]*bucket{}}
}

// allow takes one try of the address.
func (l *limiter) allow(addr string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	key := network(addr)
	b, ok := l.buckets[key]
	if !ok {
		if len(l.buckets) >= maxAddresses {
			l.forget(now)
		}
		if len(l.buckets) >= maxAddresses {
			key = netip.Prefix{}
			b = l.buckets[key]
		}
		if b == nil {
			b = &bucket{left: float64(l.burst), at: now}
			l.buckets[key] = b
		}
	}
	b.left = min(float64(l.burst), b.left+now.Sub(b.at).Seconds()/l.refill.Seconds())
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// forget drops the buckets that are full again.
func (l *limiter) forget(now time.Time) {
	for key, b := range l.buckets {
		if now.Sub(b.at) >= time.Duration(l.burst)*l.refill {
			delete(l.buckets, key)
		}
	}
}

// network is whom an address belongs to: itself, or its /64 in IPv6.
func network(addr string) netip.Prefix {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// loopback reports that the request came from this machine.
func loopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
