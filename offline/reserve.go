package offline

import (
	"fmt"
	"path/filepath"
	"syscall"

	"dcpos/pos"
)

// Reserve is how much a till keeps free on its disk, in bytes: 16 MiB hold the rest of every payment that has begun
// (a payment takes less than 100 KiB, the WAL about 4 MiB before SQLite moves it into the file).
const Reserve = 16 << 20

// roomy refuses to begin a payment on a disk that is about to be full: what follows a beginning could not be kept.
// It stops nothing that has begun, and the store goes on by itself when there is room again.
func (s *Store) roomy(drafts []pos.Draft) error {
	begins := false
	for _, d := range drafts {
		begins = begins || d.Kind == pos.KindPaymentCreated
	}
	if s.cfg.Reserve == 0 || !begins {
		return nil
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(s.cfg.Path), &fs); err != nil {
		return pos.NewError(pos.ErrStorage, fmt.Errorf("ask for free space: %w", err))
	}
	const readOnly = 0x1 // ST_RDONLY, statfs(2)
	if fs.Flags&readOnly != 0 {
		return pos.NewError(pos.ErrStorage, fmt.Errorf("%s is mounted read-only", filepath.Dir(s.cfg.Path)))
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < s.cfg.Reserve { //nolint:gosec // block sizes are positive
		return pos.NewError(pos.ErrStorage, fmt.Errorf("%d bytes free, %d are kept for payments that have begun", free, s.cfg.Reserve))
	}
	return nil
}
