package guest

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// diskModules are what a machine with a disk loads besides.
func diskModules() []string { return []string{"virtio_blk", "crc32c_generic", "ext4"} }

// Frozen is a machine that has booted, loaded its modules and raised its network, and was
// saved then, before it saw its disk. It can be continued as often as wanted, in a moment
// instead of a boot.
type Frozen struct {
	o      Options
	kernel kernel
	initrd string
	state  string
}

// idle is what a frozen machine says again and again until it has got its job.
const idle = "idle\n"

// patience is for a machine that boots, on a host that is short of time.
const patience = 5 * time.Minute

// Freeze boots a machine and saves it. Args and Env are Thaw's.
func Freeze(ctx context.Context, o Options) (*Frozen, error) {
	k, err := findKernel(ctx)
	if err != nil {
		return nil, err
	}
	f := &Frozen{o: o, kernel: k, initrd: filepath.Join(o.Dir, "initrd"), state: filepath.Join(o.Dir, "state")}
	if err := build(ctx, f.initrd, k, o, true); err != nil {
		return nil, fmt.Errorf("build guest: %w", err)
	}
	monitor := filepath.Join(o.Dir, "monitor")
	m, way, err := f.start(ctx, o.Dir, "-qmp", "unix:"+monitor+",server=on,wait=off")
	if err != nil {
		return nil, err
	}
	defer m.Kill() // saved, or of no use
	defer way.close()
	if err := way.awaitIdle(m); err != nil {
		return nil, fmt.Errorf("boot: %w\n%s", err, m.Console())
	}
	if err := save(ctx, monitor, f.state); err != nil {
		return nil, fmt.Errorf("save the machine: %w", err)
	}
	return f, nil
}

// Thaw continues the machine with its files in dir, an empty folder, and has it run its
// program. Its clock is set and its random numbers are new.
func (f *Frozen) Thaw(ctx context.Context, dir string, args, env []string) (*Machine, error) {
	m, way, err := f.start(ctx, dir, "-incoming", "exec:cat '"+f.state+"'")
	if err != nil {
		return nil, err
	}
	defer way.close()
	if err := way.awaitIdle(m); err != nil {
		m.Kill()
		return nil, fmt.Errorf("thaw: %w", err)
	}
	j := job{Args: args, Env: env, Now: time.Now(), Seed: make([]byte, 64)}
	_, _ = rand.Read(j.Seed) // never fails
	if err := json.NewEncoder(way.in).Encode(j); err != nil {
		m.Kill()
		return nil, fmt.Errorf("thaw: %w", err)
	}
	return m, nil
}

func (f *Frozen) start(ctx context.Context, dir string, further ...string) (*Machine, *way, error) {
	w, err := openWay(filepath.Join(dir, "thaw"))
	if err != nil {
		return nil, nil, err
	}
	o := f.o
	o.Dir = dir
	m, err := start(ctx, f.kernel, f.initrd, o, append(further, "-serial", "pipe:"+w.path)...)
	if err != nil {
		w.close()
		return nil, nil, err
	}
	return m, w, nil
}

// way is the serial line on which a frozen machine gets its job: two FIFOs, as QEMU's
// "-serial pipe:" wants them.
type way struct {
	path    string
	in, out *os.File // of the machine
}

func openWay(path string) (w *way, err error) {
	w = &way{path: path}
	for _, end := range []struct {
		name string
		file **os.File
	}{{".in", &w.in}, {".out", &w.out}} {
		if err := unix.Mkfifo(path+end.name, 0o600); err != nil {
			w.close()
			return nil, fmt.Errorf("make %s: %w", path+end.name, err)
		}
		if *end.file, err = os.OpenFile(path+end.name, os.O_RDWR, 0); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

func (w *way) close() {
	for _, f := range []*os.File{w.in, w.out} {
		if f != nil {
			_ = f.Close() // all was said
		}
	}
}

// awaitIdle waits until the machine runs and asks for its job. What is written before that
// would be lost.
func (w *way) awaitIdle(m *Machine) error {
	if err := w.out.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-m.exited:
			_ = w.out.SetReadDeadline(time.Now()) // nobody will write
		case <-stop:
		}
	}()
	if _, err := bufio.NewReader(w.out).ReadString('\n'); err != nil {
		return fmt.Errorf("%w: it does not ask for its job: %w", ErrNotClean, err)
	}
	return nil
}

// save writes the machine's state by QEMU's monitor (QMP: docs/interop/qmp-spec.txt).
func save(ctx context.Context, monitor, state string) (err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", monitor)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the machine ends
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	in := json.NewDecoder(conn)
	ask := func(command string, arguments any) (answer struct{ Status string }, err error) {
		if err := json.NewEncoder(conn).Encode(map[string]any{"execute": command, "arguments": arguments}); err != nil {
			return answer, err
		}
		for {
			var line struct {
				Return *struct{ Status string }
				Error  json.RawMessage
			}
			switch err := in.Decode(&line); {
			case err != nil:
				return answer, err
			case line.Error != nil:
				return answer, fmt.Errorf("%s: %s", command, line.Error)
			case line.Return != nil:
				return *line.Return, nil
			} // the greeting, or an event
		}
	}
	none := struct{}{}
	for _, step := range []struct {
		command   string
		arguments any
	}{{"qmp_capabilities", none}, {"migrate", map[string]string{"uri": "exec:cat > '" + state + "'"}}} {
		if _, err := ask(step.command, step.arguments); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		switch now, err := ask("query-migrate", none); {
		case err != nil:
			return err
		case now.Status == "completed":
			return nil
		case now.Status == "failed" || now.Status == "cancelled":
			return errors.New("QEMU says that it " + now.Status)
		}
	}
	return nil
}

// thawed is the guest's side: it asks for the job until it gets one, and becomes another
// machine than the one that was frozen.
func thawed() (j job, err error) {
	line, err := os.OpenFile(thawPath, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return job{}, err
	}
	defer func() { _ = line.Close() }() // all was said
	if err := raw(line); err != nil {
		return job{}, err
	}
	for asked := false; !asked; {
		if _, err := io.WriteString(line, idle); err != nil {
			return job{}, err
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(line.Fd()), Events: unix.POLLIN}}, 50) //nolint:gosec // a file descriptor
		if err != nil && !errors.Is(err, unix.EINTR) {
			return job{}, fmt.Errorf("wait for the job: %w", err)
		}
		asked = n > 0
	}
	if err := json.NewDecoder(line).Decode(&j); err != nil {
		return job{}, fmt.Errorf("read the job: %w", err)
	}
	now := unix.NsecToTimespec(j.Now.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		return job{}, fmt.Errorf("set the clock: %w", err)
	}
	return j, reseed(j.Seed)
}

// reseedCRNG is RNDRESEEDCRNG of random(4): what was written counts at once.
const reseedCRNG = 0x5207

func reseed(seed []byte) error {
	f, err := os.OpenFile("/dev/urandom", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // written
	if _, err := f.Write(seed); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), reseedCRNG, 0); errno != 0 {
		return fmt.Errorf("reseed: %w", errno)
	}
	return nil
}
