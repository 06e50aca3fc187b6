package main

import (
	"context"
	"fmt"

	"dcpos/internal/cli"
	"dcpos/lab/forgetfs"
)

// ForgetfsCmd serves a file system that forgets what was not synced when the
// power is cut (lab/forgetfs/DESIGN.md). It runs until quit on the control socket
// or SIGTERM, both of which unmount cleanly.
type ForgetfsCmd struct {
	Dir     string `required:"" type:"existingdir" help:"Directory that holds what is durable."`
	Mount   string `required:"" type:"existingdir" help:"Empty directory where programs see the file system."`
	Control string `help:"Unix socket that takes the lines: status, cut, sync, fault JSON, hold, quit." placeholder:"SOCKET"`

	Seed        uint64 `help:"Decides what survives a torn cut."`
	Torn        bool   `help:"A random part of the unsynced pages survives a cut, one perhaps half-written."`
	StrictDirs  bool   `help:"Names need an fsync of the file or its directory too."`
	MaxUnsynced int64  `help:"Bytes that may wait in memory before writes go through; 0 is 512 MiB." placeholder:"BYTES"`
}

// Help is shown by --help.
func (c *ForgetfsCmd) Help() string {
	return `Data written here is durable only after fsync, fdatasync or a write through O_SYNC.
"cut" forgets the rest and answers EIO until the file system is mounted again:
  poslab forgetfs --dir /tmp/disk --mount /tmp/mnt --control /tmp/f.sock &
  echo cut | nc -U /tmp/f.sock
Needs root and /dev/fuse. 数据只有在 fsync 之后才算落盘;"cut" 模拟断电。`
}

// Run serves until the file system is unmounted.
func (c *ForgetfsCmd) Run(ctx context.Context, out *cli.Streams) error {
	_, _ = fmt.Fprintf(out.Err, "forgetfs: %s on %s, seed %d\n", c.Dir, c.Mount, c.Seed)
	return forgetfs.Serve(ctx, forgetfs.Options{
		Backing: c.Dir, Mount: c.Mount, Control: c.Control,
		Seed: c.Seed, Torn: c.Torn, StrictDirs: c.StrictDirs, MaxUnsynced: c.MaxUnsynced,
	})
}
