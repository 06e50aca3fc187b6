package device_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/lab/device"
)

// shown writes bytes to a display as a host does and waits until it has taken them.
func shown(t *testing.T, d *device.LineDisplay, pieces ...string) {
	t.Helper()
	host, dev := device.Pipe()
	done := make(chan error, 1)
	go func() { done <- d.Serve(context.Background(), dev) }()
	for _, p := range pieces {
		if _, err := io.WriteString(host, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := host.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLineDisplayShowsWhatTheManualsSay(t *testing.T) {
	for _, tc := range []struct {
		name    string
		opt     device.LineDisplayOptions
		bytes   []string
		lines   []string
		label   string
		unknown int
	}{
		{"plain text wraps", device.LineDisplayOptions{}, []string{"\x1b@01234567890123456789abc"}, []string{"01234567890123456789", "abc"}, "", 0},
		{"and begins again at the top", device.LineDisplayOptions{}, []string{"01234567890123456789", "abcdefghijklmnopqrst", "X"}, []string{"X1234567890123456789", "abcdefghijklmnopqrst"}, "", 0},
		{"cursor", device.LineDisplayOptions{}, []string{"\x1f$\x03\x02ab\x1f$\x01\x01cd"}, []string{"cd", "  ab"}, "", 0},
		{"cursor outside", device.LineDisplayOptions{}, []string{"\x1f$\x15\x01a"}, []string{"a", ""}, "", 1},
		{"clear, cancel, home", device.LineDisplayOptions{}, []string{"abc\x0cdef\x18g\x0bh"}, []string{"h", ""}, "", 0},
		{"PC437", device.LineDisplayOptions{}, []string{"\x9d1"}, []string{"¥1", ""}, "", 0},
		{"GBK", device.LineDisplayOptions{Chinese: true}, []string{"\xba\xcf\xbc", "\xc6"}, []string{"合计", ""}, "", 0},
		{"half a character at the end of a row", device.LineDisplayOptions{Chinese: true}, []string{"0123456789012345678\xba\xcf"}, nil, "", 1},
		{"CD5220", device.LineDisplayOptions{Language: "cd5220"}, []string{"\x1bQAupper\r\x1bQBlow", "er\r\x1bQAup\r"}, []string{"up", "lower"}, "", 0},
		{"CD5220 does not know Epson's", device.LineDisplayOptions{Language: "cd5220"}, []string{"\x1f"}, []string{"", ""}, "", 1},
		{"ESC Q without end", device.LineDisplayOptions{Language: "cd5220"}, []string{"\x1bQA", string(make([]byte, 300))}, []string{"", ""}, "", 1},
		{"not selected", device.LineDisplayOptions{}, []string{"a\x1b=\x01receipt\n\x1b@\x1b=\x02b"}, []string{"ab", ""}, "", 0},
		{"digits", device.LineDisplayOptions{Language: "led8", Labels: "esc_s"}, []string{"\x1bs2\x1bQA12.50\r"}, []string{"12.50"}, "总计", 0},
		{"digits, lamps by STX L", device.LineDisplayOptions{Language: "led8", Labels: "stx_l"}, []string{"\x02L0001\x1bQA-7.00\r"}, []string{"-7.00"}, "找零", 0},
		{"nine digits", device.LineDisplayOptions{Language: "led8"}, []string{"\x1bQA123456789\r"}, []string{"23456789"}, "", 1},
		{"letters on digits", device.LineDisplayOptions{Language: "led8"}, []string{"\x1bQAA1\r"}, []string{"1"}, "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := device.NewLineDisplay(tc.opt)
			if err != nil {
				t.Fatal(err)
			}
			shown(t, d, tc.bytes...)
			if diff := cmp.Diff(tc.lines, d.Lines()); diff != "" && tc.lines != nil {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if d.Label() != tc.label || len(d.Unknown()) != tc.unknown {
				t.Errorf("label %q, unknown %v", d.Label(), d.Unknown())
			}
		})
	}
	if _, err := device.NewLineDisplay(device.LineDisplayOptions{Language: "morse"}); err == nil {
		t.Error("morse is taken")
	}
}

// The pictures that a bench shows have the characters on them.
func TestLineDisplayIsDrawn(t *testing.T) {
	vfd, err := device.NewLineDisplay(device.LineDisplayOptions{Chinese: true})
	if err != nil {
		t.Fatal(err)
	}
	shown(t, vfd, "\xba\xcf\xbc\xc6 Total\x1f$\x01\x02\xa3\xa412.50")
	led, err := device.NewLineDisplay(device.LineDisplayOptions{Language: "led8", Labels: "esc_s"})
	if err != nil {
		t.Fatal(err)
	}
	shown(t, led, "\x1bs2\x1bQA1234.50\r")
	for name, d := range map[string]*device.LineDisplay{"vfd": vfd, "led8": led} {
		img, err := d.Image()
		if err != nil {
			t.Fatal(err)
		}
		used := map[uint8]int{}
		for _, p := range img.Pix {
			used[p]++
		}
		if used[1] < 300 && used[2] < 300 {
			t.Errorf("%s: dots by colour %v", name, used)
		}
		path := filepath.Join(t.TempDir(), name+".png")
		if err := d.Save(path); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || len(b) < 100 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
}

// Whatever comes, the model neither fails nor grows, and its rows keep their width.
func FuzzLineDisplay(f *testing.F) {
	for _, s := range []string{"\x1b@\x1bt\x00\x1f\x01\x1fC\x00\x1f$\x01\x01abc", "\x1bQAupper\r\x1bQB\xba\xcf\r\x0c", "\x02L0100\x1bs2\x1bQA12.50\r", "\x1b=\x01x\x1b=\x02"} {
		for which := range byte(6) {
			f.Add(s, which)
		}
	}
	languages := []string{"epson-dm", "cd5220", "led8"}
	f.Fuzz(func(t *testing.T, s string, which byte) {
		if len(s) > 128 {
			return // longer ones only take longer
		}
		d, err := device.NewLineDisplay(device.LineDisplayOptions{Language: languages[which/2%3], Chinese: which%2 != 0, Labels: "esc_s"})
		if err != nil {
			t.Fatal(err)
		}
		shown(t, d, s[:len(s)/2], s[len(s)/2:])
		for _, line := range d.Lines() {
			if n := len([]rune(line)); n > 40 {
				t.Errorf("a row of %d characters", n)
			}
		}
		if len(d.Unknown()) > 101 || slices.Contains(d.Unknown(), "") {
			t.Errorf("unknown %d", len(d.Unknown()))
		}
	})
}
