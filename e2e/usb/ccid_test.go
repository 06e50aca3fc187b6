package usb_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/drivers/drivertest"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
	"dcpos/lab/usbip"
)

// acr122u is of release 2.14: libccid takes 1.00 for a reader with broken firmware.
var acr122u = usbip.Identity{Vendor: 0x072f, Product: 0x2200, Release: 0x0214, Maker: "ACS", Model: "ACR122U PICC Interface"}

func plugReader(t *testing.T, o device.CCIDOptions) (drivers.NFCReader, *device.CCID, *usbip.Plugged) {
	t.Helper()
	model := device.NewCCID(o)
	t.Cleanup(model.Close)
	p := plug(t, usbip.CCID{Identity: acr122u, Model: model})
	find(t, p.Sys+"/*:1.0")
	return nfcReader(t), model, p
}

// nfcReader is the driver of whatever ACR122U is plugged in.
func nfcReader(t *testing.T) drivers.NFCReader {
	t.Helper()
	profile, err := profiles.FindNFC("acr122u-ccid")
	if err != nil {
		t.Fatal(err)
	}
	r := all.Readers()[profile.Driver](profile, drivers.TransportConfig{Kind: drivers.TransportUSB}, "reader")
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

func testCCID(t *testing.T) {
	t.Run("suite", func(t *testing.T) {
		drivertest.RunNFCReader(t, func(t *testing.T) (drivers.NFCReader, drivertest.Taps) {
			t.Helper()
			r, model, p := plugReader(t, device.CCIDOptions{})
			find(t, "/dev/bus/usb/"+busNode(t, p.Sys))
			card := device.NewEchoCard([]byte(drivertest.TapAID), device.CardOptions{})
			return r, drivertest.Taps{
				Tap: func() { model.Tap(card) }, Take: func() { model.Take(nil) }, Lights: true,
				Unplug: func() {
					if err := p.Unplug(); err != nil {
						t.Error(err)
					}
				},
			}
		})
	})
	t.Run("a tap, a reset of the port, a tap", tapAndReset)
	t.Run("unplugged in the middle of a tap", unplugMidTap)
}

func tapAndReset(t *testing.T) {
	r, model, _ := plugReader(t, device.CCIDOptions{})
	enable(t, r)
	tapOnce(t, r, model)
	if err := r.(drivers.Resetter).Reset(within(t, patience)); err != nil { //nolint:forcetypeassert // the driver of CCID readers resets
		t.Fatal(err)
	}
	if _, err := r.WaitCard(within(t, patience)); err == nil {
		t.Error("a reader that was reset is open")
	}
	again := nfcReader(t)
	eventually(t, "the reader can be opened again", func() error {
		return errors.Join(again.Open(t.Context()), again.Claim(within(t, patience)))
	})
	enable(t, again)
	tapOnce(t, again, model)
}

// tapOnce holds a card to the reader from its coming to its going.
func tapOnce(t *testing.T, r drivers.NFCReader, model *device.CCID) {
	t.Helper()
	aid := []byte(drivertest.TapAID)
	model.Tap(device.NewEchoCard(aid, device.CardOptions{}))
	card, err := r.WaitCard(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("thirty bytes in many transfers"), 8) // 240 bytes
	for _, talk := range []struct{ command, want []byte }{
		{append([]byte{0, 0xa4, 4, 0, byte(len(aid))}, aid...), nil},
		{append(append([]byte{0, drivertest.EchoINS, 0, 0, byte(len(long))}, long...), 0), long},
	} {
		answer, err := card.Transmit(within(t, patience), talk.command)
		data, ok := bytes.CutSuffix(answer, []byte{0x90, 0})
		if err != nil || !ok || talk.want != nil && !bytes.Equal(data, talk.want) {
			t.Fatalf("% .8x: got % x, %v", talk.command, answer, err)
		}
	}
	model.Take(nil)
	if err := errors.Join(card.WaitRemoved(within(t, patience)), card.Close()); err != nil {
		t.Error(err)
	}
}

// slowCard holds an answer back until it is let go.
func slowCard(aid []byte) (card *device.Card, asked, letGo chan struct{}) {
	asked, letGo = make(chan struct{}, 10), make(chan struct{})
	applet := device.AppletFunc(func(command []byte) []byte {
		if bytes.Equal(command[:2], []byte{0x80, 0x10}) {
			asked <- struct{}{}
			<-letGo
		}
		return []byte{0x90, 0x00}
	})
	return device.NewCard(device.CardOptions{Applications: []device.Application{{AID: aid, Label: "SLOW", Priority: 1, Applet: applet}}}), asked, letGo
}

func unplugMidTap(t *testing.T) {
	r, model, p := plugReader(t, device.CCIDOptions{})
	enable(t, r)
	aid := []byte(drivertest.TapAID)
	slow, asked, letGo := slowCard(aid)
	model.Tap(slow)
	card, err := r.WaitCard(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := card.Transmit(within(t, patience), append([]byte{0, 0xa4, 4, 0, byte(len(aid))}, aid...)); err != nil || !bytes.HasSuffix(answer, []byte{0x90, 0}) {
		t.Fatalf("select: % x, %v", answer, err)
	}
	talked := make(chan error, 1)
	go func() {
		_, err := card.Transmit(within(t, patience), []byte{0x80, 0x10, 0, 0, 0})
		talked <- err
	}()
	<-asked
	time.Sleep(200 * time.Millisecond) // the reader asks for more time
	began := time.Now()
	close(letGo) // the model ends with its card
	if err := p.Unplug(); err != nil {
		t.Error(err)
	}
	if err := <-talked; err != nil && !errors.Is(err, drivers.ErrNoHardware) && !errors.Is(err, drivers.ErrTorn) {
		t.Errorf("got %v, want ErrNoHardware or ErrTorn", err)
	} else {
		t.Logf("told %v after the unplug: %v", time.Since(began).Round(time.Millisecond), err)
	}
	if err := card.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := r.WaitCard(within(t, patience)); !errors.Is(err, drivers.ErrNoHardware) {
		t.Errorf("wait without a reader: got %v", err)
	}
	again := device.NewCCID(device.CCIDOptions{})
	t.Cleanup(again.Close)
	back := plug(t, usbip.CCID{Identity: acr122u, Model: again})
	find(t, back.Sys+"/*:1.0")
	again.Tap(device.NewEchoCard(aid, device.CardOptions{}))
	eventually(t, "the reader serves again after it was plugged in again", func() error {
		c, err := r.WaitCard(within(t, patience))
		if err == nil {
			err = c.Close()
		}
		return err
	})
}
