// Package testpcscd gives a test a real PC/SC daemon with a virtual reader (vpcd of the
// project vsmartcard). Debian's packages are downloaded and unpacked below the user's
// cache, not installed: no service starts. It knows no word of the house.
//
// The daemon's socket has a fixed place, /run/pcscd: one daemon at a time on a machine, as
// root.
package testpcscd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	socket    = "/run/pcscd/pcscd.comm" // compiled into Debian's daemon and library
	startTime = 20 * time.Second
)

// packages are what is unpacked: the daemon and the virtual reader.
func packages() []string { return []string{"pcscd", "vsmartcard-vpcd"} }

// ReaderName is how the virtual reader's first slot is called at the daemon.
const ReaderName = "Virtual PCD 00 00"

// Daemon is one PC/SC daemon.
type Daemon struct {
	root   string
	config string
	port   int

	mu  sync.Mutex
	cmd *exec.Cmd
	log bytes.Buffer
}

// Start starts a daemon; it ends with the test. A missing package is a test failure that
// says what to do, never a skip.
func Start(tb testing.TB) *Daemon {
	tb.Helper()
	if err := alone(); err != nil {
		tb.Fatal(err)
	}
	root, err := unpacked(tb.Context())
	if err != nil {
		tb.Fatalf("get pcscd: %v", err)
	}
	d := &Daemon{root: root, config: tb.TempDir()}
	if d.port, err = freePort(); err != nil {
		tb.Fatal(err)
	}
	line := fmt.Sprintf("FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:%d\nLIBPATH %s\nCHANNELID %d\n",
		d.port, filepath.Join(root, "usr/lib/pcsc/drivers/serial/libifdvpcd.so.0.8"), d.port)
	if err := os.WriteFile(filepath.Join(d.config, "vpcd"), []byte(line), 0o600); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.Kill)
	d.Up(tb)
	return d
}

// alone refuses to disturb a daemon that serves somebody.
func alone() error {
	conn, err := net.Dial("unix", socket) //nolint:noctx // local, at once
	if err == nil {
		return errors.Join(errors.New("a pcscd runs on this machine: stop it for this test (systemctl stop pcscd.socket pcscd)"), conn.Close())
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil { //nolint:gosec // as Debian's package makes it
		return fmt.Errorf("%w: pcscd needs root, or a /run/pcscd that is yours", err)
	}
	return nil
}

// freePort finds a port that is free, and its neighbour too: the reader has two slots.
func freePort() (int, error) {
	for range 50 {
		first, err := net.Listen("tcp", "0.0.0.0:0") //nolint:gosec,noctx // as the reader will, for a moment
		if err != nil {
			return 0, err
		}
		port := first.Addr().(*net.TCPAddr).Port                          //nolint:forcetypeassert // of a TCP listener
		second, err := net.Listen("tcp", "0.0.0.0:"+strconv.Itoa(port+1)) //nolint:gosec,noctx // likewise
		if free := err == nil; errors.Join(first.Close(), end(second)) == nil && free {
			return port, nil
		}
	}
	return 0, errors.New("no two free ports side by side")
}

func end(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// unpacked is the folder with the packages' files, from the cache if they are there.
func unpacked(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "dcpos")
	root := filepath.Join(cache, "pcscd")
	if _, err := os.Stat(filepath.Join(root, "usr/sbin/pcscd")); err == nil {
		return root, nil
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "unpack")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }() // only a cache
	if err := run(ctx, work, "apt-get", append([]string{"download", "-q"}, packages()...)...); err != nil {
		return "", fmt.Errorf("%w (apt-get update first)", err)
	}
	debs, _ := filepath.Glob(filepath.Join(work, "*.deb")) // the pattern is right
	for _, deb := range debs {
		if err := run(ctx, work, "dpkg-deb", "-x", deb, work); err != nil {
			return "", err
		}
	}
	if err := os.Rename(work, root); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return root, nil
}

func run(ctx context.Context, dir, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...) //nolint:gosec // the names are this package's
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Up starts the daemon after Kill; one that runs stays.
func (d *Daemon) Up(tb testing.TB) {
	tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd != nil {
		return
	}
	_ = os.Remove(socket) // of a daemon that was killed
	d.log.Reset()
	//nolint:gosec,noctx // the path is this package's; Kill ends it
	d.cmd = exec.Command(filepath.Join(d.root, "usr/sbin/pcscd"), "-f", "-e", "-c", d.config)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	deadline := time.Now().Add(startTime)
	for {
		if conn, err := net.Dial("unix", socket); err == nil { //nolint:noctx // local, at once
			_ = conn.Close() // it answered
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("pcscd does not start: %s", d.log.Bytes())
		}
		<-time.After(10 * time.Millisecond)
	}
}

// Kill ends the daemon at once, as a crash does.
func (d *Daemon) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Kill() // it may have ended
	_ = d.cmd.Wait()         // killed
	d.cmd = nil
	_ = os.Remove(socket) // nobody listens
}

// Pause stops the daemon without ending it; go on ends the pause.
func (d *Daemon) Pause(tb testing.TB) (goOn func()) {
	tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	process := d.cmd.Process
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		tb.Fatal(err)
	}
	return sync.OnceFunc(func() { _ = process.Signal(syscall.SIGCONT) })
}

// Card is a card in the virtual reader's first slot.
type Card struct {
	conn net.Conn
	once sync.Once
	done chan struct{}
}

// Control bytes of vpcd's protocol: two bytes of length, then one of these or an APDU.
const (
	powerOff = 0
	powerOn  = 1
	reset    = 2
	askATR   = 4
)

// Insert puts a card into the slot. answer gets every APDU and returns the response, or
// nil when the card leaves in that moment; atr is told to the daemon.
func (d *Daemon) Insert(tb testing.TB, atr []byte, answer func(command []byte) []byte) *Card {
	tb.Helper()
	deadline := time.Now().Add(startTime)
	for {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(d.port)) //nolint:noctx // local, at once
		if err == nil {
			c := &Card{conn: conn, done: make(chan struct{})}
			go c.serve(atr, answer)
			tb.Cleanup(c.Remove)
			return c
		}
		if time.Now().After(deadline) {
			tb.Fatalf("the virtual reader does not listen: %v", err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// Remove takes the card out.
func (c *Card) Remove() {
	c.once.Do(func() { _ = c.conn.Close() }) // it may have left
	<-c.done
}

func (c *Card) serve(atr []byte, answer func([]byte) []byte) {
	defer close(c.done)
	defer func() { _ = c.conn.Close() }() // it may be closed
	var head [2]byte
	for {
		if _, err := io.ReadFull(c.conn, head[:]); err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(c.conn, message); err != nil {
			return
		}
		var out []byte
		switch {
		case len(message) == 1 && message[0] == askATR:
			out = atr
		case len(message) == 1 && (message[0] == powerOff || message[0] == powerOn || message[0] == reset):
			continue
		default:
			if out = answer(message); out == nil {
				return
			}
		}
		framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...) //nolint:gosec // an APDU
		if _, err := c.conn.Write(framed); err != nil {
			return
		}
	}
}
