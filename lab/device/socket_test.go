package device_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"dcpos/lab/device"
)

func TestASocketLeadsToTheLatestPlug(t *testing.T) {
	s := device.Socket{Path: filepath.Join(t.TempDir(), "scanner")}
	if err := s.Unplug(); err != nil || s.Plugged() || s.Line() != "" {
		t.Errorf("empty: %v", err)
	}
	for range 3 {
		scanner := device.NewScanner(device.ScannerOptions{})
		if err := s.Plug(t.Context(), scanner); err != nil {
			t.Fatal(err)
		}
		if err := s.Plug(t.Context(), scanner); !errors.Is(err, device.ErrPluggedIn) {
			t.Errorf("a second plug: %v", err)
		}
		host, err := os.OpenFile(s.Path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := scanner.Scan("12", ""); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 3)
		if _, err := io.ReadFull(host, got); err != nil || string(got) != "12\r" {
			t.Errorf("got %q, %v", got, err)
		}
		if to, err := os.Readlink(s.Path); err != nil || to != s.Line() || !s.Plugged() {
			t.Errorf("leads to %q, %v, want %q", to, err, s.Line())
		}
		if err := s.Unplug(); err != nil {
			t.Error(err)
		}
		if _, err := host.Read(got); err == nil {
			t.Error("the host does not see that it is unplugged")
		}
		_ = host.Close()
		if _, err := os.Lstat(s.Path); !errors.Is(err, fs.ErrNotExist) || s.Plugged() {
			t.Errorf("unplugged: %v", err)
		}
	}
}

func TestASocketReplacesNoFile(t *testing.T) {
	s := device.Socket{Path: filepath.Join(t.TempDir(), "precious")}
	if err := os.WriteFile(s.Path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Plug(t.Context(), device.NewScanner(device.ScannerOptions{})); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(s.Path); err != nil || string(b) != "x" {
		t.Errorf("got %q, %v", b, err)
	}
}
