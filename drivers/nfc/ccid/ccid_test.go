package ccid_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/nfc"
	"dcpos/drivers/nfc/ccid"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

// bench is one modelled reader on a socket that can be pulled.
type bench struct {
	model  *device.CCID
	card   *device.Card
	socket *device.CCIDSocket
}

var aid = []byte(drivertest.TapAID)

func newBench(tb testing.TB, opt device.CCIDOptions) *bench {
	tb.Helper()
	model := device.NewCCID(opt)
	tb.Cleanup(model.Close)
	return &bench{model: model, card: device.NewEchoCard(aid, device.CardOptions{}), socket: model.Socket()}
}

func profile(tb testing.TB) profiles.NFC {
	tb.Helper()
	p, err := profiles.FindNFC("acr122u-ccid")
	if err != nil {
		tb.Fatal(err)
	}
	p.Timing = profiles.NFCTiming{AnswerMS: 200, CardMS: 500, PollMS: 50}
	return p
}

func (b *bench) reader(tb testing.TB) *nfc.Reader {
	tb.Helper()
	p := profile(tb)
	return nfc.New(p, ccid.Dial(p, b.socket.Dial), nfc.Options{})
}

func (b *bench) taps() drivertest.Taps {
	return drivertest.Taps{
		Tap: func() { b.model.Tap(b.card) }, Take: func() { b.model.Take(nil) }, Unplug: b.socket.Pull, Lights: true,
	}
}

func started(tb testing.TB, r *nfc.Reader) *nfc.Reader {
	tb.Helper()
	for _, step := range []func(context.Context) error{r.Open, r.Claim, r.Enable} {
		if err := step(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

func TestSuite(t *testing.T) {
	for name, opt := range map[string]device.CCIDOptions{"short APDUs": {}, "extended APDUs": {Extended: true}} {
		t.Run(name, func(t *testing.T) {
			drivertest.RunNFCReader(t, func(t *testing.T) (drivers.NFCReader, drivertest.Taps) {
				t.Helper()
				b := newBench(t, opt)
				return b.reader(t), b.taps()
			})
		})
	}
	t.Run("without interrupt endpoint", func(t *testing.T) {
		drivertest.RunNFCReader(t, func(t *testing.T) (drivers.NFCReader, drivertest.Taps) {
			t.Helper()
			b := newBench(t, device.CCIDOptions{})
			b.socket.NoInterrupt = true
			return b.reader(t), b.taps()
		})
	})
}

func TestLightsOfTheACR122U(t *testing.T) {
	type light struct {
		p2   byte
		data [4]byte
	}
	var lights []light
	b := newBench(t, device.CCIDOptions{Light: func(p2 byte, data [4]byte) { lights = append(lights, light{p2, data}) }})
	r := started(t, b.reader(t))
	if !b.model.Quiet() {
		t.Error("its own beep is on")
	}
	if got := r.Info().Firmware; got != "ACR122U214" {
		t.Errorf("firmware %q", got)
	}
	for s, leds := range map[drivers.Signal]byte{
		drivers.SignalReady: 2, drivers.SignalWorking: 3, drivers.SignalDone: 2, drivers.SignalRefused: 1, drivers.SignalOff: 0,
	} {
		if err := r.Signal(t.Context(), s); err != nil || b.model.LEDs() != leds {
			t.Errorf("%s: LEDs %b, want %b; %v", s, b.model.LEDs(), leds, err)
		}
	}
	lights = nil
	for _, s := range []drivers.Signal{drivers.SignalDone, drivers.SignalRefused, drivers.SignalReady} {
		if err := r.Signal(t.Context(), s); err != nil {
			t.Error(err)
		}
	}
	want := []light{{0xAE, [4]byte{1, 1, 1, 1}}, {0x5D, [4]byte{3, 1, 2, 1}}, {0x0E, [4]byte{}}}
	for i, w := range want {
		if lights[i] != w {
			t.Errorf("signal %d: got %x, want %x", i, lights[i], w)
		}
	}
	if h, err := r.CheckHealth(t.Context(), drivers.HealthExternal); err != nil || !h.OK {
		t.Errorf("health %+v, %v", h, err)
	}
}

func TestSlowCardKeepsTheWaitAlive(t *testing.T) {
	b := newBench(t, device.CCIDOptions{})
	b.card = device.NewEchoCard(aid, device.CardOptions{Slow: 300 * time.Millisecond, RandomUID: true})
	p := profile(t)
	p.Timing.CardMS = 1000
	r := started(t, nfc.New(p, ccid.Dial(p, b.socket.Dial), nfc.Options{}))
	b.model.Tap(b.card)
	c, err := r.WaitCard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if uid := c.Info().UID; len(uid) != 4 || uid[0] != 8 || !bytes.Equal(uid, b.card.UID()) {
		t.Errorf("uid % x", uid)
	}
	if !bytes.Equal(c.Info().ATS, []byte{0x05, 0x78, 0x80, 0x70, 0x02}) {
		t.Errorf("ats % x", c.Info().ATS)
	}
	if got, err := c.Transmit(t.Context(), []byte{0, 0xE0, 0, 0, 1, 9}); err == nil && !bytes.Equal(got, []byte{0x69, 0x85}) || err != nil {
		t.Errorf("got % x, %v", got, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// A late answer to a command that was given up is never taken for the next one's.
func TestStaleAnswers(t *testing.T) {
	b := newBench(t, device.CCIDOptions{})
	b.card = device.NewEchoCard(aid, device.CardOptions{})
	p := profile(t)
	p.Timing.CardMS = 60_000 // the caller gives up, never the driver
	r := started(t, nfc.New(p, ccid.Dial(p, b.socket.Dial), nfc.Options{}))
	b.model.Tap(b.card)
	c, err := r.WaitCard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var held []byte
	b.socket.Spoil(func(response []byte) [][]byte {
		if held == nil {
			held = response
			return nil
		}
		return [][]byte{held, response} // the late one first
	})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // the answer has to come within it
	defer cancel()
	if _, err := c.Transmit(ctx, []byte{0, 0xE0, 0, 0, 1, 1}); !errors.Is(err, drivers.ErrTimeout) {
		t.Fatalf("given up: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c, err = r.WaitCard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Transmit(t.Context(), append([]byte{0, 0xA4, 4, 0, 7}, aid...)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Transmit(t.Context(), []byte{0, 0xE0, 0, 0, 1, 2, 0})
	if err != nil || !bytes.Equal(got, []byte{2, 0x90, 0}) {
		t.Errorf("got % x, %v", got, err)
	}
}

// failed turns an answer into one that says "failed".
func failed(r []byte, fault byte) [][]byte {
	copy(r[1:5], []byte{0, 0, 0, 0})
	r[7], r[8] = r[7]|0x40, fault
	return [][]byte{r[:10]}
}

// Noise, cut and foreign answers are timeouts or torn taps, never wrong answers; the reader
// serves on.
func TestSpoiledAnswers(t *testing.T) {
	for name, spoil := range map[string]func([]byte) [][]byte{
		"noise":         func([]byte) [][]byte { return [][]byte{bytes.Repeat([]byte{0x17}, 40)} },
		"cut":           func(r []byte) [][]byte { return [][]byte{r[:len(r)-1]} },
		"nothing":       func([]byte) [][]byte { return nil },
		"wrong slot":    func(r []byte) [][]byte { r[5] = 1; return [][]byte{r} },
		"wrong number":  func(r []byte) [][]byte { r[6] ^= 0x40; return [][]byte{r} },
		"wrong message": func(r []byte) [][]byte { r[0] = 0x84; return [][]byte{r} },
		"endless":       func(r []byte) [][]byte { r[9] = 1; return [][]byte{r} },
		"parity":        func(r []byte) [][]byte { return failed(r, 0xFD) },
		"hardware":      func(r []byte) [][]byte { return failed(r, 0xFB) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, device.CCIDOptions{})
			r := started(t, b.reader(t))
			b.model.Tap(b.card)
			c, err := r.WaitCard(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			spoiled := false
			b.socket.Spoil(func(response []byte) [][]byte { // the next answer only
				if spoiled {
					return [][]byte{response}
				}
				spoiled = true
				return spoil(response)
			})
			if got, err := c.Transmit(t.Context(), append([]byte{0, 0xA4, 4, 0, 7}, aid...)); err == nil {
				t.Errorf("a wrong answer was taken: % x", got)
			}
			if err := c.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			if c, err = r.WaitCard(t.Context()); err != nil {
				t.Fatalf("next tap: %v", err)
			}
			if got, err := c.Transmit(t.Context(), append([]byte{0, 0xA4, 4, 0, 7}, aid...)); err != nil || len(got) < 2 {
				t.Errorf("next tap: % x, %v", got, err)
			}
		})
	}
}

func TestSilentReaderIsOffline(t *testing.T) {
	b := newBench(t, device.CCIDOptions{})
	r := started(t, b.reader(t))
	b.model.Silence(true)
	if _, err := r.WaitCard(t.Context()); !errors.Is(err, drivers.ErrOffline) {
		t.Errorf("got %v", err)
	}
	if h, err := r.CheckHealth(t.Context(), drivers.HealthInternal); err != nil || h.OK || h.Code != drivers.ErrOffline {
		t.Errorf("health %+v, %v", h, err)
	}
	b.model.Silence(false)
	b.model.Tap(b.card)
	if _, err := r.WaitCard(t.Context()); err != nil {
		t.Errorf("after it woke: %v", err)
	}
}

// A thousand readers come, take a tap and are pulled out: nothing stays behind (the bubble
// fails on a goroutine that is left), and the driver finds each new one.
func TestThousandPlugs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := device.NewCCID(device.CCIDOptions{})
		defer model.Close()
		card := device.NewEchoCard(aid, device.CardOptions{})
		socket := model.Socket()
		p := profile(t)
		r := started(t, nfc.New(p, ccid.Dial(p, func(ctx context.Context) (transport.Conn, error) { return socket.Dial(ctx) }), nfc.Options{}))
		for n := range 1000 {
			model.Tap(card)
			c, err := r.WaitCard(t.Context())
			if err != nil {
				t.Fatalf("plug %d: %v", n, err)
			}
			socket.Pull()
			_, err = c.Transmit(t.Context(), append([]byte{0, 0xA4, 4, 0, 7}, aid...))
			if !errors.Is(err, drivers.ErrNoHardware) {
				t.Fatalf("plug %d: pulled: %v", n, err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := r.WaitCard(t.Context()); !errors.Is(err, drivers.ErrNoHardware) {
				t.Fatalf("plug %d: absent: %v", n, err)
			}
			model.Take(nil)
			socket = model.Socket()
		}
		if n := r.Statistics()[drivers.OnlineTransitionCount]; n != 999 {
			t.Errorf("came back %d times", n)
		}
	})
}

func TestResetNeedsAPortThatKnowsIt(t *testing.T) {
	b := newBench(t, device.CCIDOptions{})
	p := profile(t)
	resets := 0
	known := started(t, nfc.New(p, ccid.Dial(p, b.socket.Dial), nfc.Options{Reset: func(context.Context) error { resets++; return nil }}))
	if err := known.Reset(t.Context()); err != nil || resets != 1 {
		t.Errorf("%d resets, %v", resets, err)
	}
	if _, err := known.WaitCard(t.Context()); !errors.Is(err, drivers.ErrNotClaimed) {
		t.Errorf("after a reset: %v", err)
	}
	unknown := nfc.New(p, ccid.Dial(p, b.socket.Dial), nfc.Options{Reset: func(ctx context.Context) error { return transport.Reset(ctx, b.socket.Dial) }})
	if err := unknown.Reset(t.Context()); !errors.Is(err, drivers.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	started(t, unknown)
	if err := unknown.Reset(t.Context()); !errors.Is(err, drivers.ErrIllegal) {
		t.Errorf("a port without reset: %v", err)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	bench := newBench(b, device.CCIDOptions{})
	r := started(b, bench.reader(b))
	bench.model.Tap(bench.card)
	c, err := r.WaitCard(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Transmit(b.Context(), append([]byte{0, 0xA4, 4, 0, 7}, aid...)); err != nil {
		b.Fatal(err)
	}
	command := append([]byte{0, 0xE0, 0, 0, 200}, make([]byte, 201)...)
	for b.Loop() {
		if _, err := c.Transmit(b.Context(), command); err != nil {
			b.Fatal(err)
		}
	}
}
