package drivertest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/pos"
)

// Taps is what happens at a reader under test. The card that Tap puts into the field
// answers SELECT of TapAID with success and echoes the data of every command with INS
// EchoINS, as much of it as the command wants back.
type Taps struct {
	Tap, Take func()
	// Two puts two cards into the field; nil when the reader cannot tell two from one.
	Two func()
	// Unplug takes the reader away for good.
	Unplug func()
	// Lights: the reader has light or sound.
	Lights bool
}

// TapAID is the application on the suite's card, and EchoINS its one command.
const (
	TapAID  = "\xA0\x00\x00\x03\x33\x01\x01"
	EchoINS = 0xE0
)

// RunNFCReader checks a driver of contactless readers; build returns a closed one with
// nothing in its field.
func RunNFCReader(t *testing.T, build func(t *testing.T) (drivers.NFCReader, Taps)) {
	t.Helper()
	runDevice(t, func(t *testing.T) drivers.Device {
		t.Helper()
		r, _ := build(t)
		return r
	}, nil)
	tap := func(name string, check func(t *testing.T, r drivers.NFCReader, f Taps)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			r, f := build(t)
			start(t, r)
			check(t, r, f)
			must(t, r.Close())
		})
	}
	tap("a tap is taken, talked to and ends", wholeTap)
	tap("a card that lies there already counts", lyingCard)
	tap("long commands and answers are whole", longAPDUs)
	tap("a wait that was given up disturbs nothing", givenUpWait)
	tap("one card at a time", oneCard)
	tap("what is no command is refused and the card serves on", noCommand)
	tap("a card taken away is torn for good, and the next tap works", takenAway)
	tap("a context that ended sends nothing", endedContext)
	tap("two cards are refused where the reader can tell", twoCards)
	tap("signals go while a card is waited for", signals)
	tap("release and close interrupt a wait", interrupted)
	tap("a reader that is unplugged says so", unplugged)
}

func wantCode(t *testing.T, what string, err error, code drivers.ErrorCode) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("%s: got %v, want %v", what, err, code)
	}
	if e, ok := errors.AsType[*pos.Error](err); !ok || e.Text.IsZero() || e.Hint.IsZero() {
		t.Errorf("%s: %v does not tell a person what to do", what, err)
	}
}

func card(t *testing.T, r drivers.NFCReader) drivers.Card {
	t.Helper()
	c, err := r.WaitCard(within(t))
	if err != nil {
		t.Fatalf("wait for a card: %v", err)
	}
	return c
}

// selectApp is SELECT of the suite's application.
func selectApp() []byte {
	return append(append([]byte{0x00, 0xA4, 0x04, 0x00, byte(len(TapAID))}, TapAID...), 0x00)
}

func echo(t *testing.T, c drivers.Card, data []byte) {
	t.Helper()
	command := []byte{0x00, EchoINS, 0x00, 0x00}
	if len(data) <= 255 {
		command = append(append(append(command, byte(len(data))), data...), 0x00)
	} else {
		command = append(append(append(command, 0x00, byte(len(data)>>8), byte(len(data))), data...), 0x00, 0x00)
	}
	got, err := c.Transmit(within(t), command)
	if err != nil || !bytes.Equal(got, append(bytes.Clone(data), 0x90, 0x00)) {
		t.Fatalf("echo of %d bytes: got %d bytes % .16x, %v", len(data), len(got), got, err)
	}
}

func talk(t *testing.T, c drivers.Card) {
	t.Helper()
	got, err := c.Transmit(within(t), selectApp())
	if err != nil || !bytes.HasSuffix(got, []byte{0x90, 0x00}) {
		t.Fatalf("select: got % x, %v", got, err)
	}
	echo(t, c, []byte("hello"))
}

func wholeTap(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	waiting := make(chan drivers.Card, 1)
	go func() {
		c, err := r.WaitCard(within(t))
		if err != nil {
			t.Errorf("wait: %v", err)
		}
		waiting <- c
	}()
	time.Sleep(20 * time.Millisecond) // let it wait
	f.Tap()
	c := <-waiting
	if c == nil {
		return
	}
	if n := len(c.Info().UID); n != 4 && n != 7 && n != 10 {
		t.Errorf("uid % x", c.Info().UID)
	}
	talk(t, c)
	gone := make(chan error, 1)
	go func() { gone <- c.WaitRemoved(within(t)) }()
	time.Sleep(20 * time.Millisecond) // let it wait
	f.Take()
	if err := <-gone; err != nil {
		t.Errorf("wait for the end: %v", err)
	}
	_, err := c.Transmit(within(t), selectApp())
	wantCode(t, "after the end", err, drivers.ErrTorn)
	for range 2 {
		must(t, c.Close())
	}
	if n := r.Statistics()[drivers.TagReadCount]; n != 1 {
		t.Errorf("%d taps counted", n)
	}
}

func lyingCard(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	f.Tap()
	for range 2 {
		c := card(t, r)
		talk(t, c)
		must(t, c.Close())
	}
}

func longAPDUs(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	f.Tap()
	c := card(t, r)
	talk(t, c)
	for _, n := range []int{1, 240, 255, 256, 257, 300, 600, 1500} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i * 7)
		}
		echo(t, c, data)
	}
	must(t, c.Close())
}

func givenUpWait(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		_, err := r.WaitCard(ctx)
		cancel()
		wantCode(t, "given up", err, drivers.ErrTimeout)
	}
	f.Tap()
	c := card(t, r)
	talk(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantCode(t, "the card stays", c.WaitRemoved(ctx), drivers.ErrTimeout)
	talk(t, c)
	must(t, c.Close())
}

func oneCard(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	f.Tap()
	c := card(t, r)
	_, err := r.WaitCard(within(t))
	wantCode(t, "second wait", err, drivers.ErrBusy)
	talk(t, c)
	must(t, c.Close())
}

func noCommand(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	f.Tap()
	c := card(t, r)
	for _, bad := range [][]byte{nil, {0x00}, {0x00, 0xA4, 0x04}, {0x00, 0xA4, 0x04, 0x00, 0x09, 0x01}} {
		_, err := c.Transmit(within(t), bad)
		wantCode(t, "no command", err, drivers.ErrIllegal)
	}
	talk(t, c)
	must(t, c.Close())
}

func takenAway(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	for range 3 {
		f.Tap()
		c := card(t, r)
		talk(t, c)
		f.Take()
		_, err := c.Transmit(within(t), selectApp())
		wantCode(t, "taken away", err, drivers.ErrTorn)
		f.Tap()
		_, err = c.Transmit(within(t), selectApp())
		wantCode(t, "another card in its place", err, drivers.ErrTorn)
		must(t, c.Close())
		c = card(t, r)
		talk(t, c)
		must(t, c.Close())
		f.Take()
	}
	if n := r.Statistics()[drivers.FailedReadCount]; n != 3 {
		t.Errorf("%d torn taps counted", n)
	}
}

func endedContext(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	f.Tap()
	c := card(t, r)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Transmit(ended, selectApp())
	wantCode(t, "ended", err, drivers.ErrTimeout)
	talk(t, c)
	must(t, c.Close())
}

func twoCards(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	if f.Two == nil {
		return // it takes one of them, which is what the contract says
	}
	f.Two()
	_, err := r.WaitCard(within(t))
	wantCode(t, "two cards", err, drivers.ErrManyCards)
	f.Take()
	f.Tap()
	c := card(t, r)
	talk(t, c)
	must(t, c.Close())
}

func signals(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	ctx, stop := context.WithCancel(within(t))
	ended := make(chan struct{})
	go func() {
		_, _ = r.WaitCard(ctx) // nothing comes
		close(ended)
	}()
	time.Sleep(20 * time.Millisecond) // let it wait
	for _, s := range []drivers.Signal{
		drivers.SignalReady, drivers.SignalWorking, drivers.SignalDone, drivers.SignalRefused, drivers.SignalOff,
	} {
		err := r.Signal(within(t), s)
		if f.Lights && err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if !f.Lights {
			wantCode(t, string(s), err, drivers.ErrIllegal)
		}
	}
	wantCode(t, "no signal", r.Signal(within(t), "dance"), drivers.ErrIllegal)
	stop()
	<-ended
	f.Tap()
	c := card(t, r)
	talk(t, c)
	must(t, c.Close())
}

func interrupted(t *testing.T, r drivers.NFCReader, _ Taps) {
	t.Helper()
	for _, end := range []struct {
		name string
		do   func() error
		want drivers.ErrorCode
	}{
		{"release", func() error { return r.Release(within(t)) }, drivers.ErrNotClaimed},
		{"close", r.Close, drivers.ErrClosed},
	} {
		start(t, r)
		waited := make(chan error, 1)
		go func() {
			_, err := r.WaitCard(context.Background())
			waited <- err
		}()
		time.Sleep(20 * time.Millisecond) // let it wait
		must(t, end.do())
		select {
		case err := <-waited:
			wantCode(t, end.name, err, end.want)
		case <-time.After(patience):
			t.Fatalf("%s does not interrupt", end.name)
		}
	}
}

func unplugged(t *testing.T, r drivers.NFCReader, f Taps) {
	t.Helper()
	f.Tap()
	c := card(t, r)
	f.Unplug()
	_, err := c.Transmit(within(t), selectApp())
	if !errors.Is(err, drivers.ErrNoHardware) && !errors.Is(err, drivers.ErrTorn) {
		t.Errorf("talk: got %v", err)
	}
	must(t, c.Close())
	_, err = r.WaitCard(within(t))
	wantCode(t, "wait", err, drivers.ErrNoHardware)
	if h, err := r.CheckHealth(within(t), drivers.HealthInternal); err != nil || h.OK || h.Hint.IsZero() {
		t.Errorf("health %+v, %v", h, err)
	}
}
