package forgetfs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Options say what to serve and how a cut behaves.
type Options struct {
	// Backing is the directory that holds what is durable, and only that.
	Backing string
	// Mount is the empty directory where programs see the file system.
	Mount string
	// Control is the path of the control socket; empty is none. At most 107 bytes.
	Control string
	// Seed decides what survives a torn cut.
	Seed uint64
	// Torn lets a random part of the unsynced pages survive a cut, and now and
	// then writes one back before it; false forgets all of them.
	Torn bool
	// StrictDirs makes creations, removals and renames durable only with an fsync
	// of the file or of its directory; false makes them durable at once.
	StrictDirs bool
	// MaxUnsynced is how many bytes may wait in memory before a write is written
	// through, as a kernel does under pressure; 0 is 512 MiB.
	MaxUnsynced int64
}

const (
	defaultMaxUnsynced = 512 << 20
	unmountPatience    = 5 * time.Second
	controlPatience    = 10 * time.Second
	controlLine        = 4096
)

// Status is what is volatile now and what has been asked since mounting. After a
// cut it stays what the cut found.
type Status struct {
	Cut           bool   `json:"cut"`
	UnsyncedBytes int64  `json:"unsynced_bytes"`
	UnsyncedFiles int    `json:"unsynced_files"`
	PendingNames  int    `json:"pending_names"`
	Writes        uint64 `json:"writes"`
	Syncs         uint64 `json:"syncs"`
}

type answer struct {
	Error  string `json:"error,omitempty"`
	Status Status `json:"status"`
}

// Serve mounts the file system and serves it until quit is asked for on the
// control socket or ctx ends; both unmount. Without a cut everything unsynced is
// then written back, as a clean unmount does. Needs root (or CAP_SYS_ADMIN) and
// /dev/fuse. The process must start no children: they would inherit /dev/fuse.
func Serve(ctx context.Context, opts Options) error {
	if opts.MaxUnsynced == 0 {
		opts.MaxUnsynced = defaultMaxUnsynced
	}
	d, err := newDisk(opts)
	if err != nil {
		return err
	}
	cached := time.Second
	syscall.Umask(0) // the kernel has applied the caller's already
	root := &node{disk: d}
	d.dropCaches = func() { dropCaches(&root.Inode) }
	server, err := fs.Mount(opts.Mount, root, &fs.Options{
		AttrTimeout: &cached, EntryTimeout: &cached,
		MountOptions: fuse.MountOptions{
			FsName: opts.Backing, Name: "forgetfs", DirectMountStrict: true, DisableXAttrs: true,
			MaxWrite: fuse.MAX_KERNEL_WRITE,
			// Programs that refuse to be root (PostgreSQL) come too; the kernel checks modes.
			AllowOther: true, Options: []string{"default_permissions"},
		},
	})
	if err != nil {
		return fmt.Errorf("mount %s: %w", opts.Mount, err)
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	err = serveControl(ctx, quit, d)
	return errors.Join(err, unmount(server, opts.Mount), d.close())
}

// dropCaches invalidates data and attributes of a tree in the kernel.
func dropCaches(inode *fs.Inode) {
	_ = inode.NotifyContent(0, 0)
	for _, child := range inode.Children() {
		dropCaches(child)
	}
}

func unmount(server *fuse.Server, mount string) error {
	deadline := time.Now().Add(unmountPatience)
	for {
		err := server.Unmount()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			// Somebody still has a file open; he will get ENOTCONN when we exit.
			return errors.Join(fmt.Errorf("unmount %s: %w", mount, err), syscall.Unmount(mount, syscall.MNT_DETACH))
		}
		pauseFor(20 * time.Millisecond)
	}
}

// serveControl answers on the control socket until ctx ends.
func serveControl(ctx context.Context, quit context.CancelFunc, d *disk) error {
	if d.opts.Control == "" {
		<-ctx.Done()
		return nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", d.opts.Control)
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var clients sync.WaitGroup
	for {
		conn, err := listener.Accept()
		if err != nil {
			break
		}
		clients.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
			defer stop()
			defer func() { _ = conn.Close() }()
			d.answerClient(conn, quit)
		})
	}
	quit()
	clients.Wait()
	return nil
}

// answerClient serves one connection: a command a line, an answer in JSON a line.
func (d *disk) answerClient(conn io.ReadWriter, quit context.CancelFunc) {
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, controlLine), controlLine)
	held := false
	for lines.Scan() {
		command, argument, _ := strings.Cut(lines.Text(), " ")
		err := d.command(command, argument)
		held = held || command == "hold"
		if sendErr := d.send(conn, err); sendErr != nil {
			break
		}
		if command == "quit" {
			quit()
			return
		}
	}
	if held {
		quit()
	}
}

func (d *disk) send(w io.Writer, err error) error {
	d.mu.Lock()
	a := answer{Status: d.status()}
	d.mu.Unlock()
	if err != nil {
		a.Error = err.Error()
	}
	return json.NewEncoder(w).Encode(a)
}

var errCommand = errors.New("unknown command; known: status, cut, sync, fault JSON, hold, quit")

func (d *disk) command(command, argument string) error {
	switch command {
	case "status", "quit", "hold":
		return nil
	case "cut":
		return d.cutPower()
	case "sync":
		return d.syncAll()
	case "fault":
		return d.setFaults(argument)
	}
	return fmt.Errorf("%q: %w", command, errCommand)
}

func (d *disk) setFaults(argument string) error {
	decoder := json.NewDecoder(strings.NewReader(argument))
	decoder.DisallowUnknownFields()
	var faults Faults
	if err := decoder.Decode(&faults); err != nil {
		return fmt.Errorf("read faults: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = faults
	return nil
}

// Command is the first argument by which a process is asked to serve.
const Command = "forgetfs"

// ServeIfAsked serves and returns true if args (os.Args[1:]) begin with Command,
// and returns false at once otherwise. A TestMain calls it first, so that the test
// binary can be the server of its own tests.
func ServeIfAsked(ctx context.Context, args []string, errs io.Writer) (bool, error) {
	if len(args) == 0 || args[0] != Command {
		return false, nil
	}
	var opts Options
	flags := flag.NewFlagSet(Command, flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&opts.Backing, "dir", "", "backing directory")
	flags.StringVar(&opts.Mount, "mount", "", "mount point")
	flags.StringVar(&opts.Control, "control", "", "control socket")
	flags.Uint64Var(&opts.Seed, "seed", 0, "seed of torn cuts")
	flags.BoolVar(&opts.Torn, "torn", false, "a part of the unsynced pages survives")
	flags.BoolVar(&opts.StrictDirs, "strict-dirs", false, "names need an fsync too")
	flags.Int64Var(&opts.MaxUnsynced, "max-unsynced", 0, "bytes")
	if err := flags.Parse(args[1:]); err != nil {
		return true, err
	}
	return true, Serve(ctx, opts)
}
