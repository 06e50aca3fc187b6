package pos

import "time"

// Interval is where the true time lies, as far as evidence tells: not before
// EarliestMS and not after LatestMS (Unix milliseconds). A decision takes the end that
// lets it accept less: what must have begun is measured from the earliest moment, what
// must not be over from the latest.
type Interval struct {
	EarliestMS int64 `json:"earliest_ms"`
	LatestMS   int64 `json:"latest_ms"`
}

// IntervalAt is the interval of a time that is known.
func IntervalAt(t time.Time) Interval {
	return Interval{EarliestMS: t.UnixMilli(), LatestMS: t.UnixMilli()}
}

// Earliest is the first moment that it can be.
func (i Interval) Earliest() time.Time { return time.UnixMilli(i.EarliestMS) }

// Latest is the last moment that it can be.
func (i Interval) Latest() time.Time { return time.UnixMilli(i.LatestMS) }

// Began reports that the moment has certainly come.
func (i Interval) Began(ms int64) bool { return i.EarliestMS >= ms }

// Over reports that the moment may have come.
func (i Interval) Over(ms int64) bool { return i.LatestMS >= ms }

// Within reports that it is certainly within the half-open window.
func (i Interval) Within(fromMS, untilMS int64) bool { return i.Began(fromMS) && !i.Over(untilMS) }

// Between is the longest time that can lie between two moments, whichever came first.
func (i Interval) Between(o Interval) time.Duration {
	return time.Duration(max(i.LatestMS-o.EarliestMS, o.LatestMS-i.EarliestMS)) * time.Millisecond
}

// Age is how old something of the moment can be; never below 0.
func (i Interval) Age(ms int64) time.Duration {
	return time.Duration(max(0, i.LatestMS-ms)) * time.Millisecond
}
