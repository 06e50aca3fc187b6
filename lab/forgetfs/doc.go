// Package forgetfs models a power cut. It is a file system in which file data is
// durable only once it was synced (fsync, fdatasync, or a write through O_SYNC or
// O_DSYNC); "cut" forgets the rest, truncations and extensions too, and answers
// EIO to every later operation until the file system is mounted again.
//
// A test starts it in a process of its own with [Start], runs the program under
// test on [Mount.Path], calls [Mount.Cut] at a bad moment, ends the program, and
// looks at what survived in [Mount.Backing] or after [Mount.Remount]. DESIGN.md
// says what is modelled, what is not, and how to write such a test.
//
// The idea is LazyFS (github.com/dsrhaslab/lazyfs); no code is shared.
package forgetfs
