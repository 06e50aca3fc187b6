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
	// FailSync is the same for fsync, fdatasync and writes through O_SYNC.
	FailSync uint64 `json:"fail_sync,omitempty"`
	// DropOnSyncError lets a failed fsync also drop the file's unsynced pages, so
	// that a second fsync succeeds without them: Linux since 2018 (fsyncgate).
	DropOnSyncError bool `json:"drop_on_sync_error,omitempty"`
	// Full answers ENOSPC to every write that makes a file longer.
	Full bool `json:"full,omitempty"`
	// SyncMillis is how long every fsync takes.
	SyncMillis int `json:"sync_ms,omitempty"`
	// StallPercent of the fsyncs take StallMillis instead.
	StallPercent int `json:"stall_percent,omitempty"`
	// StallMillis is the length of a stall.
	StallMillis int `json:"stall_ms,omitempty"`
}

func (f *Faults) onWrite(number uint64, grows int64) syscall.Errno {
	if f.FailWrite == number {
		return syscall.EIO
	}
	if f.Full && grows > 0 {
		return syscall.ENOSPC
	}
	return 0
}

func (f *Faults) onSync(number uint64, rng *rand.Rand) (syscall.Errno, time.Duration) {
	pause := time.Duration(f.SyncMillis) * time.Millisecond
	if f.StallPercent > 0 && rng.IntN(100) < f.StallPercent {
		pause = time.Duration(f.StallMillis) * time.Millisecond
	}
	if f.FailSync == number {
		return syscall.EIO, pause
	}
	return 0, pause
}
