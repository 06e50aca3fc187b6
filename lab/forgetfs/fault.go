package forgetfs

import (
	"math/rand/v2"
	"syscall"
	"time"
)

// Faults are misbehaviours of the medium that may be set and cleared while the
// file system is mounted. The zero value is a healthy medium. Counting starts
// at the mount: Status tells how far it is.
type Faults struct {
	// FailWrite is the number of the write (1 is the first since mounting) that
	// is answered EIO; 0 is none.
	FailWrite uint64 `json:"fail_write,omitempty"`
	// FullWrite is the number of the write that is answered ENOSPC; 0 is none.
	FullWrite uint64 `json:"full_write,omitempty"`
	// ShortWrite is the number of the write of which only the first half is taken, and the
	// next, which is the rest of it, is answered ENOSPC; 0 is none.
	ShortWrite uint64 `json:"short_write,omitempty"`
	// FailSync is the same for fsync, fdatasync and writes through O_SYNC.
	FailSync uint64 `json:"fail_sync,omitempty"`
	// Every lets FailWrite, FullWrite, ShortWrite and FailSync happen again, every so many
	// writes or fsyncs after the first; 0 is once.
	Every uint64 `json:"every,omitempty"`
	// DropOnSyncError lets a failed fsync also drop the file's unsynced pages, so
	// that a second fsync succeeds without them: Linux since 2018 (fsyncgate).
	DropOnSyncError bool `json:"drop_on_sync_error,omitempty"`
	// StaleOnSyncError lets a failed fsync leave the file's unsynced pages where programs
	// still read them, while no later fsync writes them any more unless they are written
	// anew: ext4, whose page cache forgets that they are dirty and not what they hold.
	StaleOnSyncError bool `json:"stale_on_sync_error,omitempty"`
	// Deaf answers every fsync with success and syncs nothing: a disk that lies.
	Deaf bool `json:"deaf,omitempty"`
	// ReadOnly answers EROFS to every write, as a file system that saw an error does.
	ReadOnly bool `json:"read_only,omitempty"`
	// Full answers ENOSPC to every write that makes a file longer.
	Full bool `json:"full,omitempty"`
	// SyncMillis is how long every fsync takes.
	SyncMillis int `json:"sync_ms,omitempty"`
	// StallPercent of the fsyncs take StallMillis instead.
	StallPercent int `json:"stall_percent,omitempty"`
	// StallMillis is the length of a stall.
	StallMillis int `json:"stall_ms,omitempty"`
}

// hits reports that the operation of this number is one that fails from first on.
func (f *Faults) hits(first, number uint64) bool {
	switch {
	case first == 0 || number < first:
		return false
	case f.Every == 0:
		return number == first
	}
	return (number-first)%f.Every == 0
}

// onWrite tells how many of the write's bytes are taken, and why not all.
func (f *Faults) onWrite(number uint64, grows int64, length int) (taken int, errno syscall.Errno) {
	switch {
	case f.hits(f.FailWrite, number):
		return 0, syscall.EIO
	case f.hits(f.FullWrite, number), f.hits(f.ShortWrite, number-1), f.Full && grows > 0:
		return 0, syscall.ENOSPC
	case f.ReadOnly:
		return 0, syscall.EROFS
	case f.hits(f.ShortWrite, number):
		return max(1, length/2), 0
	}
	return length, 0
}

func (f *Faults) onSync(number uint64, rng *rand.Rand) (syscall.Errno, time.Duration) {
	pause := time.Duration(f.SyncMillis) * time.Millisecond
	if f.StallPercent > 0 && rng.IntN(100) < f.StallPercent {
		pause = time.Duration(f.StallMillis) * time.Millisecond
	}
	if f.hits(f.FailSync, number) {
		return syscall.EIO, pause
	}
	return 0, pause
}
