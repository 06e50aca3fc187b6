package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Places in the guest.
const (
	initPath   = "/init"
	ordersPath = "/orders.json"
	reportPath = "/dev/ttyS1" // apart from the kernel's console
	thawPath   = "/dev/ttyS2"
	DiskDevice = "/dev/vda"
)

// HostAddress is the host's loopback as the guest sees it in QEMU's user-mode network.
const HostAddress = "10.0.2.2"

// guestAddress is the guest's own in that network.
func guestAddress() []byte { return []byte{10, 0, 2, 15} }

// exitPort is QEMU's isa-debug-exit: a byte n ends the machine with exit code 2n+1.
// cleanExit is added to the program's code, so that no code of QEMU's own is mistaken.
const (
	exitPort  = 0xf4
	cleanExit = 0x20
	maxExit   = 0x0f
)

// orders is what the host tells the guest's init.
type orders struct {
	Modules     []string `json:"modules"` // files, in order
	Network     bool     `json:"network"`
	Frozen      bool     `json:"frozen"`       // what to do is told when the machine is thawed
	Spare       []string `json:"spare"`        // files, in order, for LoadSpare
	DiskModules []string `json:"disk_modules"` // loaded last: a frozen machine has not seen its disk
	Job         job      `json:"job"`
}

// job is what the machine does.
type job struct {
	Args []string `json:"args"`
	Env  []string `json:"env"`
	// Now and Seed make the machine that was thawed differ from the one that was frozen.
	Now  time.Time `json:"now"`
	Seed []byte    `json:"seed"`
}

// Inside reports that this process runs in a guest.
func Inside() bool {
	_, err := os.Stat(ordersPath)
	return err == nil && os.Getenv(insideVariable) != ""
}

// insideVariable is set for all programs in a guest.
const insideVariable = "DCPOS_GUEST"

// Main is called first of all by a program that boots itself as a guest. As process 1 of
// a machine it is the machine's init and never returns; otherwise it does nothing.
func Main() {
	if os.Getpid() != 1 {
		return
	}
	if _, err := os.Stat(ordersPath); err != nil {
		return // process 1 of a container
	}
	code, err := initialise()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "guest:", err) // the console
		code = maxExit
	}
	powerOff(code)
}

// initialise makes the machine usable, runs the program and gives its exit code.
func initialise() (int, error) {
	if err := mount(); err != nil {
		return 0, err
	}
	b, err := os.ReadFile(ordersPath)
	if err != nil {
		return 0, err
	}
	var o orders
	if err := json.Unmarshal(b, &o); err != nil {
		return 0, err
	}
	if err := load(o.Modules); err != nil {
		return 0, err
	}
	if err := raise("lo", nil); err != nil {
		return 0, err
	}
	if o.Network {
		if err := raise("eth0", guestAddress()); err != nil {
			return 0, err
		}
	}
	if o.Frozen {
		if o.Job, err = thawed(); err != nil {
			return 0, err
		}
	}
	if err := load(o.DiskModules); err != nil {
		return 0, err
	}
	return work(o.Job)
}

// mount makes the kernel's own file systems visible.
func mount() error {
	for _, m := range []struct{ kind, at string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil { //nolint:gosec // folders of a root file system
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := os.MkdirAll("/dev/pts", 0o755); err != nil { //nolint:gosec // a folder of a root file system
		return err
	}
	if err := unix.Mount("devpts", "/dev/pts", "devpts", 0, ""); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	return nil
}

func load(files []string) error {
	for _, f := range files {
		if err := loadOne(f); err != nil {
			return err
		}
	}
	return nil
}

// LoadSpare loads the machine's spare modules, as the kernel does by itself where a device
// is plugged in that they are for. Loading them again does no harm.
func LoadSpare() error {
	b, err := os.ReadFile(ordersPath)
	if err != nil {
		return fmt.Errorf("load spare modules: %w", err)
	}
	var o orders
	if err := json.Unmarshal(b, &o); err != nil {
		return fmt.Errorf("load spare modules: %w", err)
	}
	return load(o.Spare)
}

func loadOne(file string) error {
	f, err := os.Open(file) //nolint:gosec // of the guest's own file system
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", filepath.Base(file), err)
	}
	return nil
}

// raise brings a network interface up; ip, if not nil, is its address in a /24.
func raise(name string, ip []byte) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(s) }() // nothing is lost
	order := func(request uint, set func(*unix.Ifreq) error) error {
		r, err := unix.NewIfreq(name)
		if err == nil {
			err = set(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(s, request, r)
		}
		if err != nil {
			return fmt.Errorf("bring %s up: %w", name, err)
		}
		return nil
	}
	if ip != nil {
		err = errors.Join(
			order(unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(ip) }),
			order(unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }),
		)
	}
	return errors.Join(err, order(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return nil
	}))
}

// work runs the program, reaps what is left to process 1, and ends with the program.
func work(j job) (int, error) {
	report, err := os.OpenFile(reportPath, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, err
	}
	if err := raw(report); err != nil {
		return 0, err
	}
	program := exec.Command(initPath, j.Args...) //nolint:gosec,noctx // lives as long as the machine
	program.Env = append([]string{"PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp", insideVariable + "=1"}, j.Env...)
	program.Stdout, program.Stderr = report, report
	program.Dir = "/tmp"
	if err := program.Start(); err != nil {
		return 0, err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("wait for the program: %w", err)
		}
		if pid != program.Process.Pid {
			continue
		}
		if status.Signaled() {
			_, _ = fmt.Fprintf(report, "guest: the program was killed: %v\n", status.Signal())
			return maxExit, nil
		}
		return min(status.ExitStatus(), maxExit), nil
	}
}

// raw keeps the line from changing what is said on it.
func raw(f *os.File) error {
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("set %s: %w", f.Name(), err)
	}
	t.Iflag, t.Lflag = 0, 0
	t.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return fmt.Errorf("set %s: %w", f.Name(), err)
	}
	return nil
}

// powerOff ends the machine.
func powerOff(code int) {
	unix.Sync()
	if port, err := os.OpenFile("/dev/port", os.O_WRONLY, 0); err == nil {
		if _, err := port.Seek(exitPort, io.SeekStart); err == nil {
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the last bytes leave the serial line; nobody is left to wait on
			_, _ = port.Write([]byte{byte(cleanExit + code)})
		}
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) // if the port did not do it
	select {}
}
