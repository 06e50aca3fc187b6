package pn532_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/nfc"
	"dcpos/drivers/nfc/pn532"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/serial"
	"dcpos/drivers/transporttest"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

var aid = []byte(drivertest.TapAID)

func profile(tb testing.TB) profiles.NFC {
	tb.Helper()
	p, err := profiles.FindNFC("pn532-uart")
	if err != nil {
		tb.Fatal(err)
	}
	p.Timing = profiles.NFCTiming{AnswerMS: 100, CardMS: 500, PollMS: 50}
	return p
}

func onPTY(tb testing.TB, model *device.PN532) (transport.Dial, *device.Bench) {
	tb.Helper()
	bench, err := device.Start(context.Background(), model)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = bench.Unplug() }) // it may be unplugged already
	return func(ctx context.Context) (transport.Conn, error) {
		return serial.Open(ctx, bench.Path, serial.Line{Baud: 115200})
	}, bench
}

// inMemory serves the model on a line in memory; pull takes it away for good.
func inMemory(tb testing.TB, model *device.PN532) (dial transport.Dial, pull func()) {
	tb.Helper()
	gone := make(chan struct{})
	var mu sync.Mutex
	var ends []io.Closer
	dial = func(context.Context) (transport.Conn, error) {
		select {
		case <-gone:
			return nil, transport.ErrNotFound
		default:
		}
		host, end := device.Pipe()
		mu.Lock()
		ends = append(ends, end)
		mu.Unlock()
		go func() { _ = model.Serve(context.Background(), end) }() // ends with the line
		return transport.NewStream("memory:pn532", host), nil
	}
	pull = sync.OnceFunc(func() {
		close(gone)
		mu.Lock()
		defer mu.Unlock()
		for _, e := range ends {
			_ = e.Close() // it may be closed already
		}
	})
	tb.Cleanup(pull)
	return dial, pull
}

func TestSuite(t *testing.T) {
	suite(t, inMemory)
}

func TestSuiteOnPTY(t *testing.T) {
	suite(t, func(tb testing.TB, model *device.PN532) (transport.Dial, func()) {
		tb.Helper()
		dial, bench := onPTY(tb, model)
		return dial, func() { _ = bench.Unplug() }
	})
}

func suite(t *testing.T, on func(testing.TB, *device.PN532) (dial transport.Dial, pull func())) {
	t.Helper()
	drivertest.RunNFCReader(t, func(t *testing.T) (drivers.NFCReader, drivertest.Taps) {
		t.Helper()
		model := device.NewPN532(device.PN532Options{Asleep: true})
		card, second := device.NewEchoCard(aid, device.CardOptions{}), device.NewEchoCard(aid, device.CardOptions{UID: []byte{1, 2, 3, 4}})
		dial, pull := on(t, model)
		p := profile(t)
		p.Timing.AnswerMS, p.Timing.CardMS = 10_000, 10_000 // nobody is silent here but a machine that is short of time
		return nfc.New(p, pn532.Dial(p, dial), nfc.Options{}), drivertest.Taps{
			Tap: func() { model.Tap(card) }, Take: func() { model.Take(nil) },
			Two:    func() { model.Tap(card); model.Tap(second) },
			Unplug: pull,
		}
	})
}

func started(tb testing.TB, p profiles.NFC, dial transport.Dial) *nfc.Reader {
	tb.Helper()
	r := nfc.New(p, pn532.Dial(p, dial), nfc.Options{})
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

// What goes over the line from hello to the end of a tap, byte by byte.
func TestTheWholeTapOnTheLine(t *testing.T) {
	wake := append([]byte{0x55, 0x55}, make([]byte, 14)...)
	ack := []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00}
	hx := func(b ...byte) []byte { return b }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	version := hx(0x00, 0x00, 0xFF, 0x06, 0xFA, 0xD5, 0x03, 0x32, 0x01, 0x06, 0x07, 0xE8, 0x00)
	ops := []transporttest.IO{
		{W: join(wake, hx(0x00, 0x00, 0xFF, 0x03, 0xFD, 0xD4, 0x14, 0x01, 0x17, 0x00)), R: join(ack, hx(0x00, 0x00, 0xFF, 0x02, 0xFE, 0xD5, 0x15, 0x16, 0x00))},
		{W: join(ack, wake, hx(0x00, 0x00, 0xFF, 0x02, 0xFE, 0xD4, 0x02, 0x2A, 0x00)), R: join(ack, version)},
		{W: join(wake, hx(0x00, 0x00, 0xFF, 0x02, 0xFE, 0xD4, 0x02, 0x2A, 0x00)), R: join(ack, version)},
		{
			W: join(wake, hx(0x00, 0x00, 0xFF, 0x06, 0xFA, 0xD4, 0x32, 0x05, 0xFF, 0x01, 0xFF, 0xF6, 0x00)),
			R: join(ack, hx(0x00, 0x00, 0xFF, 0x02, 0xFE, 0xD5, 0x33, 0xF8, 0x00)),
		},
		{ // RFConfiguration: the field off
			W: join(wake, hx(0x00, 0x00, 0xFF, 0x04, 0xFC, 0xD4, 0x32, 0x01, 0x00, 0xF9, 0x00)),
			R: join(ack, hx(0x00, 0x00, 0xFF, 0x02, 0xFE, 0xD5, 0x33, 0xF8, 0x00)),
		},
		{ // InListPassiveTarget: up to two, 106 kbit/s type A
			W: hx(0x00, 0x00, 0xFF, 0x04, 0xFC, 0xD4, 0x4A, 0x02, 0x00, 0xE0, 0x00),
			R: join(ack, hx(0x00, 0x00, 0xFF, 0x11, 0xEF, 0xD5, 0x4B, 0x01, 0x01, 0x00, 0x04, 0x20, 0x04, 0x11, 0x22, 0x33, 0x44, 0x05, 0x78, 0x80, 0x70, 0x02), hx(0x9D, 0x00)),
		},
		{ // InDataExchange: GET CHALLENGE
			W: hx(0x00, 0x00, 0xFF, 0x08, 0xF8, 0xD4, 0x40, 0x01, 0x00, 0x84, 0x00, 0x00, 0x08, 0x5F, 0x00),
			R: join(ack, hx(0x00, 0x00, 0xFF, 0x05, 0xFB, 0xD5, 0x41, 0x00, 0x90, 0x00, 0x5A, 0x00)),
		},
		{ // InRelease of all
			W: join(wake, hx(0x00, 0x00, 0xFF, 0x03, 0xFD, 0xD4, 0x52, 0x00, 0xDA, 0x00)),
			R: join(ack, hx(0x00, 0x00, 0xFF, 0x03, 0xFD, 0xD5, 0x53, 0x00, 0xD8, 0x00)),
		},
	}
	play := &transporttest.Playback{Ops: ops}
	r := started(t, profile(t), play.Dial)
	if i := r.Info(); i.Maker != "NXP" || i.Model != "PN532" || i.Firmware != "1.6" {
		t.Errorf("info %+v", i)
	}
	c, err := r.WaitCard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.Info().UID, []byte{0x11, 0x22, 0x33, 0x44}) || !bytes.Equal(c.Info().ATS, []byte{5, 0x78, 0x80, 0x70, 2}) {
		t.Errorf("card %x", c.Info())
	}
	if got, err := c.Transmit(t.Context(), []byte{0, 0x84, 0, 0, 8}); err != nil || !bytes.Equal(got, []byte{0x90, 0}) {
		t.Errorf("got % x, %v", got, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// Trouble on the line: what may be repeated is, what may not is not, and no answer is wrong.
func TestTroubleOnTheLine(t *testing.T) {
	for _, tc := range []struct {
		name    string
		trouble func(*device.PN532)
		torn    bool // the command that meets the trouble
		asked   int  // how often the card acts on it
	}{
		{"none", func(*device.PN532) {}, false, 1},
		{"noise before the answer", func(p *device.PN532) { p.Chatter([]byte{0x00, 0xFF, 0x13, 0x55, 0x00}) }, false, 1},
		{"one damaged answer", func(p *device.PN532) { p.Spoil(1) }, false, 1},
		{"lost acknowledgement", func(p *device.PN532) { p.LoseACK(1) }, false, 1},
		{"lost command", func(p *device.PN532) { p.Swallow(1) }, true, 0},
		{"dead chip", func(p *device.PN532) { p.Silence(true) }, true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				model := device.NewPN532(device.PN532Options{})
				card := device.NewEchoCard(aid, device.CardOptions{})
				dial, pull := inMemory(t, model)
				r := started(t, profile(t), dial)
				model.Tap(card)
				c, err := r.WaitCard(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Transmit(t.Context(), append([]byte{0, 0xA4, 4, 0, 7}, aid...)); err != nil {
					t.Fatal(err)
				}
				before := card.APDUs()
				tc.trouble(model)
				got, err := c.Transmit(t.Context(), []byte{0, 0xE0, 0, 0, 2, 0xCA, 0xFE, 0})
				if tc.torn != errors.Is(err, drivers.ErrTorn) || !tc.torn && !bytes.Equal(got, []byte{0xCA, 0xFE, 0x90, 0}) {
					t.Errorf("got % x, %v", got, err)
				}
				if n := card.APDUs() - before; n != tc.asked {
					t.Errorf("the card acted %d times, want %d", n, tc.asked)
				}
				model.Silence(false)
				_ = c.Close() // a dead chip answers nothing
				if c, err = r.WaitCard(t.Context()); err != nil {
					t.Fatalf("next tap: %v", err)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				pull()
			})
		})
	}
}

// Commands about the chip are repeated.
func TestHelloIsStubborn(t *testing.T) {
	for name, trouble := range map[string]func(*device.PN532){
		"two lost commands":        func(p *device.PN532) { p.Swallow(2) },
		"lost acknowledgements":    func(p *device.PN532) { p.LoseACK(3) },
		"damaged answers":          func(p *device.PN532) { p.Spoil(3) },
		"noise that looks like it": func(p *device.PN532) { p.Chatter([]byte{0, 0, 0xFF, 0x06, 0xFA, 0xD5, 0, 0xFF}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				model := device.NewPN532(device.PN532Options{Asleep: true})
				trouble(model)
				dial, pull := inMemory(t, model)
				r := started(t, profile(t), dial)
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				pull()
			})
		})
	}
}

// A module that loses power behind a serial line that stays is noticed while waiting.
func TestDeadChipIsNoticedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := device.NewPN532(device.PN532Options{})
		dial, pull := inMemory(t, model)
		r := started(t, profile(t), dial)
		begin := time.Now()
		time.AfterFunc(time.Minute, func() { model.Silence(true) })
		_, err := r.WaitCard(t.Context())
		if took := time.Since(begin); !errors.Is(err, drivers.ErrOffline) || took < time.Minute || took > 75*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		pull()
	})
}

func TestAbsentChipIsOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := device.NewPN532(device.PN532Options{})
		model.Silence(true)
		dial, pull := inMemory(t, model)
		p := profile(t)
		r := nfc.New(p, pn532.Dial(p, dial), nfc.Options{})
		if err := errors.Join(r.Open(t.Context()), r.Claim(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := r.Enable(t.Context()); !errors.Is(err, drivers.ErrOffline) {
			t.Errorf("got %v", err)
		}
		if err := r.Reset(t.Context()); !errors.Is(err, drivers.ErrIllegal) {
			t.Errorf("reset on a serial line: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		pull()
	})
}

func BenchmarkRoundTripOnPTY(b *testing.B) {
	model := device.NewPN532(device.PN532Options{})
	dial, _ := onPTY(b, model)
	r := started(b, profile(b), dial)
	model.Tap(device.NewEchoCard(aid, device.CardOptions{}))
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
