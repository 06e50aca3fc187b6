package linedisplay_test

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/drivers"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/linedisplay"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/serial"
	"dcpos/drivers/transporttest"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

// models are the shapes of displays that the tests drive.
func models() map[string]profiles.LineDisplay {
	vfd := func(language, encoding string) profiles.LineDisplay {
		return profiles.LineDisplay{
			Name: language, Language: language, Size: profiles.DisplaySize{Columns: 20, Rows: 2}, CJK: profiles.CJK{Encoding: encoding},
		}
	}
	led := func(labels string) profiles.LineDisplay {
		return profiles.LineDisplay{
			Name: "led8", Language: "led8", Labels: labels, Size: profiles.DisplaySize{Columns: 8, Rows: 1}, CJK: profiles.CJK{Encoding: "none"},
		}
	}
	shared := vfd("epson-dm", "none")
	shared.Select = true
	return map[string]profiles.LineDisplay{
		"epson-dm": vfd("epson-dm", "none"), "epson-dm gbk": vfd("epson-dm", "gbk"), "epson-dm beside a printer": shared,
		"cd5220": vfd("cd5220", "none"), "cd5220 gbk": vfd("cd5220", "gbk"),
		"led8": led(""), "led8 esc_s": led("esc_s"), "led8 stx_l": led("stx_l"),
	}
}

func modelOf(t *testing.T, p profiles.LineDisplay) *device.LineDisplay {
	t.Helper()
	d, err := device.NewLineDisplay(device.LineDisplayOptions{
		Language: p.Language, Columns: p.Size.Columns, Rows: p.Size.Rows, Chinese: p.CJK.Encoding != "none", Labels: p.Labels,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// rig joins the driver and the modelled display in memory.
func rig(t *testing.T, p profiles.LineDisplay) (*linedisplay.Display, *device.LineDisplay) {
	t.Helper()
	model := modelOf(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	d := linedisplay.New(p, func(context.Context) (transport.Conn, error) {
		host, dev := device.Pipe()
		served.Go(func() { _ = model.Serve(ctx, dev) })
		return transport.NewStream("memory", host), nil
	}, linedisplay.Options{Name: "customer"})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		served.Wait()
		if unknown := model.Unknown(); len(unknown) > 0 {
			t.Errorf("the display does not know %v", unknown)
		}
	})
	return d, model
}

func rigOf(d *linedisplay.Display, m *device.LineDisplay, p profiles.LineDisplay) drivertest.DisplayRig {
	return drivertest.DisplayRig{Driver: d, Shown: m.Lines, Received: m.Received, Digits: p.Language == "led8"}
}

func TestSuite(t *testing.T) {
	for name, p := range models() {
		t.Run(name, func(t *testing.T) {
			drivertest.RunLineDisplay(t, func(t *testing.T) drivertest.DisplayRig {
				t.Helper()
				d, model := rig(t, p)
				return rigOf(d, model, p)
			})
		})
	}
}

func TestSuiteOnARealLine(t *testing.T) {
	for _, name := range []string{"epson-dm gbk", "cd5220", "led8 esc_s"} {
		p := models()[name]
		t.Run(name, func(t *testing.T) {
			drivertest.RunLineDisplay(t, func(t *testing.T) drivertest.DisplayRig {
				t.Helper()
				model := modelOf(t, p)
				bench, err := device.Start(context.Background(), model)
				if err != nil {
					t.Fatal(err)
				}
				d := linedisplay.New(p, func(ctx context.Context) (transport.Conn, error) {
					return serial.Open(ctx, bench.Path, serial.Line{Baud: 9600})
				}, linedisplay.Options{})
				t.Cleanup(func() {
					if err := errors.Join(d.Close(), bench.Unplug()); err != nil {
						t.Error(err)
					}
				})
				return rigOf(d, model, p)
			})
		})
	}
}

func enabled(t *testing.T, d drivers.LineDisplay) {
	t.Helper()
	for _, step := range []func(context.Context) error{d.Open, d.Claim, d.Enable} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// The bytes are those of the manuals that language.go names.
func TestGoldenBytes(t *testing.T) {
	const pad = "2020202020202020"
	for _, tc := range []struct {
		model string
		lines []string
		hello string
		show  string
		clear string
	}{
		{
			"epson-dm",
			[]string{"Total ¥12.50", "café €"},
			"1b40 1b7400 1f01 1f4300",
			"1f240101 546f74616c209d31322e3530" + pad + " 1f240102 63616682203f" + pad + "202020202020", "0c",
		},
		{
			"epson-dm gbk",
			[]string{"合计 ¥12.50", "€龘𠮷"},
			"1b40 1b7400 1f01 1f4300",
			"1f240101 bacfbcc620a3a431322e3530" + pad + " 1f240102 3f fd93 3f" + pad + pad, "0c",
		},
		{
			"epson-dm beside a printer",
			[]string{"A"},
			"1b3d02 1b40 1b7400 1f01 1f4300 1b3d01",
			"1b3d02 1f240101 41" + pad + pad + "202020 1b3d01", "1b3d02 0c 1b3d01",
		},
		{
			"cd5220",
			[]string{"Total ¥12.50", "支付 OK"},
			"1b40 0c",
			"1b5141 546f74616c2031322e3530" + pad + "20 0d 1b5142 3f3f204f4b" + pad + "20202020202020 0d", "0c",
		},
		{"cd5220 gbk", []string{"支付"}, "1b40 0c", "1b5141 d6a7b8b6" + pad + pad + " 0d", "0c"},
		{"led8", []string{"合计", "￥1,234.50"}, "1b40", "1b5141 313233342e3530 0d", "0c"},
		{"led8 esc_s", []string{"合计 Total: ￥1,234.50"}, "1b40 1b7330", "1b7332 1b5141 313233342e3530 0d", "0c 1b7330"},
		{"led8 stx_l", []string{"找零 Change", "-0.50"}, "1b40 024c30303030", "024c30303031 1b5141 2d302e3530 0d", "0c 024c30303030"},
	} {
		t.Run(tc.model, func(t *testing.T) {
			line := &transporttest.Playback{Ops: []transporttest.IO{{W: bytesOf(t, tc.hello)}, {W: bytesOf(t, tc.show)}, {W: bytesOf(t, tc.clear)}}}
			d := linedisplay.New(models()[tc.model], line.Dial, linedisplay.Options{})
			enabled(t, d)
			if err := errors.Join(d.Show(t.Context(), tc.lines), d.Clear(t.Context()), d.Clear(t.Context()), d.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

func bytesOf(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDigitsShowTheAmountAndNothingElse(t *testing.T) {
	for _, tc := range []struct {
		lines         []string
		amount, label string
		err           error
	}{
		{[]string{"合计", "12.50"}, "12.50", "总计", nil},
		{[]string{"收款 20.00", "找零 7.50"}, "7.50", "找零", nil},
		{[]string{"Paid 20.00", "谢谢惠顾"}, "20.00", "收款", nil},
		{[]string{"单价 3.00 x 2"}, "3.00", "单价", nil},
		{[]string{"Order 4711", "2021-06-11 12:30"}, "", "", nil},
		{[]string{"V1.23.45", "2021.06.11"}, "", "", nil},
		{[]string{"12.345"}, "", "", nil},
		{[]string{"999,999.99"}, "999999.99", "", nil},
		{[]string{"1,000,000.00"}, "", "", drivers.ErrTooBig},
		{[]string{"折扣 -5.00"}, "-5.00", "", nil},
		{nil, "", "", nil},
	} {
		t.Run(strings.Join(tc.lines, "|"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, model := rig(t, models()["led8 esc_s"])
				enabled(t, d)
				if err := d.Show(t.Context(), []string{"Total 1.00"}); err != nil {
					t.Fatal(err)
				}
				if err := d.Show(t.Context(), tc.lines); !errors.Is(err, tc.err) {
					t.Errorf("got %v, want %v", err, tc.err)
				}
				synctest.Wait()
				if got := model.Lines()[0]; got != tc.amount || model.Label() != tc.label {
					t.Errorf("shows %q %q, want %q %q", model.Label(), got, tc.label, tc.amount)
				}
			})
		})
	}
}

// Whatever is to be shown, the display shows it as far as it fits, and never takes a
// part of it for a command.
func TestAnyTextIsShownAsItStands(t *testing.T) {
	for _, name := range []string{"epson-dm gbk", "cd5220", "cd5220 gbk", "epson-dm beside a printer"} {
		p := models()[name]
		t.Run(name, func(t *testing.T) {
			text := rapid.StringOf(rapid.OneOf(rapid.RuneFrom([]rune("汉字龘￥ aZ09.,\x1b\x0c\r\x1f\x02é€𠮷\u0301")), rapid.Rune()))
			rapid.Check(t, func(rt *rapid.T) {
				first := rapid.SliceOfN(text, 0, 3).Draw(rt, "first")
				lines := rapid.SliceOfN(text, 0, 3).Draw(rt, "lines")
				synctest.Test(t, func(t *testing.T) {
					changed, unknown := shownAfter(t, p, first, lines)
					fresh, _ := shownAfter(t, p, lines)
					if diff := cmp.Diff(fresh, changed); diff != "" {
						t.Errorf("%q after %q (-on a fresh display +got):\n%s", lines, first, diff)
					}
					if len(unknown) > 0 {
						t.Errorf("%q, %q: unknown %v", first, lines, unknown)
					}
				})
			})
		})
	}
}

// shownAfter shows texts one after the other on a display of its own.
func shownAfter(t *testing.T, p profiles.LineDisplay, texts ...[]string) (shown, unknown []string) {
	t.Helper()
	model := modelOf(t, p)
	d := linedisplay.New(p, func(context.Context) (transport.Conn, error) {
		host, dev := device.Pipe()
		go func() { _ = model.Serve(t.Context(), dev) }()
		return transport.NewStream("memory", host), nil
	}, linedisplay.Options{})
	enabled(t, d)
	for _, lines := range texts {
		if err := d.Show(t.Context(), lines); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
	shown, unknown = model.Lines(), model.Unknown()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	return shown, unknown
}

func TestADisplayThatWentAway(t *testing.T) {
	model := modelOf(t, models()["epson-dm"])
	bench, err := device.Start(context.Background(), model)
	if err != nil {
		t.Fatal(err)
	}
	d := linedisplay.New(models()["epson-dm"], func(ctx context.Context) (transport.Conn, error) {
		return serial.Open(ctx, bench.Path, serial.Line{})
	}, linedisplay.Options{})
	enabled(t, d)
	if err := bench.Unplug(); err != nil {
		t.Error(err)
	}
	<-d.Changed()
	if h, err := d.CheckHealth(t.Context(), drivers.HealthInternal); err != nil || h.OK || h.Code != drivers.ErrOffline || h.Hint.IsZero() {
		t.Errorf("health %+v, %v", h, err)
	}
	if err := d.Show(t.Context(), []string{"x"}); !errors.Is(err, drivers.ErrNoHardware) || !errors.Is(err, drivers.ErrOffline) {
		t.Errorf("show: got %v", err)
	}
	if h, err := d.CheckHealth(t.Context(), drivers.HealthExternal); err != nil || h.OK {
		t.Errorf("external: %+v, %v", h, err)
	}
	if n := d.Statistics()[drivers.CommunicationErrorCount]; n == 0 {
		t.Error("not counted")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// stuck is a port that takes nothing.
type stuck struct{ closed chan struct{} }

func (s stuck) Read([]byte) (int, error)  { <-s.closed; return 0, transport.ErrGone }
func (s stuck) Write([]byte) (int, error) { <-s.closed; return 0, transport.ErrGone }
func (s stuck) Close() error              { close(s.closed); return nil }

func TestADisplayThatTakesNothingDoesNotHoldTheTill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := linedisplay.New(models()["cd5220"], func(context.Context) (transport.Conn, error) {
			return transport.NewStream("stuck", stuck{make(chan struct{})}), nil
		}, linedisplay.Options{})
		start := time.Now()
		if err := errors.Join(d.Open(t.Context()), d.Claim(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := d.Enable(t.Context()); !errors.Is(err, drivers.ErrOffline) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("took %v", took)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestManyCallersAtOnce(t *testing.T) {
	d, model := rig(t, models()["cd5220"])
	enabled(t, d)
	texts := []string{"a", "b", "c", "d"}
	var all sync.WaitGroup
	for _, s := range texts {
		all.Go(func() {
			for range 50 {
				if err := d.Show(t.Context(), []string{s, s}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := d.Show(t.Context(), []string{"end"}); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); !slices.Equal(model.Lines(), []string{"end", ""}); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("shown %q", model.Lines())
		}
	}
}

func TestAProfileWithoutALanguage(t *testing.T) {
	d := linedisplay.New(profiles.LineDisplay{Language: "morse"}, nil, linedisplay.Options{})
	if err := d.Open(t.Context()); !errors.Is(err, drivers.ErrNoService) {
		t.Errorf("got %v", err)
	}
}
