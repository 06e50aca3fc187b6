package bench

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// samples are durations of the same step, many times.
type samples []time.Duration

// time runs f and keeps how long it took.
func (s *samples) time(f func() error) error {
	began := time.Now()
	err := f()
	*s = append(*s, time.Since(began))
	return err
}

// at is the p-th percentile by nearest rank, in milliseconds.
func (s samples) at(p int) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := (p*len(sorted) + 99) / 100
	return milliseconds(sorted[max(0, rank-1)])
}

func (s samples) total() (sum time.Duration) {
	for _, d := range s {
		sum += d
	}
	return sum
}

// rate is how many a second.
func (s samples) rate() float64 { return perSecond(len(s), s.total()) }

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

const pageSize = 4096

// floor is a file to which a page is appended and synced, as a journal must at least.
type floor struct {
	file *os.File
	page [pageSize]byte
	samples
}

func newFloor(path string) (*floor, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make floor: %w", err)
	}
	return &floor{file: f}, nil
}

// sync is one sample: write of a page and fdatasync.
func (f *floor) sync() error {
	return f.time(func() error {
		if _, err := f.file.Write(f.page[:]); err != nil {
			return err
		}
		return syscall.Fdatasync(int(f.file.Fd())) //nolint:gosec // a file descriptor is a small number
	})
}

func (f *floor) close() error { return errors.Join(f.file.Close(), os.Remove(f.file.Name())) }

// fsync is the peer of latencies.
func (f *floor) fsync(percentile int) *Peer {
	return &Peer{Name: fmt.Sprintf("write+fdatasync of 4 KiB, p%d", percentile), Value: f.at(percentile)}
}
