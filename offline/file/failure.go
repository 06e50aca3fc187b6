package file

import (
	"errors"

	"github.com/mattn/go-sqlite3"
)

// Constrained reports that a statement broke a unique index, a check or a trigger: the
// file is well, the caller asked for something that it forbids.
func Constrained(err error) bool { return code(err) == sqlite3.ErrConstraint }

// Busy reports that another process held a lock for longer than the wait. Nothing was written.
func Busy(err error) bool {
	return code(err) == sqlite3.ErrBusy || code(err) == sqlite3.ErrLocked
}

// Damaged reports that the bytes of the file are not what SQLite wrote.
func Damaged(err error) bool {
	return code(err) == sqlite3.ErrCorrupt || NotDatabase(err)
}

// NotDatabase reports that the file is no SQLite database at all.
func NotDatabase(err error) bool { return code(err) == sqlite3.ErrNotADB }

// code is SQLite's primary result code, 0 for an error that is not SQLite's.
func code(err error) sqlite3.ErrNo {
	if e, ok := errors.AsType[sqlite3.Error](err); ok {
		return e.Code
	}
	return 0
}

// Broken reports that the disk, the file system or SQLite failed, so that what is on the
// disk is not known. The file must be opened anew before anything is written.
func Broken(err error) bool {
	switch code(err) {
	case 0, sqlite3.ErrConstraint, sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrTooBig, sqlite3.ErrMismatch:
		return false
	}
	return true
}
