package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options say what machine is booted.
type Options struct {
	// Dir is an empty folder for the machine's files.
	Dir string
	// Program becomes the guest's init, which runs it again with Args: a program that calls
	// Main. Its libraries come with it.
	Program string
	Args    []string
	Env     []string
	// Bin are further programs; each is found in the guest's /bin under its name.
	Bin []string
	// Files of this machine, at the same path in the guest.
	Files []string
	// Modules of the kernel to load, with what they need.
	Modules []string
	// Spare modules are there, with what they need, and are loaded by LoadSpare.
	Spare []string
	// MemoryMiB; 0 is 1024.
	MemoryMiB int
	// Network lets the guest call the host's loopback at HostAddress, and nothing of the
	// guest be called (module virtio_net).
	Network bool
	// Disk, if set, is a file with an ext4 file system that the guest has as DiskDevice. What
	// the guest flushed is in the file, whatever happens to the machine.
	Disk string
}

// Machine is a guest that runs.
type Machine struct {
	qemu    *exec.Cmd
	dir     string
	exited  chan struct{}
	err     error
	Started time.Time
}

// Boot starts the machine. It ends with its program, with Kill, or with ctx.
func Boot(ctx context.Context, o Options) (*Machine, error) {
	k, err := findKernel(ctx)
	if err != nil {
		return nil, err
	}
	initrd := filepath.Join(o.Dir, "initrd")
	if err := build(ctx, initrd, k, o, false); err != nil {
		return nil, fmt.Errorf("build guest: %w", err)
	}
	return start(ctx, k, initrd, o)
}

// build writes the guest's file system.
func build(ctx context.Context, to string, k kernel, o Options, frozen bool) (err error) {
	f, err := os.Create(to) //nolint:gosec // in the caller's folder
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	a := newArchive(f)
	for _, d := range []string{"dev", "proc", "sys", "tmp", "run"} {
		a.folders(d + "/x")
	}
	if err := a.program(ctx, initPath[1:], o.Program); err != nil {
		return err
	}
	for _, p := range o.Bin {
		if err := a.program(ctx, "bin/"+filepath.Base(p), p); err != nil {
			return err
		}
	}
	for _, p := range o.Files {
		if err := a.copy(p[1:], p); err != nil {
			return err
		}
	}
	list := orders{Network: o.Network, Frozen: frozen, Job: job{Args: o.Args, Env: o.Env}}
	if list.Modules, err = addModules(a, k, o.Modules, nil); err != nil {
		return err
	}
	if list.Spare, err = addModules(a, k, o.Spare, list.Modules); err != nil {
		return err
	}
	if o.Disk != "" {
		if list.DiskModules, err = addModules(a, k, diskModules(), slices.Concat(list.Modules, list.Spare)); err != nil {
			return err
		}
	}
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	a.bytes(ordersPath[1:], b)
	return a.close()
}

// addModules adds modules of the kernel with what they need, besides those that are there
// already, and gives their places in the order in which they are loaded.
func addModules(a *archive, k kernel, names, there []string) (places []string, err error) {
	files, err := moduleFiles(k.modules, names)
	if err != nil {
		return nil, err
	}
	for _, m := range files {
		at := "/lib/modules/" + filepath.Base(m)
		if slices.Contains(there, at) {
			continue
		}
		if err := a.copy(at[1:], m); err != nil {
			return nil, err
		}
		places = append(places, at)
	}
	return places, nil
}

func start(ctx context.Context, k kernel, initrd string, o Options, further ...string) (*Machine, error) {
	memory := o.MemoryMiB
	if memory == 0 {
		memory = 1024
	}
	m := &Machine{dir: o.Dir, exited: make(chan struct{}), Started: time.Now()}
	args := []string{
		"-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", strconv.Itoa(memory), "-smp", "2",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", nic(o),
		"-kernel", k.image, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1 reboot=t random.trust_cpu=on",
		"-serial", "file:" + m.file("console"), "-serial", "file:" + m.file("report"),
		"-device", "isa-debug-exit,iobase=" + strconv.Itoa(exitPort) + ",iosize=4",
	}
	if o.Disk != "" {
		args = append(args, "-drive", "file="+o.Disk+",if=virtio,format=raw,cache=writethrough")
	}
	m.qemu = exec.CommandContext(ctx, "qemu-system-x86_64", append(args, further...)...)
	m.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaint bytes.Buffer
	m.qemu.Stdout, m.qemu.Stderr = &complaint, &complaint
	if err := m.qemu.Start(); err != nil {
		return nil, fmt.Errorf("start qemu (Debian's package qemu-system-x86): %w", err)
	}
	go func() {
		defer close(m.exited)
		m.err = m.qemu.Wait()
		if complaint.Len() > 0 {
			m.err = fmt.Errorf("%w: %s", m.err, strings.TrimSpace(complaint.String()))
		}
	}()
	return m, nil
}

func nic(o Options) string {
	if o.Network {
		return "user,model=virtio-net-pci"
	}
	return "none"
}

func (m *Machine) file(name string) string { return filepath.Join(m.dir, name) }

// Report is what the program has written so far.
func (m *Machine) Report() string { return m.read("report") }

// Console is what the kernel and the guest's init have written so far.
func (m *Machine) Console() string { return m.read("console") }

func (m *Machine) read(name string) string {
	b, err := os.ReadFile(m.file(name))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// ErrNotClean is returned for a machine that ended otherwise than with its program:
// killed, out of time, a kernel panic, a machine that did not boot.
var ErrNotClean = errors.New("the guest did not end by itself")

// Wait waits for the machine's end and gives the program's exit code.
func (m *Machine) Wait() (code int, err error) {
	<-m.exited
	exit, ok := errors.AsType[*exec.ExitError](m.err)
	if ok {
		if n := (exit.ExitCode() - 1) / 2; exit.ExitCode()%2 == 1 && n >= cleanExit && n <= cleanExit+maxExit {
			return n - cleanExit, nil
		}
	}
	return -1, fmt.Errorf("%w: %w", ErrNotClean, m.err)
}

// Kill is a power cut: what the guest has not flushed to its disk is gone.
func (m *Machine) Kill() {
	_ = m.qemu.Process.Kill() // an error means that it has just ended
	<-m.exited
}
