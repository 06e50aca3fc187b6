package pcsc_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/nfc"
	daemon "dcpos/drivers/transport/pcsc"
	profiles "dcpos/firmware-profiles"
	"dcpos/internal/testpcscd"
	"dcpos/lab/device"
	"dcpos/pos"
)

var aid = []byte(drivertest.TapAID)

// atr stands for a contactless card (PC/SC Part 3): 3B 8n 80 01, historical bytes, sum.
var atr = []byte{0x3B, 0x81, 0x80, 0x01, 0x02, 0x02}

func profile() profiles.NFC {
	return profiles.NFC{
		Name: "virtual", Kind: profiles.KindNFC, Driver: "pcsc", Match: profiles.Match{PCSC: []string{"Nobody's", "Virtual PCD"}},
		Signals: profiles.NFCSignals{Language: "acr122u", QuietDetect: true},
		Timing:  profiles.NFCTiming{AnswerMS: 2000, CardMS: 3000, PollMS: 100},
	}
}

func newReader() drivers.NFCReader {
	return all.Readers()["pcsc"](profile(), drivers.TransportConfig{Kind: drivers.TransportPCSC}, "nfc")
}

// field is the virtual reader's slot.
type field struct {
	t    testing.TB
	d    *testpcscd.Daemon
	card *device.Card

	mu sync.Mutex
	in *testpcscd.Card
}

func newField(tb testing.TB, d *testpcscd.Daemon) *field {
	tb.Helper()
	f := &field{t: tb, d: d, card: device.NewEchoCard(aid, device.CardOptions{})}
	tb.Cleanup(f.take)
	return f
}

// tap puts the card into the slot; pseudo-APDUs are the reader's, and the virtual one
// leaves them to the card.
func (f *field) tap() {
	f.mu.Lock()
	defer f.mu.Unlock()
	uid, _ := f.card.Activate()
	f.in = f.d.Insert(f.t, atr, func(command []byte) []byte {
		if bytes.HasPrefix(command, []byte{0xFF, 0xCA, 0x00}) {
			return append(bytes.Clone(uid), 0x90, 0x00)
		}
		if command[0] == 0xFF {
			return []byte{0x6A, 0x81}
		}
		response, torn := f.card.Transmit(command)
		if torn {
			return nil
		}
		return response
	})
}

func (f *field) take() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.in != nil {
		f.in.Remove()
		f.in = nil
	}
}

// leave takes the card out and waits until the daemon has seen it: a card that woke badly
// stays mute until then, and one that is put in before hides the change. A wait for a card
// ends at once as long as the daemon believes that there is one.
func (f *field) leave() {
	f.t.Helper()
	f.take()
	r, err := daemon.Open(f.t.Context(), testpcscd.ReaderName, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = r.Close() }() // it only looked
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
		_, err := r.Wait(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	f.t.Fatal("the daemon does not see that the card left")
}

func TestSuite(t *testing.T) {
	d := testpcscd.Start(t)
	drivertest.RunNFCReader(t, func(t *testing.T) (drivers.NFCReader, drivertest.Taps) {
		t.Helper()
		d.Up(t)
		f := newField(t, d)
		return newReader(), drivertest.Taps{Tap: f.tap, Take: f.take, Unplug: d.Kill}
	})
}

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func started(t *testing.T) drivers.NFCReader {
	t.Helper()
	r := newReader()
	for _, step := range []func(context.Context) error{r.Open, r.Claim, r.Enable} {
		if err := step(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func talk(t *testing.T, r drivers.NFCReader) {
	t.Helper()
	c, err := r.WaitCard(within(t, time.Minute))
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	got, err := c.Transmit(within(t, time.Minute), append([]byte{0, 0xA4, 4, 0, 7}, aid...))
	if err != nil || !bytes.HasSuffix(got, []byte{0x90, 0}) {
		t.Fatalf("select: % x, %v", got, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestDaemonIsKilledAndRestarted(t *testing.T) {
	d := testpcscd.Start(t)
	f := newField(t, d)
	r := started(t)
	f.tap()
	talk(t, r)
	f.take()
	for range 3 {
		waited := make(chan error, 1)
		go func() {
			_, err := r.WaitCard(within(t, time.Minute))
			waited <- err
		}()
		time.Sleep(100 * time.Millisecond) // let it wait
		d.Kill()
		if err := <-waited; !errors.Is(err, drivers.ErrNoHardware) {
			t.Fatalf("killed while waiting: %v", err)
		}
		_, err := r.WaitCard(within(t, time.Minute))
		e, ok := errors.AsType[*pos.Error](err)
		if !ok || !errors.Is(err, drivers.ErrNoHardware) || !bytes.Contains([]byte(e.Hint.EN), []byte("pcscd.socket")) {
			t.Errorf("without a daemon: %v, hint %q", err, e.Hint.EN)
		}
		if h, err := r.CheckHealth(within(t, time.Minute), drivers.HealthInternal); err != nil || h.OK || h.Hint.ZH == "" {
			t.Errorf("health %+v, %v", h, err)
		}
		d.Up(t)
		f.tap()
		talk(t, r)
		f.take()
	}
	if h, err := r.CheckHealth(within(t, time.Minute), drivers.HealthInternal); err != nil || !h.OK {
		t.Errorf("health %+v, %v", h, err)
	}
	if n := r.Statistics()[drivers.OnlineTransitionCount]; n != 3 {
		t.Errorf("healed %d times", n)
	}
}

// A daemon restarted between two taps is not noticed by anybody.
func TestRestartBetweenTaps(t *testing.T) {
	d := testpcscd.Start(t)
	f := newField(t, d)
	r := started(t)
	f.tap()
	talk(t, r)
	f.take()
	d.Kill()
	d.Up(t)
	f.tap()
	talk(t, r)
}

func TestKilledInMidDialogue(t *testing.T) {
	d := testpcscd.Start(t)
	f := newField(t, d)
	r := started(t)
	f.tap()
	c, err := r.WaitCard(within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	d.Kill()
	f.take()
	if _, err := c.Transmit(within(t, time.Minute), []byte{0, 0xE0, 0, 0, 0}); !errors.Is(err, drivers.ErrNoHardware) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Transmit(within(t, time.Minute), []byte{0, 0xE0, 0, 0, 0}); !errors.Is(err, drivers.ErrTorn) {
		t.Errorf("again: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	d.Up(t)
	f.tap()
	talk(t, r)
}

// A daemon that hangs costs the caller its own patience and no more, and close is prompt.
func TestDaemonThatHangs(t *testing.T) {
	d := testpcscd.Start(t)
	f := newField(t, d)
	r := started(t)
	f.tap()
	c, err := r.WaitCard(within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	goOn := d.Pause(t)
	defer goOn()
	begin := time.Now()
	if _, err := c.Transmit(within(t, 300*time.Millisecond), []byte{0, 0xE0, 0, 0, 0}); !errors.Is(err, drivers.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("the caller waited %v", took)
	}
	begin = time.Now()
	_ = r.Close() // what it holds at the daemon is not given back
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("close took %v", took)
	}
	goOn()
	f.leave()
	r = started(t)
	f.tap()
	talk(t, r)
}

// The card leaves before every byte of a dialogue: whole answers or a torn tap, and the
// next tap works.
func TestTorn(t *testing.T) {
	d := testpcscd.Start(t)
	f := newField(t, d)
	r := started(t)
	for _, n := range []int{0, 1, 11, 12, 13, 40} {
		f.card.TearAfterBytes(n)
		f.tap()
		c, err := r.WaitCard(within(t, time.Minute))
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		got, err := c.Transmit(within(t, time.Minute), append([]byte{0, 0xA4, 4, 0, 7}, aid...))
		if err == nil {
			got, err = c.Transmit(within(t, time.Minute), []byte{0, 0xE0, 0, 0, 1, 7, 0})
		}
		if err == nil && !bytes.Equal(got, []byte{7, 0x90, 0}) || err != nil && !errors.Is(err, drivers.ErrTorn) {
			t.Errorf("%d: % x, %v", n, got, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%d: close: %v", n, err)
		}
		f.leave()
		f.card.TearAfterBytes(-1)
		f.tap()
		talk(t, r)
		f.take()
	}
}

func TestNoDaemon(t *testing.T) {
	testpcscd.Start(t).Kill()
	if _, err := os.Stat("/run/pcscd/pcscd.comm"); err == nil {
		t.Fatal("the socket is still there")
	}
	_, err := all.OpenNFC(within(t, time.Minute), drivers.DeviceConfig{
		Profile: "acr122u", Transport: drivers.TransportConfig{Kind: drivers.TransportPCSC},
	})
	e, ok := errors.AsType[*pos.Error](err)
	if !ok || !errors.Is(err, drivers.ErrNoHardware) || !bytes.Contains([]byte(e.Hint.EN), []byte("systemctl")) || e.Hint.ZH == "" {
		t.Errorf("got %v", err)
	}
}

func TestReaderThatIsNotThere(t *testing.T) {
	testpcscd.Start(t)
	_, err := daemon.Open(within(t, time.Minute), "Nobody's Reader", nil)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte(testpcscd.ReaderName)) {
		t.Errorf("the error does not name what there is: %v", err)
	}
}

var _ drivers.Resetter = (*nfc.Reader)(nil)
