package nfc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"dcpos/drivers"
	"dcpos/drivers/nfc"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

func sys(modules ...string) fstest.MapFS {
	f := fstest.MapFS{"module/usbcore/refcnt": &fstest.MapFile{}}
	for _, m := range modules {
		f["module/"+m+"/refcnt"] = &fstest.MapFile{}
	}
	return f
}

func TestKernelHolds(t *testing.T) {
	for _, modules := range [][]string{nil, {"nfc"}} {
		if err := nfc.KernelHolds(sys(modules...)); err != nil {
			t.Errorf("%v: %v", modules, err)
		}
	}
	err := nfc.KernelHolds(sys("nfc", "pn533", "pn533_usb"))
	advice, ok := errors.AsType[*drivers.Advice](err)
	if !ok || !errors.Is(err, nfc.ErrKernelHolds) {
		t.Fatalf("got %v", err)
	}
	for _, hint := range []string{advice.Hint.ZH, advice.Hint.EN} {
		if !strings.Contains(hint, "rmmod pn533_usb pn533 nfc") || !strings.Contains(hint, "blacklist pn533_usb\n") || !strings.Contains(hint, "/etc/modprobe.d/") {
			t.Errorf("hint %q", hint)
		}
	}
}

// A claim that fails names the kernel's driver as the reason, with what to do.
func TestClaimNamesTheKernel(t *testing.T) {
	p := profiles.NFC{Name: "x", Timing: profiles.NFCTiming{AnswerMS: 100}}
	for _, why := range []error{transport.ErrNotFound, transport.ErrInUse} {
		r := nfc.New(p, func(context.Context) (nfc.Port, error) { return nil, why }, nfc.Options{Sys: sys("pn533_usb")})
		if err := r.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := r.Claim(t.Context())
		e, ok := errors.AsType[*pos.Error](err)
		if !ok || !strings.Contains(e.Hint.EN, "rmmod pn533_usb") || !errors.Is(err, why) {
			t.Errorf("%v: got %v", why, err)
		}
		free := nfc.New(p, func(context.Context) (nfc.Port, error) { return nil, why }, nfc.Options{Sys: sys()})
		if err := free.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := free.Claim(t.Context()); errors.Is(err, nfc.ErrKernelHolds) || !errors.Is(err, why) {
			t.Errorf("free: %v", err)
		}
	}
}
