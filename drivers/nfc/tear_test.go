package nfc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/nfc"
	"dcpos/drivers/nfc/ccid"
	"dcpos/drivers/nfc/pn532"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

var aid = []byte("\xA0\x00\x00\x03\x33\x01\x01")

// purse is an applet with a dialogue: select, challenge, present. It remembers what it
// accepted, so that a test sees what the card did although the tap was torn.
type purse struct {
	mu       sync.Mutex
	accepted [][]byte
}

func (p *purse) Process(c []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch c[1] {
	case 0xA4:
		return nil
	case 0x84:
		return append(bytes.Repeat([]byte{0xC4}, 8), 0x90, 0x00)
	case 0x2A:
		p.accepted = append(p.accepted, bytes.Clone(c[5:5+int(c[4])]))
		return append(bytes.Repeat([]byte{0x51}, 64), 0x90, 0x00)
	}
	return []byte{0x6D, 0x00}
}

func (p *purse) payments() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.accepted)
}

// pay is a whole dialogue; answered says whether the card's last answer was heard.
func pay(ctx context.Context, r *nfc.Reader) (answered bool, err error) {
	c, err := r.WaitCard(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	app, err := nfc.SelectApplication(ctx, c, []nfc.Candidate{{AID: aid}})
	if err != nil {
		return false, err
	}
	if !bytes.Equal(app.AID, aid) {
		return false, errors.New("a wrong application")
	}
	challenge, err := c.Transmit(ctx, []byte{0x00, 0x84, 0x00, 0x00, 0x08})
	if err != nil {
		return false, err
	}
	if !bytes.Equal(challenge, append(bytes.Repeat([]byte{0xC4}, 8), 0x90, 0x00)) {
		return false, errors.New("a wrong challenge")
	}
	signed, err := c.Transmit(ctx, append(append([]byte{0x00, 0x2A, 0x9E, 0x9A, 0x20}, make([]byte, 32)...), 0x00))
	if err != nil {
		return false, err
	}
	if !bytes.Equal(signed, append(bytes.Repeat([]byte{0x51}, 64), 0x90, 0x00)) {
		return false, errors.New("a wrong signature")
	}
	return true, nil
}

// reader is a modelled reader of one kind, its field, and how to cut it off for a moment.
type reader struct {
	field *device.Field
	dial  func(p profiles.NFC) nfc.Dial
	lines *lines
}

func profile() profiles.NFC {
	return profiles.NFC{Name: "torn", Timing: profiles.NFCTiming{AnswerMS: 300, CardMS: 1000, PollMS: 50}}
}

func readers(t *testing.T) map[string]reader {
	t.Helper()
	cc := device.NewCCID(device.CCIDOptions{})
	t.Cleanup(cc.Close)
	chip := device.NewPN532(device.PN532Options{})
	l := &lines{model: chip, cut: -1}
	return map[string]reader{
		"ccid":  {&cc.Field, func(p profiles.NFC) nfc.Dial { return ccid.Dial(p, cc.Socket().Dial) }, nil},
		"pn532": {&chip.Field, func(p profiles.NFC) nfc.Dial { return pn532.Dial(p, l.dial) }, l},
	}
}

func started(t *testing.T, d nfc.Dial) *nfc.Reader {
	t.Helper()
	r := nfc.New(profile(), d, nfc.Options{Sys: sys()})
	for _, step := range []func(context.Context) error{r.Open, r.Claim, r.Enable} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// The card leaves before every byte over the air of a whole payment: the till never hears
// a wrong answer and never hangs, the card acts at most once, and the next tap works.
func TestTornAtEveryByte(t *testing.T) {
	for name := range readers(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bench := readers(t)[name]
				r := started(t, bench.dial(profile()))
				defer bench.end()
				defer func() {
					if err := r.Close(); err != nil {
						t.Error(err)
					}
				}()
				applet := &purse{}
				card := device.NewCard(device.CardOptions{Applications: []device.Application{{AID: aid, Label: "PURSE", Priority: 1, Applet: applet}}})
				paid, torn := false, 0
				for n := 0; !paid; n++ {
					if n > 1000 {
						t.Fatal("the dialogue does not end")
					}
					before := applet.payments()
					card.TearAfterBytes(n)
					bench.field.TapTorn(card)
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					answered, err := pay(ctx, r)
					cancel()
					acted := applet.payments() - before
					switch {
					case answered && err == nil && acted == 1:
						paid = true
					case errors.Is(err, drivers.ErrTorn) && acted <= 1:
						torn++
					default:
						t.Fatalf("cut at byte %d: answered %v, the card acted %d times, %v", n, answered, acted, err)
					}
					bench.field.Take(nil)
					synctest.Wait() // the reader has noticed
					bench.field.Tap(card)
					if answered, err := pay(t.Context(), r); !answered || err != nil {
						t.Fatalf("the tap after byte %d: %v", n, err)
					}
					bench.field.Take(nil)
					synctest.Wait() // the reader has noticed
				}
				t.Logf("%d torn taps", torn)
				if torn < 150 {
					t.Errorf("only %d torn taps: the dialogue is longer", torn)
				}
			})
		})
	}
}

func (b reader) end() {
	if b.lines != nil {
		b.lines.end()
	}
}

// lines serves a chip on lines in memory, each of which may break after some bytes.
type lines struct {
	model *device.PN532

	mu   sync.Mutex
	cut  int // the next line breaks after so many bytes from the chip; negative: never
	last *breaking
	ends []io.Closer
	done sync.WaitGroup
}

func (l *lines) dial(context.Context) (transport.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	host, end := device.Pipe()
	line := &breaking{ReadWriteCloser: end, left: l.cut}
	l.cut = -1
	if l.last == nil || line.left >= 0 {
		l.last = line
	}
	l.ends = append(l.ends, end)
	l.done.Go(func() { _ = l.model.Serve(context.Background(), line) }) // ends with the line
	return transport.NewStream("memory:pn532", host), nil
}

func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.ends {
		_ = e.Close() // it may be closed already
	}
	l.done.Wait()
}

// breaking is a line that is pulled out after some bytes to the host.
type breaking struct {
	io.ReadWriteCloser
	left  int
	broke atomic.Bool
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left < 0 {
		return b.ReadWriteCloser.Write(p)
	}
	if len(p) <= b.left {
		b.left -= len(p)
		return b.ReadWriteCloser.Write(p)
	}
	b.broke.Store(true)
	n, _ := b.ReadWriteCloser.Write(p[:b.left])
	return n, errors.Join(io.ErrClosedPipe, b.Close())
}

// The reader's own line breaks after every byte that the chip sends: gone or torn, never a
// wrong answer, never a hang; the reader opens the line anew and the next tap works.
func TestLineBreaksAtEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := device.NewPN532(device.PN532Options{})
		l := &lines{model: chip, cut: -1}
		applet := &purse{}
		card := device.NewCard(device.CardOptions{Applications: []device.Application{{AID: aid, Label: "PURSE", Priority: 1, Applet: applet}}})
		n := 0
		for whole := false; !whole; n++ {
			if n > 2000 {
				t.Fatal("the dialogue does not end")
			}
			l.mu.Lock()
			l.cut = n
			l.mu.Unlock()
			r := nfc.New(profile(), pn532.Dial(profile(), l.dial), nfc.Options{Sys: sys()})
			if err := errors.Join(r.Open(t.Context()), r.Claim(t.Context())); err != nil {
				t.Fatal(err)
			}
			chip.Tap(card)
			before := applet.payments()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			err := r.Enable(ctx)
			answered := false
			if err == nil {
				answered, err = pay(ctx, r)
			}
			cancel()
			acted := applet.payments() - before
			switch {
			case answered && err == nil && acted == 1:
				l.mu.Lock()
				whole = !l.last.broke.Load() // else WaitCard opened the line anew
				l.mu.Unlock()
			case !answered && (errors.Is(err, drivers.ErrNoHardware) || errors.Is(err, drivers.ErrTorn)) && acted <= 1:
			default:
				t.Fatalf("broken after %d bytes: answered %v, the card acted %d times, %v", n, answered, acted, err)
			}
			if err := errors.Join(r.Release(t.Context()), r.Claim(t.Context()), r.Enable(t.Context())); err != nil {
				t.Fatalf("broken after %d bytes, opened anew: %v", n, err)
			}
			if answered, err := pay(t.Context(), r); !answered || err != nil {
				t.Fatalf("the tap after byte %d: %v", n, err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("broken after each of %d bytes", n-1)
		l.end()
	})
}
