package till

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/lab/device"
)

// boxed draws lines as on paper or glass of some columns at least, Chinese two columns wide.
func boxed(lines []string, wide int) string {
	for _, l := range lines {
		wide = max(wide, receipt.Width(l))
	}
	var b strings.Builder
	b.WriteString("┌" + strings.Repeat("─", wide+2) + "┐\n")
	for _, l := range lines {
		b.WriteString("│ " + l + strings.Repeat(" ", wide-receipt.Width(l)) + " │\n")
	}
	b.WriteString("└" + strings.Repeat("─", wide+2) + "┘")
	return b.String()
}

// show tells what is on the paper so far, and how each device stands.
func (c *counter) show() error {
	paper := c.printer.Paper()
	lines := paper.Lines
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	var b strings.Builder
	if len(lines) == 0 {
		b.WriteString("纸上 paper: 空白 blank\n")
	} else {
		fmt.Fprintf(&b, "纸上 paper (小票 receipt %d):\n%s\n", paper.N, boxed(lines, 0))
	}
	for _, p := range c.plugs {
		state := "未接 not plugged in"
		if p.plugged() {
			state = c.state(p.name)
		}
		fmt.Fprintf(&b, "%-8s %s\n", p.name, state)
	}
	c.say("%s", strings.TrimRight(b.String(), "\n"))
	return nil
}

// state is how a device stands that is plugged in.
func (c *counter) state(name string) string {
	switch name {
	case "printer":
		return c.printerState()
	case "scanner":
		o := c.scanner.Options()
		return fmt.Sprintf("正常 ready; 码前 before a code %q, 码后 after it %q, AIM %t; 收到主机 heard %d B", o.Prefix, o.Suffix, o.AIM, len(c.scanner.Heard()))
	case "nfc":
		if len(c.chip.Cards()) > 0 {
			return fmt.Sprintf("有卡 %s is in the field; 指令 commands %d", c.card, c.card.APDUs())
		}
		return fmt.Sprintf("无卡 no card; 指令 commands %d", c.card.APDUs())
	case "display":
		label := ""
		if l := c.display.Label(); l != "" {
			label = " 灯 lamp " + l
		}
		return fmt.Sprintf("收到 received %d B%s\n%s", c.display.Received(), label, boxed(c.display.Lines(), c.columns))
	case "hidpos":
		return fmt.Sprintf("正常 ready; 主机输出 outputs of the host (beep, trigger) %d", len(c.hidpos.Outputs()))
	case "keyboard":
		return fmt.Sprintf("正常 ready; 键盘灯 lamps % x", c.keyboard.Lamps())
	}
	return ""
}

func (c *counter) printerState() string {
	s := c.printer.State()
	var is []string
	for _, f := range []struct {
		on   bool
		says string
	}{
		{s.PaperOut, "缺纸 paper out"},
		{s.NearEnd, "纸将尽 paper near end"},
		{s.CoverOpen, "上盖打开 cover open"},
		{s.CutterStuck, "切刀卡住 cutter stuck"},
		{s.Jam, "卡纸 jam"},
		{s.Waiting, "等主机恢复 waits for the host to recover"},
		{s.Stalled, "死机 stalled"},
		{s.Silent, "不应答 silent"},
		{s.DrawerOpen, "钱箱打开 drawer open"},
	} {
		if f.on {
			is = append(is, f.says)
		}
	}
	if len(is) == 0 {
		is = []string{"正常 ready"}
	}
	line := fmt.Sprintf("%s; 小票 receipts %d, 开钱箱 drawer kicks %d, 蜂鸣 beeps %d, 闪灯 flashes %d",
		strings.Join(is, ", "), s.Receipts, s.Kicks, s.Beeps, s.Flashes)
	if s.Pending > 0 {
		line += fmt.Sprintf(", 待打 waiting to be printed %d B", s.Pending)
	}
	if strange := c.printer.Unknown(); len(strange) > 0 {
		line += fmt.Sprintf(", 不认识的指令 unknown commands %v", strange)
	}
	return line
}

// config is the part of posagent's configuration that names these devices.
func (c *counter) config() ([]byte, error) {
	out := map[string]any{
		"env": "lab", "devices": map[string]any{"auto": false}, // what hangs on this machine otherwise is none of the counter's
		"drawer": true,
	}
	var more []drivers.DeviceConfig
	for _, p := range c.plugs {
		path, err := filepath.Abs(p.socket.Path)
		if err != nil {
			return nil, err
		}
		d := drivers.DeviceConfig{Name: p.name, Profile: p.profile, Transport: drivers.TransportConfig{Kind: drivers.TransportSerial, Path: path}}
		switch {
		case p.kernel == nil:
			out[p.name] = slim(d)
		case p.plugged():
			d.Transport = p.node()
			if d.Transport.Path != "" {
				more = append(more, d)
			}
		}
	}
	if len(more) > 0 {
		out["scanners"] = more
	}
	return yaml.Marshal(out)
}

// node is the file of a HID device that reads codes: hidraw of a HID-POS scanner, the input
// layer's of one that types.
func (p *plug) node() drivers.TransportConfig {
	for _, n := range device.HIDNodes("/", p.identity.Serial) {
		switch {
		case p.name == "hidpos" && strings.HasPrefix(n, "/dev/hidraw"):
			return drivers.TransportConfig{Kind: drivers.TransportHID, Path: n}
		case p.name == "keyboard" && strings.HasPrefix(n, "/dev/input/"):
			return drivers.TransportConfig{Kind: drivers.TransportEvdev, Path: n}
		}
	}
	return drivers.TransportConfig{}
}

// slim leaves out what only repeats the role.
func slim(d drivers.DeviceConfig) map[string]any {
	return map[string]any{"profile": d.Profile, "transport": map[string]any{"kind": d.Transport.Kind, "path": d.Transport.Path}}
}

// tellConfig prints it and keeps it as DIR/devices.yaml.
func (c *counter) tellConfig() error {
	b, err := c.config()
	if err != nil {
		return err
	}
	path := filepath.Join(c.Dir, "devices.yaml")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return err
	}
	c.say("── posagent 配置片段,已存 its devices, also in %s\n%s──", path, b)
	return nil
}
