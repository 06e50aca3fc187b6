package link

import (
	"context"
	"math"
	"time"
)

// TrustChanged sends the present trust, and with it the wallets that are revoked, to every
// terminal that has spoken since the start. Whoever is not connected asks for it when it
// connects. It returns when all are sent; a till that misses it asks by itself.
func (l *Link) TrustChanged() { l.tellAll(0) }

// tellAll nudges every terminal that has spoken since the start.
func (l *Link) tellAll(trustMS int64) {
	for _, terminal := range l.heard.terminals() {
		if l.ctx.Err() != nil {
			return
		}
		if err := l.nudge(terminal, trustMS); err != nil {
			l.log.WarnContext(l.ctx, "mark is not sent", "terminal", terminal, "err", err)
		}
	}
}

// policyEvery is how often it is looked whether a policy was published, by this process or by
// another one on the same database: it reaches the tills that are online within seconds.
const policyEvery = time.Second

// watchPolicies sends new policies to the terminals that have spoken; a till that misses them
// asks by itself.
func (l *Link) watchPolicies() {
	tick := time.NewTicker(policyEvery)
	defer tick.Stop()
	seen, known := uint64(0), false
	for {
		now, err := l.policyVersion()
		switch {
		case l.ctx.Err() != nil:
			return
		case err != nil:
			l.log.WarnContext(l.ctx, "policies are not read", "err", err)
		case known && now > seen:
			l.tellAll(math.MaxInt64) // of the trust they ask by themselves
		}
		if err == nil {
			seen, known = now, true
		}
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// policyVersion is the version that was published last.
func (l *Link) policyVersion() (version uint64, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, markTime)
	defer cancel()
	err = l.store.Read(ctx, func(r Reader) (err error) {
		version, err = r.PolicyVersion(ctx)
		return err
	})
	return version, err
}
