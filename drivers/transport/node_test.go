package transport_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"dcpos/drivers/transport"
)

func TestANodeThatIsJustBeingMadeIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hidraw0")
	made := time.AfterFunc(100*time.Millisecond, func() { _ = os.WriteFile(path, nil, 0o600) }) // seen by the open below
	defer made.Stop()
	f, err := transport.OpenNode(t.Context(), path, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestANodeThatNeverComes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hidraw0")
	start := time.Now()
	if _, err := transport.OpenNode(t.Context(), path, os.O_RDWR); !errors.Is(err, transport.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d < 300*time.Millisecond || d > time.Minute {
		t.Errorf("waited %v", d)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := transport.OpenNode(ended, path, os.O_RDWR); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got %v", err)
	}
}

// A device file is polled: its Close interrupts a read. A fifo stands for it.
func TestCloseOfANodeInterruptsARead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := transport.OpenNode(t.Context(), path, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	c := transport.NewStream("fifo", f)
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(context.Background(), make([]byte, 1))
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond) // let it block
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, transport.ErrClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the read still waits")
	}
}

func TestNodeErrors(t *testing.T) {
	for from, want := range map[error]error{
		syscall.ENOENT: transport.ErrNotFound, syscall.ENXIO: transport.ErrNotFound, syscall.ENODEV: transport.ErrNotFound,
		syscall.EACCES: transport.ErrAccess, syscall.EPERM: transport.ErrAccess,
		syscall.EBUSY: transport.ErrInUse, syscall.EWOULDBLOCK: transport.ErrInUse, syscall.EINVAL: syscall.EINVAL,
	} {
		if err := transport.NodeError(from); !errors.Is(err, want) {
			t.Errorf("%v: got %v, want %v", from, err, want)
		}
	}
}
