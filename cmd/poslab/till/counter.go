package till

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

// echoAID is the application of the practice card; it begins with F, which ISO/IEC 7816-5
// leaves to anybody.
var echoAID = []byte{0xF0, 'D', 'C', 'P', 'O', 'S', 'L', 'A', 'B'}

// plug is one device and the socket that it hangs in.
type plug struct {
	name    string
	profile string
	socket  device.Socket
	served  device.Served

	// kernel, where set, is played to the kernel instead of hanging on a line.
	kernel   device.HIDModel
	identity device.HIDIdentity
	stop     func() error // pulls it; nil: not plugged in
}

// build makes the devices as their profiles describe them.
func (c *counter) build() error {
	if err := errors.Join(c.buildPrinter(), c.buildScanner(), c.buildReader(), c.buildDisplay()); err != nil {
		return err
	}
	c.hidpos = device.NewHIDScanner(device.HIDScannerOptions{})
	c.keyboard = device.NewKeyboardScanner(device.KeyboardScannerOptions{})
	c.plugs = append(c.plugs,
		// The numbers are of pid.codes' block for tests: no maker's, so the generic profiles fit.
		&plug{name: "hidpos", profile: "hidpos", kernel: c.hidpos, identity: device.HIDIdentity{
			Name: "dcpos lab HID-POS scanner (TEST)", Vendor: 0x1209, Product: 0x0001, Serial: "DCPOS-LAB-HIDPOS",
		}},
		&plug{name: "keyboard", profile: "keyboard", kernel: c.keyboard, identity: device.HIDIdentity{
			Name: "dcpos lab keyboard scanner (TEST)", Vendor: 0x1209, Product: 0x0002, Serial: "DCPOS-LAB-KEYBOARD",
		}})
	return nil
}

func (c *counter) add(name, profile string, d device.Served) {
	c.plugs = append(c.plugs, &plug{
		name: name, profile: profile, served: d, socket: device.Socket{Path: filepath.Join(c.Dir, name)},
	})
}

func (c *counter) buildPrinter() error {
	p, err := profiles.FindPrinter(c.Printer)
	if err != nil {
		return fmt.Errorf("--printer: %w", err)
	}
	if p.Driver == "" {
		return fmt.Errorf("--printer: %s is only recognised, no driver prints on it 仅能识别,无驱动", p.Name)
	}
	opt := asProfile(p)
	opt.Maker, opt.Model = cmp.Or(c.Maker, opt.Maker), cmp.Or(c.Model, opt.Model)
	opt.Directory = filepath.Join(c.Dir, "receipts")
	opt.Receipt = func(r device.Receipt) {
		c.say("── 小票 receipt %d → %s\n%s", r.N, filepath.Join(opt.Directory, fmt.Sprint(r.N)+".png"), boxed(r.Lines, 0))
		select {
		case c.receipts <- r.N:
		default: // nobody waits for them
		}
	}
	if c.printer, err = device.NewPrinter(opt); err != nil {
		return err
	}
	c.add("printer", p.Name, c.printer)
	return nil
}

// asProfile is the model of a printer that behaves as its profile says.
func asProfile(p profiles.Printer) device.PrinterOptions {
	opt := device.PrinterOptions{
		WidthMM: 80, NoCutter: p.Cutter == "none", Buzzer: p.Buzzer == "esc_b", Lamp: p.Lamp == "esc_c",
		Answers: &device.Answers{
			DLEEOT: p.Status.DLEEOT, ASB: p.Status.ASB, GSR: p.Status.GSR, GSI: p.Status.GSI, GSH: p.Status.GSH,
		},
		Chinese: map[string]device.ChineseFont{
			"gbk": device.GBK, "gb2312": device.GB2312, "none": device.LatinOnly,
		}[p.CJK.Encoding],
		ChineseSizeByFS: p.CJK.FSSize, LosesChinese: p.Quirks.ImageLosesCJK,
		StartsWithoutChinese: p.CJK.On != "" && strings.HasPrefix(p.Name, "epson"),
	}
	if p.Paper.WidthMM < 70 {
		opt.WidthMM = 58
	}
	if len(p.Match.GSI) > 0 {
		opt.Maker, opt.Model = p.Match.GSI[0].Maker, p.Match.GSI[0].Model
	}
	return opt
}

func (c *counter) buildScanner() error {
	p, err := profiles.FindScanner(c.Scanner)
	if err != nil {
		return fmt.Errorf("--scanner: %w", err)
	}
	if p.Driver != "serial-scanner" {
		return fmt.Errorf("--scanner: %s hangs on no serial line; HID-POS and keyboard scanners are :plug hidpos, :plug keyboard", p.Name)
	}
	c.scanner = device.NewScanner(framing(p.Framing))
	c.add("scanner", p.Name, c.scanner)
	return nil
}

func framing(f profiles.Framing) device.ScannerOptions {
	opt := device.ScannerOptions{Prefix: f.Prefix, AIM: f.AIM, NoSuffix: f.IdleMS > 0}
	if !opt.NoSuffix && len(f.End) > 0 {
		opt.Suffix = f.End[0]
	}
	return opt
}

func (c *counter) buildReader() error {
	p, err := profiles.FindNFC(c.NFC)
	if err != nil {
		return fmt.Errorf("--nfc: %w", err)
	}
	if p.Driver != "pn532" {
		return fmt.Errorf("--nfc: %s hangs on no serial line; take pn532-uart", p.Name)
	}
	c.chip = device.NewPN532(device.PN532Options{Asleep: true})
	c.card = device.NewEchoCard(echoAID, device.CardOptions{})
	c.add("nfc", p.Name, c.chip)
	return nil
}

func (c *counter) buildDisplay() error {
	p, err := profiles.FindLineDisplay(c.Display)
	if err != nil {
		return fmt.Errorf("--display: %w", err)
	}
	if p.Driver == "" || p.Select {
		return fmt.Errorf("--display: %s has no line of its own here; take vfd-gbk, cd5220, epson-dm-d or led8", p.Name)
	}
	opt := device.LineDisplayOptions{
		Language: p.Language, Columns: p.Size.Columns, Rows: p.Size.Rows, Chinese: p.CJK.Encoding != "none", Labels: p.Labels,
	}
	opt.Shown = func(lines []string) {
		c.say("── 客显 display\n%s", boxed(lines, c.columns))
		if err := c.display.Save(filepath.Join(c.Dir, "display.png")); err != nil {
			_, _ = fmt.Fprintln(c.Err, err)
		}
	}
	c.columns = p.Size.Columns
	if c.display, err = device.NewLineDisplay(opt); err != nil {
		return err
	}
	c.add("display", p.Name, c.display)
	return nil
}

// in plugs the device in.
func (p *plug) in(ctx context.Context) error {
	if p.kernel == nil {
		return p.socket.Plug(ctx, p.served)
	}
	if p.stop != nil {
		return fmt.Errorf("%s: %w", p.name, device.ErrPluggedIn)
	}
	kernel, err := device.OpenUHID()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: 本机没有 %s:模拟 HID 设备需要内核模块 uhid(root 执行 modprobe uhid;容器通常没有)"+
			" – this machine has no %[2]s: a HID device is played through the kernel's module uhid (as root: modprobe uhid; containers mostly lack it)."+
			" 串口扫码枪照常可用 the serial scanner works without", p.name, device.UHIDPath)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: 无权打开 %s,请以 root 运行 – %[2]s is root's: run as root", p.name, device.UHIDPath)
	case err != nil:
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- device.ServeUHID(ctx, kernel, p.kernel, p.identity) }()
	p.stop = func() error {
		cancel()
		return <-done
	}
	return nil
}

// out pulls the plug.
func (p *plug) out() error {
	if p.kernel == nil {
		return p.socket.Unplug()
	}
	if p.stop == nil {
		return nil
	}
	stop := p.stop
	p.stop = nil
	return stop()
}

func (p *plug) plugged() bool {
	if p.kernel == nil {
		return p.socket.Plugged()
	}
	return p.stop != nil
}

// nodes waits a moment for the device files of a HID device.
func (p *plug) nodes(ctx context.Context) []string {
	const patience, pause = 2 * time.Second, 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		if nodes := device.HIDNodes("/", p.identity.Serial); len(nodes) > 0 {
			return nodes
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *counter) unplugAll() error {
	var errs []error
	for _, p := range c.plugs {
		errs = append(errs, p.out())
	}
	return errors.Join(errs...)
}
