package usb_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dcpos/internal/guest"
	"dcpos/internal/testbin"
	"dcpos/lab/device"
)

func TestMain(m *testing.M) {
	guest.Main()
	os.Exit(m.Run())
}

var (
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of moments")
	cycles = flag.Int("cycles", 4, "times that devices are plugged in and pulled out; 1000 for the long form")
)

// lifetime bounds the guest's life. Its tests take less than a minute where the host has
// a processor for it.
func lifetime() time.Duration { return 8*time.Minute + time.Duration(*cycles)*3*time.Second }

// On the host this boots the machine and repeats what its tests said; in the machine
// it is those tests.
func TestOnARealKernel(t *testing.T) {
	if guest.Inside() {
		t.Run("printer", testPrinter)
		t.Run("serial", testSerial)
		t.Run("HID-POS", testHIDPOS)
		t.Run("keyboard", testKeyboard)
		t.Run("uhid", testUHID)
		t.Run("CCID", testCCID)
		t.Run("doctor", testDoctor)
		t.Run("cycles", testCycles)
		t.Run("program", testProgram)
		return
	}
	t.Parallel()
	root := bootTwice(t)
	if len(root.children) == 0 {
		t.Fatalf("nothing ran in the guest:\n%s", strings.Join(root.output, "\n"))
	}
	count := root.children[0].replay(t)
	t.Logf("%d sub-tests ran in the guest", count)
	if count == 0 {
		t.Error("no sub-test ran in the guest")
	}
}

// selection is this process's -test.run for the guest: this test, and in it what was asked for.
func selection(t *testing.T) string {
	t.Helper()
	_, below, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	return strings.TrimSuffix("^"+t.Name()+"$/"+below, "/")
}

// bootTwice boots the machine, once more if it did not come up: emulated machines may
// fail to boot on a host that is short of time; a test that fails is never run again.
func bootTwice(t *testing.T) *outcome {
	t.Helper()
	for try := 1; ; try++ {
		root, err := boot(t)
		if err == nil {
			return root
		}
		t.Logf("boot %d: %v", try, err)
		if len(root.children) > 0 || try == 2 {
			t.Errorf("the guest: %v", err)
			return root
		}
	}
}

func boot(t *testing.T) (*outcome, error) {
	t.Helper()
	began := time.Now()
	o := options(t, t.TempDir(), selection(t)) // builds programs, which may take minutes
	ctx, cancel := context.WithTimeout(t.Context(), lifetime()+30*time.Second)
	defer cancel()
	o.Env = []string{serveWorld(t)}
	m, err := guest.Boot(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("built in %v", time.Since(began).Round(time.Millisecond))
	code, err := m.Wait()
	root := readReport(m.Report())
	t.Logf("guest lived %v, exit code %d", time.Since(m.Started).Round(time.Millisecond), code)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("console of the guest:\n%s", m.Console())
		}
	})
	if ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	return root, err
}

// options are the machine of these tests: it runs this binary's tests that are selected.
func options(t *testing.T, dir, selected string) guest.Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return guest.Options{
		Dir: dir, Program: self, Network: true,
		Args: arguments(selected),
		Bin:  programs(testbin.Dir(t)), Files: []string{device.DefaultFont}, Modules: modules(), Spare: []string{"pn533_usb"},
	}
}

// arguments are this binary's in the guest.
func arguments(selected string) []string {
	return []string{
		"-test.v", "-test.count=1", "-test.run=" + selected, "-test.timeout=" + lifetime().String(),
		"-seed=" + strconv.FormatUint(*seed, 10), "-cycles=" + strconv.Itoa(*cycles),
	}
}

func programs(bin string) (list []string) {
	for _, name := range []string{"posagent", "posctl"} {
		list = append(list, filepath.Join(bin, name))
	}
	return list
}

// modules are what Debian loads by itself when a device is plugged in, and the
// controller into which ours are.
func modules() []string {
	return []string{"virtio_pci", "virtio_net", "vhci-hcd", "usblp", "cdc-acm", "usbhid", "hid-generic", "evdev", "uinput", "uhid"}
}
