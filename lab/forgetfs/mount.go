package forgetfs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startPatience = 10 * time.Second
	stopPatience  = 10 * time.Second
)

// Mount is a file system served by a process of its own, as a test sees it.
// Its methods may be called from several goroutines, except Stop and Remount.
type Mount struct {
	// Path is where programs see the file system; Backing holds what is durable
	// and may be read at any time, best after Cut or Stop.
	Path, Backing string

	binary  string
	extra   []string
	socket  string
	process *exec.Cmd
	stderr  *bytes.Buffer
	exited  chan struct{}
	waitErr error
	holder  net.Conn
	// device is the minor number of the mount, which names its FUSE connection.
	device int
}

// Option is an argument for the serving process.
type Option string

// Torn lets a random part of the unsynced pages survive a cut.
const Torn Option = "--torn"

// StrictDirs makes names need an fsync too.
const StrictDirs Option = "--strict-dirs"

// Seed decides what survives a torn cut.
func Seed(n uint64) Option { return Option("--seed=" + strconv.FormatUint(n, 10)) }

// MaxUnsynced is how many bytes may wait in memory before writes go through.
func MaxUnsynced(n int64) Option { return Option("--max-unsynced=" + strconv.FormatInt(n, 10)) }

// Start runs "binary forgetfs …" (poslab, or a test binary whose TestMain calls
// ServeIfAsked; os.Args[0] is one) and returns when the file system is mounted.
// Both directories are made if they are absent. Ctx bounds the start only; the
// server lives until Stop, or until the process that started it is gone.
func Start(ctx context.Context, binary, backing, mount string, opts ...Option) (*Mount, error) {
	m := &Mount{Path: mount, Backing: backing, binary: binary}
	for _, o := range opts {
		m.extra = append(m.extra, string(o))
	}
	if err := os.MkdirAll(backing, 0o700); err != nil {
		return nil, fmt.Errorf("make backing directory: %w", err)
	}
	if err := m.start(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Mount) start(ctx context.Context) error {
	if err := prepareMount(m.Path); err != nil {
		return err
	}
	// Not under the test's own directory: a socket's path is limited to 107 bytes.
	dir, err := os.MkdirTemp("", "forgetfs")
	if err != nil {
		return err
	}
	m.socket = filepath.Join(dir, "control")
	args := append([]string{Command, "--dir=" + m.Backing, "--mount=" + m.Path, "--control=" + m.socket}, m.extra...)
	m.process = exec.CommandContext(context.WithoutCancel(ctx), m.binary, args...)
	m.process.WaitDelay = time.Second
	m.stderr = &bytes.Buffer{}
	m.process.Stderr = m.stderr
	if err := m.process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", m.binary, err)
	}
	m.exited = make(chan struct{})
	go func(process *exec.Cmd, exited chan struct{}) {
		m.waitErr = process.Wait()
		close(exited)
	}(m.process, m.exited)
	if err := m.connect(ctx); err != nil {
		m.clean()
		return fmt.Errorf("serve %s: %w", m.Path, err)
	}
	return nil
}

// prepareMount makes the mount point and takes away what an interrupted earlier
// run left there; it touches no other kind of file system.
func prepareMount(path string) error {
	if _, err := deviceOf(path); err == nil {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount what an earlier run left at %s: %w", path, err)
		}
	}
	return os.MkdirAll(path, 0o700)
}

// connect waits for the control socket, which is there once the mount is, and
// keeps one connection whose end tells the server that this process is gone.
func (m *Mount) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", m.socket)
		if err == nil {
			m.holder = conn
			break
		}
		select {
		case <-m.exited:
			return fmt.Errorf("server ended: %w: %s", m.waitErr, bytes.TrimSpace(m.stderr.Bytes()))
		case <-ctx.Done():
			return fmt.Errorf("wait for control socket: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if _, err := ask(m.holder, "hold"); err != nil {
		return err
	}
	device, err := deviceOf(m.Path)
	m.device = device
	return err
}

func ask(conn net.Conn, command string) (Status, error) {
	if err := conn.SetDeadline(time.Now().Add(controlPatience)); err != nil {
		return Status{}, err
	}
	if _, err := fmt.Fprintln(conn, command); err != nil {
		return Status{}, fmt.Errorf("ask %s: %w", command, err)
	}
	line, err := bufio.NewReader(conn).ReadBytes('\n')
	if err != nil {
		return Status{}, fmt.Errorf("read answer to %s: %w", command, err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return Status{}, fmt.Errorf("read answer to %s: %w", command, err)
	}
	if a.Error != "" {
		return a.Status, fmt.Errorf("%s: %s", command, a.Error)
	}
	return a.Status, nil
}

func (m *Mount) ask(command string) (Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), controlPatience)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", m.socket)
	if err != nil {
		return Status{}, fmt.Errorf("reach server of %s: %w", m.Path, err)
	}
	defer func() { _ = conn.Close() }()
	return ask(conn, command)
}

// Cut is the power cut: what is not synced is forgotten and from then on every
// operation fails with EIO. When it returns, Backing holds what survived. The
// programs still run; end them, then Remount or Stop. Idempotent.
func (m *Mount) Cut() error {
	_, err := m.ask("cut")
	return err
}

// Sync makes everything durable, as sync(2) would.
func (m *Mount) Sync() error {
	_, err := m.ask("sync")
	return err
}

// Status says how much is volatile now.
func (m *Mount) Status() (Status, error) { return m.ask("status") }

// SetFaults replaces the medium's misbehaviours; the zero value heals it.
func (m *Mount) SetFaults(f Faults) error {
	line, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = m.ask("fault " + string(line))
	return err
}

// Remount boots the machine again: Stop, then the same server over what survived.
// Programs that used the mount must have ended.
func (m *Mount) Remount(ctx context.Context) error {
	if err := m.Stop(); err != nil {
		return err
	}
	return m.start(ctx)
}

// Stop unmounts and ends the server; without a cut everything is written back
// first. It returns within about twenty seconds whatever hangs, by aborting its own
// FUSE connection at last, and says so in the error. Idempotent.
func (m *Mount) Stop() error {
	if m.process == nil {
		return nil
	}
	patience := stopPatience
	_, askErr := m.ask("quit")
	if askErr != nil {
		patience = time.Second
	}
	var err error
	select {
	case <-m.exited:
		if m.waitErr != nil {
			err = fmt.Errorf("serve %s: %w: %s", m.Path, m.waitErr, bytes.TrimSpace(m.stderr.Bytes()))
		}
	case <-time.After(patience):
		err = errors.Join(fmt.Errorf("server of %s hangs and was killed", m.Path), askErr)
	}
	m.clean()
	return err
}

// clean ends what is left of server and mount, by force.
func (m *Mount) clean() {
	if m.holder != nil {
		_ = m.holder.Close()
		m.holder = nil
	}
	_ = m.process.Process.Kill()
	select {
	case <-m.exited:
	case <-time.After(2 * time.Second):
		m.abort()
		<-m.exited
	}
	if _, err := deviceOf(m.Path); err == nil {
		m.abort()
		_ = syscall.Unmount(m.Path, syscall.MNT_DETACH)
	}
	_ = os.RemoveAll(filepath.Dir(m.socket))
	m.process = nil
}

// abort frees whoever is stuck in this mount's FUSE connection, and in no other.
func (m *Mount) abort() {
	if m.device == 0 {
		return
	}
	control, err := os.MkdirTemp("", "fusectl")
	if err != nil {
		return
	}
	defer func() { _ = os.Remove(control) }()
	if err := syscall.Mount("fusectl", control, "fusectl", 0, ""); err != nil {
		return
	}
	defer func() { _ = syscall.Unmount(control, syscall.MNT_DETACH) }()
	_ = os.WriteFile(filepath.Join(control, strconv.Itoa(m.device), "abort"), []byte("1"), 0o200)
}

// deviceOf reads the minor device number of the file system mounted at path from
// /proc/self/mountinfo (proc(5)); a stat would hang where the server hangs.
func deviceOf(path string) (int, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(parent, filepath.Base(path))
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return 0, err
	}
	found := 0
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || unescape(fields[4]) != path || !strings.Contains(line, " fuse.forgetfs ") {
			continue
		}
		_, minor, _ := strings.Cut(fields[2], ":")
		if found, err = strconv.Atoi(minor); err != nil {
			return 0, fmt.Errorf("read device number %q: %w", fields[2], err)
		}
	}
	if found == 0 {
		return 0, fmt.Errorf("no forgetfs is mounted at %s", path)
	}
	return found, nil
}

// unescape undoes the octal escapes of proc(5), "mountinfo".
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Freeze stops the serving process, so that everybody who uses the mount hangs: a
// controller that no longer answers. It returns when every thread stands still. Stop
// ends it.
func (m *Mount) Freeze() error {
	pid := m.process.Process.Pid
	if err := m.process.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze %s: %w", m.Path, err)
	}
	for deadline := time.Now().Add(stopPatience); time.Now().Before(deadline); {
		if still(pid) {
			return nil
		}
		runtime.Gosched()
	}
	return fmt.Errorf("freeze %s: process %d still runs", m.Path, pid)
}

// still reports that every thread of a process is stopped: state T in
// /proc/PID/task/TID/stat (proc(5)). SIGSTOP returns before that.
func still(pid int) bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(stats) == 0 {
		return false
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		_, after, ok := strings.Cut(string(b), ") ")
		if !ok || !strings.HasPrefix(after, "T") {
			return false
		}
	}
	return true
}
