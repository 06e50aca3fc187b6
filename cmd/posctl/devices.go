package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"

	"dcpos/agent/devices"
	"dcpos/agent/devices/sysfs"
	profiles "dcpos/firmware-profiles"
	"dcpos/internal/cli"
	"dcpos/pos"
	"dcpos/sdk"
)

// DevicesCmd is posctl devices.
type DevicesCmd struct {
	tillAt

	Draft      string `placeholder:"VID:PID" help:"Write the draft of a profile for a plugged device; needs no agent. 生成型号文件草稿。"`
	Statistics string `placeholder:"NAME" help:"Show one device's counters since the agent began. 显示某设备的统计。"`
	Forget     string `placeholder:"NAME" help:"Have a serial scanner learn anew how its codes end, such as after it was set up anew. 让串口扫码枪重新学习条码结束符。"`
}

// Help says what the exit code means.
func (DevicesCmd) Help() string {
	return `Lists the till's devices and what is plugged in besides. Exit 1 when a device does not do its work.
列出外设及其状态;有外设不能工作时退出码为 1。`
}

// Run lists the devices; exit 1 when one does not do its work.
func (d DevicesCmd) Run(ctx context.Context, out *cli.Streams) error {
	if d.Draft != "" {
		return draft(out.Out, sysfs.Host(), d.Draft)
	}
	return d.ask(ctx, func(ctx context.Context, c *sdk.Client) error {
		if d.Statistics != "" {
			return d.statistics(ctx, c, out.Out)
		}
		if d.Forget != "" {
			if _, err := c.ForgetFraming(ctx, d.Forget); err != nil {
				return err
			}
		}
		list, err := c.Devices(ctx)
		if err != nil {
			return err
		}
		if err := d.show(out.Out, list, func(w io.Writer) error { return devicesForPeople(w, list, time.Now()) }); err != nil {
			return err
		}
		for _, x := range list.Devices {
			if !x.Works() {
				return cli.Exit(cli.Negative, nil)
			}
		}
		return nil
	})
}

// draft writes the draft of a profile for a device that is plugged in.
func draft(w io.Writer, tree sysfs.Tree, id string) error {
	plugged, err := tree.USB()
	if err != nil {
		return err
	}
	for _, d := range plugged {
		if strings.EqualFold(d.ID(), id) {
			_, err := io.WriteString(w, profiles.Draft(devices.KindOf(d), devices.Seen(d)))
			return err
		}
	}
	return cli.Exit(cli.Usage, fmt.Errorf(say("没有插入 USB 设备 %s;posctl devices 或 lsusb 可查看编号", "no USB device %s is plugged in; posctl devices or lsusb show the numbers"), id))
}

func devicesForPeople(w io.Writer, list sdk.DeviceList, now time.Time) error {
	lang := cli.Language()
	if len(list.Devices) == 0 {
		if _, err := fmt.Fprintln(w, say("没有外设;插上即可识别,串口设备请写入 posagent.yaml", "no devices; plug one in, or name one on a serial line in posagent.yaml")); err != nil {
			return err
		}
	} else {
		t := table{{"", say("名称", "NAME"), say("型号", "MODEL"), say("接口", "PORT"), say("状态", "STATE"), say("详情", "DETAILS"), say("时长", "SINCE")}}
		for _, d := range list.Devices {
			t = append(t, []string{mark(d), d.Name, model(d), port(d), d.StateText.In(lang), details(d, lang), since(d.SinceMS, now)})
			if d.Hint != nil {
				t = append(t, []string{"", "", "→ " + d.Hint.In(lang)})
			}
		}
		if err := t.write(w); err != nil {
			return err
		}
	}
	if len(list.Unknown) == 0 {
		return nil
	}
	t := table{{"", "VID:PID", say("名称", "NAME"), say("接口", "PORT"), say("怎么办", "WHAT TO DO")}}
	for _, u := range list.Unknown {
		t = append(t, []string{"?", u.VID + ":" + u.PID, strings.TrimSpace(u.Maker + " " + u.Product), u.Port, strangerHint(u)})
	}
	if _, err := fmt.Fprintln(w, "\n"+say("未使用的设备", "Plugged in and not used")); err != nil {
		return err
	}
	return t.write(w)
}

func strangerHint(u sdk.UnknownDevice) string {
	if len(u.Candidates) == 0 {
		return "posctl devices --draft " + u.VID + ":" + u.PID
	}
	names := make([]string, 0, 3)
	for _, c := range u.Candidates[:min(3, len(u.Candidates))] {
		names = append(names, c.Profile)
	}
	return fmt.Sprintf(say("在 posagent.yaml 中写明 profile: %s", "name it in posagent.yaml, profile: %s"), strings.Join(names, " / "))
}

func mark(d sdk.Device) string {
	switch {
	case d.State == "DEGRADED":
		return "!"
	case d.Works():
		return "✓"
	}
	return "✗"
}

func model(d sdk.Device) string {
	name := strings.TrimSpace(strings.TrimSpace(d.Maker+" ") + " " + d.Model)
	if d.Maker != "" && strings.HasPrefix(d.Model, d.Maker) {
		name = d.Model
	}
	return strings.TrimSpace(cmp.Or(name, d.Profile) + "  " + d.Firmware)
}

func port(d sdk.Device) string { return cmp.Or(d.Port, d.Bound) }

// details are what is wrong, else what a printer says of its paper and cover, and who has the device.
func details(d sdk.Device, lang string) string {
	var words []string
	if d.Text != nil {
		words = append(words, d.Text.In(lang))
	} else if d.Printer != nil && d.Works() {
		words = append(words, paper(*d.Printer), cover(*d.Printer))
		if s := drawer(*d.Printer); s != "" {
			words = append(words, s)
		}
	}
	if d.Framing != nil && d.Works() {
		words = append(words, framing(*d.Framing))
	}
	if d.Owner != "" {
		words = append(words, fmt.Sprintf(say("%s 正在使用", "in use by %s"), d.Owner))
	}
	return strings.Join(words, say(",", ", "))
}

func paper(p sdk.PrinterStatus) string {
	switch {
	case p.PaperEnd.Value == "yes":
		return say("缺纸", "no paper")
	case p.PaperNearEnd.Value == "yes":
		return say("纸将尽", "paper low")
	case p.PaperEnd.Value == "no":
		return say("有纸", "paper in")
	}
	return say("纸张未知", "paper unknown")
}

// drawer is the cash drawer's state by its switch; nothing where there is none, or nobody
// knows how it is wired.
func drawer(p sdk.PrinterStatus) string {
	switch p.DrawerOpen.Value {
	case "yes":
		return say("钱箱打开", "drawer open")
	case "no":
		return say("钱箱关闭", "drawer shut")
	}
	return ""
}

// framing says how a scanner's codes end, and who says so.
func framing(f sdk.Framing) string {
	how := strings.ToUpper(f.End)
	if f.End == "idle" {
		how = say("停顿", "a pause")
	}
	if f.Prefix != "" {
		how += fmt.Sprintf(say(",前缀 %s", ", prefix %s"), f.Prefix)
	}
	if f.From == "learned" {
		return fmt.Sprintf(say("条码以 %s 结束(自动学习)", "codes end with %s (learned)"), how)
	}
	return fmt.Sprintf(say("条码以 %s 结束(配置)", "codes end with %s (configured)"), how)
}

func cover(p sdk.PrinterStatus) string {
	switch p.CoverOpen.Value {
	case "yes":
		return say("盖子打开", "cover open")
	case "no":
		return say("盖子合上", "cover shut")
	}
	return say("盖子未知", "cover unknown")
}

// since is an age in the two largest units.
func since(ms int64, now time.Time) string {
	if ms == 0 {
		return ""
	}
	s := int64(max(0, now.Sub(time.UnixMilli(ms))) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

// table is lines of cells; a line with fewer cells than the first ends in one that may be
// as long as it likes. Chinese characters take two columns, which text/tabwriter does not know.
type table [][]string

func (t table) write(w io.Writer) error {
	wide := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			if len(row) == len(wide) {
				wide[i] = max(wide[i], columns(cell))
			}
		}
	}
	for _, row := range t {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", max(0, wide[i]-columns(cell))+2))
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

func columns(s string) int {
	n := 0
	for _, r := range s {
		switch k := width.LookupRune(r).Kind(); {
		case unicode.Is(unicode.Mn, r):
		case k == width.EastAsianWide || k == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

func (d DevicesCmd) statistics(ctx context.Context, c *sdk.Client, w io.Writer) error {
	one, err := c.Device(ctx, d.Statistics)
	if err != nil {
		return err
	}
	return d.show(w, one, func(w io.Writer) error {
		for _, counters := range []map[string]int64{one.Statistics, one.Healing} {
			b, err := json.MarshalIndent(counters, "", "  ")
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(w, string(b)); err != nil {
				return err
			}
		}
		return nil
	})
}

// SelftestCmd is posctl selftest.
type SelftestCmd struct {
	tillAt

	Device string `arg:"" optional:"" help:"Its name; without: every printer. 设备名称,默认所有打印机。"`
	Level  string `default:"" enum:",internal,external,interactive" help:"internal: disturb nobody; external: print, show; interactive: also wait half a minute for a scan or a card. Default: external for what prints or shows, interactive for what reads. 检查级别。"`
}

// Run tests devices; exit 1 when one is not well.
func (s SelftestCmd) Run(ctx context.Context, out *cli.Streams) error {
	s.Timeout = max(s.Timeout, selftestTimeout)
	return s.ask(ctx, func(ctx context.Context, c *sdk.Client) error {
		list, err := c.Devices(ctx)
		if err != nil {
			return err
		}
		results := map[string]sdk.DeviceHealth{}
		names := s.names(list)
		ill := len(names) == 0
		for _, name := range names {
			level := s.level(list, name)
			if level == "interactive" {
				_, _ = fmt.Fprintf(out.Err, say("%s:请在 30 秒内扫一个码或放一张卡\n", "%s: scan a code or hold a card to it within 30 s\n"), name)
			}
			h, err := test(ctx, c, name, level)
			if err != nil {
				return err
			}
			results[name] = h
			ill = ill || !h.OK
		}
		err = s.show(out.Out, results, func(w io.Writer) error { return healthForPeople(w, names, results) })
		if err == nil && ill {
			return cli.Exit(cli.Negative, nil)
		}
		return err
	})
}

// selftestTimeout is longer than a person has, and than a ticket prints.
const selftestTimeout = 45 * time.Second

func test(ctx context.Context, c *sdk.Client, name, level string) (sdk.DeviceHealth, error) {
	if level == "external" {
		return c.TestDevice(ctx, name)
	}
	return c.CheckDevice(ctx, name, level)
}

// level is the one that was asked for, or what a device of its kind can show: a scanner
// and a card reader show nothing by themselves.
func (s SelftestCmd) level(list sdk.DeviceList, name string) string {
	if s.Level != "" {
		return s.Level
	}
	for _, d := range list.Devices {
		if d.Name == name && (d.Role == "scanner" || d.Role == "nfc") {
			return "interactive"
		}
	}
	return "external"
}

// names are the device's that was asked for, or every printer's.
func (s SelftestCmd) names(list sdk.DeviceList) []string {
	if s.Device != "" {
		return []string{s.Device}
	}
	var names []string
	for _, d := range list.Devices {
		if d.Role == "printer" {
			names = append(names, d.Name)
		}
	}
	return names
}

func healthForPeople(w io.Writer, names []string, results map[string]sdk.DeviceHealth) error {
	lang := cli.Language()
	if len(names) == 0 {
		_, err := fmt.Fprintln(w, say("没有打印机", "there is no printer"))
		return err
	}
	var all error
	for _, name := range names {
		h := results[name]
		line := "✓ " + name + "  " + say("正常", "well")
		switch {
		case h.Print != nil && h.Print.State == "UNKNOWN":
			line = "? " + name + "  " + say("已发送,打印机未确认;请看小票是否完整", "sent and not confirmed by the printer; look whether the ticket is complete")
		case h.Print != nil && h.OK:
			line = "✓ " + name + "  " + say("自检小票已打印,请看汉字、二维码和切纸", "the self-test ticket is printed: look at Chinese, QR code and cut")
		case !h.OK:
			line = "✗ " + name + "  " + textOf(h.Text, lang) + "\n  → " + textOf(h.Hint, lang)
		}
		_, err := fmt.Fprintln(w, line)
		all = errors.Join(all, err)
	}
	return all
}

func textOf(t *pos.Text, lang string) string {
	if t == nil {
		return ""
	}
	return t.In(lang)
}
