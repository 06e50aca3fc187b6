package hidpos_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"dcpos/drivers/scanner/hidpos"
	"dcpos/drivers/transport/hid"
	"dcpos/lab/device"
)

func layout(tb testing.TB, descriptor []byte) hidpos.Layout {
	tb.Helper()
	d, err := hid.ParseDescriptor(descriptor)
	if err != nil {
		tb.Fatal(err)
	}
	return hidpos.LayoutOf(d)
}

// join gives the codes of reports, with "!" for one that is refused.
func join(l hidpos.Layout, reports ...[]byte) []string {
	j := hidpos.Joiner{Layout: l, MaxBytes: 4096}
	var out []string
	for _, r := range reports {
		code, whole, err := j.Take(r)
		switch {
		case err != nil:
			out = append(out, "!")
		case whole:
			out = append(out, code.AIM+" "+string(code.Data))
		}
	}
	return out
}

// lazy is the descriptor of a box that calls its report 63 bytes of something.
func lazy() []byte {
	return []byte{
		0x05, 0x8c, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x02, 0x15, 0x00, 0x26, 0xff, 0x00,
		0x75, 0x08, 0x95, 0x3f, 0x09, 0x12, 0x81, 0x02, 0xc0,
	}
}

func TestLayoutsOfTheStandard(t *testing.T) {
	if got := layout(t, device.NewHIDScanner(device.HIDScannerOptions{}).ReportDescriptor()); got != hidpos.Standard() {
		t.Errorf("standard: got %+v", got)
	}
	if got := layout(t, device.NewHIDScanner(device.HIDScannerOptions{Reserved: true}).ReportDescriptor()); got != hidpos.Reserved() {
		t.Errorf("reserved: got %+v", got)
	}
}

func TestGoldenReports(t *testing.T) {
	pad := func(b ...byte) []byte { return append(b, make([]byte, 64-len(b))...) }
	last := func(b []byte, at int, v byte) []byte { b[at] = v; return b }
	standard := layout(t, device.NewHIDScanner(device.HIDScannerOptions{}).ReportDescriptor())
	reserved := layout(t, device.NewHIDScanner(device.HIDScannerOptions{Reserved: true}).ReportDescriptor())
	for name, tc := range map[string]struct {
		layout hidpos.Layout
		report []byte
		want   string
	}{
		"standard":                     {standard, last(pad(2, 3, ']', 'E', '0', '1', '2', '3'), 61, 0x64), "]E0 123"},
		"standard, one later":          {standard, pad(2, 3, 0, ']', 'Q', '1', '1', '2', '3'), "]Q1 123"},
		"the length one later as well": {standard, pad(2, 0, 3, ']', 'Q', '1', '1', '2', '3'), "]Q1 123"},
		"no identifier":                {standard, pad(2, 3, 0, 0, 0, '1', '2', '3'), " 123"},
		"suffix":                       {standard, pad(2, 5, ']', 'E', '0', '1', '2', '3', '\r', '\n'), "]E0 123"},
		"padding counted in":           {standard, pad(2, 5, ']', 'E', '0', '1', '2', '3'), "]E0 123"},
		"reserved":                     {reserved, last(pad(2, 3, '1', '2', '3'), 62, 0x64), " 123"},
		"reserved, prefix in the data": {reserved, pad(2, 6, ']', 'E', '0', '1', '2', '3'), " ]E0123"},
		"looked at: standard":          {layout(t, lazy()), pad(2, 3, ']', 'E', '0', '1', '2', '3'), "]E0 123"},
		"looked at: one later":         {layout(t, lazy()), pad(2, 3, 0, ']', 'E', '0', '1', '2', '3'), "]E0 123"},
		"looked at: reserved":          {layout(t, lazy()), pad(2, 3, '1', '2', '3'), " 123"},
		"without its unused end":       {standard, []byte{2, 3, ']', 'E', '0', '1', '2', '3'}, "]E0 123"},
		"shorter than its length":      {standard, []byte{2, 30, ']', 'E', '0', '1', '2', '3'}, "!"},
		"length beyond the data":       {standard, pad(2, 57, ']', 'E', '0'), "!"},
		"id alone":                     {standard, []byte{2}, "!"},
		"another report":               {standard, pad(4, 3, ']', 'E', '0', '1', '2', '3'), ""},
		"nothing":                      {standard, nil, ""},
		"empty code":                   {standard, pad(2, 0, ']', 'E', '0'), ""},
	} {
		if got := strings.Join(join(tc.layout, tc.report), "|"); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func models() []device.HIDScannerOptions {
	return []device.HIDScannerOptions{
		{},
		{Suffix: "\r\n"},
		{Shifted: true},
		{NoSymbology: true, VendorSymbology: true},
		{Reserved: true},
		{Reserved: true, Suffix: "\r"},
	}
}

// Whatever a scanner of any layout sends is read as it was scanned, however long.
func TestCodesComeThrough(t *testing.T) {
	letters := []rune("0123456789ABCXYZabcxyz王府井 ")
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choices
		opt, aim := models()[dice.IntN(len(models()))], []string{"]E0", "]Q1", "]C1"}[dice.IntN(3)]
		runes := make([]rune, dice.IntN(151))
		for i := range runes {
			runes[i] = letters[dice.IntN(len(letters))]
		}
		code := string(runes) + "7"
		model := device.NewHIDScanner(opt)
		d, err := hid.ParseDescriptor(model.ReportDescriptor())
		if err != nil {
			t.Fatal(err)
		}
		want := aim + " " + code
		if opt.Reserved || opt.NoSymbology {
			want = " " + code
		}
		got := join(hidpos.LayoutOf(d), append(model.ScanReports(code, aim), model.ScanReports("next", aim)...)...)
		if len(got) != 2 || got[0] != want || !strings.HasSuffix(got[1], " next") {
			t.Fatalf("seed %d, %+v: got %q, want %q", seed, opt, got, want)
		}
	}
}

func TestTooLongAndThenInStepAgain(t *testing.T) {
	model := device.NewHIDScanner(device.HIDScannerOptions{})
	j := hidpos.Joiner{Layout: hidpos.Standard(), MaxBytes: 100}
	var errs, codes int
	for _, r := range append(model.ScanReports(strings.Repeat("9", 400), "]Q1"), model.ScanReports("123", "]E0")...) {
		code, whole, err := j.Take(r)
		if errors.Is(err, hidpos.ErrTooBig) {
			errs++
		}
		if whole {
			codes++
			if string(code.Data) != "123" || code.AIM != "]E0" {
				t.Errorf("got %q", code.Data)
			}
		}
	}
	if errs != 1 || codes != 1 {
		t.Errorf("%d errors, %d codes", errs, codes)
	}
}

func FuzzJoiner(f *testing.F) {
	model := device.NewHIDScanner(device.HIDScannerOptions{})
	f.Add(bytes.Join(model.ScanReports(strings.Repeat("0123456789", 13), "]Q1"), nil), byte(0))
	f.Add(bytes.Join(device.NewHIDScanner(device.HIDScannerOptions{Reserved: true}).ScanReports("6901028075862", ""), nil), byte(1))
	f.Add([]byte{2, 3, 0, ']', 'Q', '1', '1'}, byte(2))
	d, err := hid.ParseDescriptor(lazy())
	if err != nil {
		f.Fatal(err)
	}
	layouts := []hidpos.Layout{hidpos.Standard(), hidpos.Reserved(), hidpos.LayoutOf(d), hidpos.LayoutOf(hid.Descriptor{})}
	f.Fuzz(func(t *testing.T, in []byte, which byte) {
		if len(in) > 3*64 {
			return // three reports; more only take longer
		}
		j := hidpos.Joiner{Layout: layouts[int(which)%len(layouts)], MaxBytes: 128}
		given := 0
		for len(in) > 0 {
			n := min(64, len(in))
			code, whole, err := j.Take(in[:n])
			given += n
			in = in[n:]
			switch {
			case whole && (len(code.Data) == 0 || len(code.Data) > 130 || len(code.Data) > given):
				t.Fatalf("code of %d bytes", len(code.Data))
			case whole && j.Joining():
				t.Fatal("a whole code and half a code")
			case err != nil && (whole || !errors.Is(err, hidpos.ErrReport) && !errors.Is(err, hidpos.ErrTooBig)):
				t.Fatal(err)
			}
		}
		// A report that begins a code after the last one was dropped is read whole.
		j.Drop()
		r := device.NewHIDScanner(device.HIDScannerOptions{Reserved: j.Layout.AIM < 0}).ScanReports("123", "]E0")[0]
		if j.Layout.ID == 0 {
			r = r[1:]
		}
		if code, whole, err := j.Take(r); err != nil || !whole || string(code.Data) != "123" {
			t.Fatalf("after a drop: %q, %v, %v", code.Data, whole, err)
		}
	})
}
