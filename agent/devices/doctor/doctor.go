// Package doctor finds what is wrong with a bench of devices and says what to do. It
// only looks: at the kernel's files (package sysfs) and at what a running agent says of
// its devices, so that it works without one as far as that goes.
//
// To add a finding: a func of examinations that returns it, and its case in the test.
package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dcpos/agent/devices"
	"dcpos/agent/devices/sysfs"
	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

// Severity says how much a finding matters.
type Severity string

// The severities, the worst first.
const (
	Error   Severity = "error"   // something does not work
	Warning Severity = "warning" // it works, and may not for long
	Info    Severity = "info"    // worth knowing
	OK      Severity = "ok"      // looked at and found well
)

func (s Severity) rank() int { return slices.Index([]Severity{Error, Warning, Info, OK}, s) }

// Finding is one thing that was found.
type Finding struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Text     pos.Text `json:"text"`               // what
	Evidence string   `json:"evidence,omitempty"` // by what it was seen
	Hint     pos.Text `json:"hint,omitzero"`      // what to do
}

// Device is what a running agent says of one device.
type Device struct {
	Name, Role, Category, Profile, Port, USB string
	Bound                                    string // what it is known again by, such as "path /dev/ttyS0"
	Pinned                                   bool
	State                                    devices.State
	Reason                                   string
	Text, Hint                               pos.Text
	Hung                                     int64 // calls that did not return since the agent began
	// Ill and Advice are what its own health check found, though it seems to work: such as a
	// scanner whose bytes make no codes. Empty: nothing.
	Ill, Advice pos.Text
	// Framing is how a scanner's codes end, in words, where its profile leaves that open;
	// Learned: it was found out, not configured.
	Framing string
	Learned bool
}

// Bench is what is looked at.
type Bench struct {
	Tree sysfs.Tree
	// Devices are the agent's; nil when none was asked.
	Devices []Device
	// Asked is whether an agent answered.
	Asked bool
	// Class is the terminal's; nil when it is not known.
	Class *profiles.Class
}

// Examine looks at a bench. The findings come worst first.
func Examine(b Bench) ([]Finding, error) {
	plugged, err := b.Tree.USB()
	if err != nil {
		return nil, fmt.Errorf("look for devices: %w", err)
	}
	var all []Finding
	for _, look := range []func(Bench, []sysfs.Device) []Finding{
		stations, required, permissions, heldByKernel, modules, daemons, strangers, doubles,
	} {
		all = append(all, look(b, plugged)...)
	}
	slices.SortStableFunc(all, func(x, y Finding) int { return cmp.Compare(x.Severity.rank(), y.Severity.rank()) })
	return all, nil
}

func name(d sysfs.Device) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", d.ID(), d.Maker, d.Product))
}

// roleText is a role in two languages.
func roleText(role string) pos.Text {
	switch role {
	case "printer":
		return pos.Text{ZH: "打印机", EN: "printer"}
	case "scanner":
		return pos.Text{ZH: "扫码枪", EN: "scanner"}
	case "nfc":
		return pos.Text{ZH: "读卡器", EN: "card reader"}
	case "display", "linedisplay":
		return pos.Text{ZH: "客显", EN: "customer display"}
	}
	return pos.Text{ZH: role, EN: role}
}

// stations tells how the agent's devices are.
func stations(b Bench, _ []sysfs.Device) []Finding {
	var out []Finding
	for _, d := range b.Devices {
		role := roleText(d.Role)
		f := Finding{
			Code: "device", Severity: OK, Text: pos.Text{ZH: role.ZH + "正常", EN: role.EN + " is well"},
			Evidence: strings.TrimSpace(strings.Join([]string{d.Name, d.Profile, d.Port, string(d.State), d.Reason}, "  ")),
		}
		if !d.State.Works() || d.State == devices.StateDegraded {
			f.Severity, f.Hint = Error, d.Hint
			f.Text = pos.Text{ZH: role.ZH + ":" + d.Text.ZH, EN: role.EN + ": " + d.Text.EN}
			if d.Text == (pos.Text{}) {
				f.Text = pos.Text{ZH: role.ZH + ":" + d.State.Text().ZH, EN: role.EN + ": " + d.State.Text().EN}
			}
		}
		switch {
		case d.Reason == devices.ReasonPermission:
			f.Code, f.Hint = "permission", mayOpen()
			if path, ok := strings.CutPrefix(d.Bound, "path "); ok {
				f.Evidence += fmt.Sprintf("  %s (%s)", path, b.Tree.Owner(path))
			}
		case d.Reason == drivers.ErrExtended.Name(): // it is there, and set so that it is of no use
			f.Code = "health"
		case d.State == devices.StateDegraded, d.State == devices.StateAbsent && !d.Pinned:
			f.Severity = Warning
		}
		if d.Reason == drivers.ErrOffline.Name() && strings.HasPrefix(d.Port+baudPort(d), "serial:") {
			f.Code, f.Hint = "baud", pos.Text{
				ZH: "先看电源和连接线;再核对波特率:打印机自检页(按住走纸键开机)上的波特率应与 posagent.yaml 中 transport.baud 一致",
				EN: "look at power and cable first; then at the baud rate: what the printer's own self-test prints (hold FEED while switching on) has to equal transport.baud in posagent.yaml",
			}
		}
		if f.Severity == OK && !d.Ill.IsZero() {
			f.Code, f.Severity, f.Hint = "health", Error, d.Advice
			f.Text = pos.Text{ZH: role.ZH + ":" + d.Ill.ZH, EN: role.EN + ": " + d.Ill.EN}
		}
		out = append(append(out, f), history(d, role)...)
	}
	return out
}

// history is what a device has been through: a framing that was learned, a hang that was healed.
func history(d Device, role pos.Text) (out []Finding) {
	if d.Learned {
		out = append(out, Finding{
			Code: "framing", Severity: Info, Evidence: d.Name + ": " + d.Framing,
			Text: pos.Text{ZH: role.ZH + "的条码结束符是自动学习的,重启后保留", EN: "how this " + role.EN + "'s codes end was learned, and is kept over a restart"},
			Hint: pos.Text{
				ZH: "扫码枪重新设置后:posctl devices --forget " + d.Name + ";要固定请在 posagent.yaml 写 framing: {end: cr}",
				EN: "after it was set up anew: posctl devices --forget " + d.Name + "; to fix it, write framing: {end: cr} in posagent.yaml",
			},
		})
	}
	if d.Hung > 0 {
		out = append(out, Finding{
			Code: "hung", Severity: Warning, Evidence: fmt.Sprintf("%s: %d", d.Name, d.Hung),
			Text: pos.Text{ZH: role.ZH + "曾经卡死并被自动恢复", EN: role.EN + " has hung and was healed"},
			Hint: pos.Text{ZH: "更换 USB 线或接口;若反复出现请升级固件或更换设备", EN: "try another cable and socket; if it comes again, update its firmware or replace it"},
		})
	}
	return out
}

// baudPort stands for the port of a device that is not open: a profile with a serial line.
func baudPort(d Device) string {
	if d.Port == "" && d.USB == "" {
		return "serial:"
	}
	return ""
}

// required tells which device of the terminal's class is missing.
func required(b Bench, _ []sysfs.Device) []Finding {
	if b.Class == nil || !b.Asked {
		return nil
	}
	var out []Finding
	for _, want := range b.Class.Devices {
		has := slices.ContainsFunc(b.Devices, func(d Device) bool {
			return d.Role == string(want.Kind) || d.Role == "display" && want.Kind == profiles.KindDisplay
		})
		if has {
			continue
		}
		role := roleText(string(want.Kind))
		f := Finding{
			Code: "missing", Severity: Info, Evidence: b.Class.Name + ": " + want.Role,
			Text: pos.Text{ZH: "没有" + role.ZH, EN: "there is no " + role.EN},
			Hint: pos.Text{
				ZH: "插上设备;串口设备请写入 posagent.yaml(posagent help-config 有示例)",
				EN: "plug one in; name one on a serial line in posagent.yaml (posagent help-config shows how)",
			},
		}
		if want.Required {
			f.Severity = Error
		}
		out = append(out, f)
	}
	return out
}

// works reports whether the agent uses a plugged device, and it does its work.
func (b Bench) works(d sysfs.Device) bool {
	return slices.ContainsFunc(b.Devices, func(x Device) bool { return x.USB == d.ID() && x.State.Works() })
}

func (b Bench) uses(d sysfs.Device) bool {
	return slices.ContainsFunc(b.Devices, func(x Device) bool { return x.USB == d.ID() })
}

// permissions tells which files of known devices may not be opened.
func permissions(b Bench, plugged []sysfs.Device) []Finding {
	var out []Finding
	for _, d := range plugged {
		if !devices.OfTill(d) || b.works(d) || len(profiles.Identify(devices.Seen(d))) == 0 {
			continue
		}
		for _, path := range b.closed(d) {
			out = append(out, Finding{
				Code: "permission", Severity: Error, Evidence: fmt.Sprintf("%s  %s (%s)", name(d), path, b.Tree.Owner(path)),
				Text: pos.Text{ZH: "没有打开设备的权限", EN: "this user may not open the device"},
				Hint: mayOpen(),
			})
		}
	}
	return out
}

// mayOpen is what to do about a file that may not be opened. The rules are of devices on
// USB; a serial port of the mainboard belongs to Debian's group dialout.
func mayOpen() pos.Text {
	return pos.Text{
		ZH: "USB 设备:posctl profile udev | sudo tee /etc/udev/rules.d/70-dcpos.rules;sudo udevadm control --reload;重新插拔;用户须在 posagent 组。主板串口 (/dev/ttyS*):sudo usermod -aG dialout posagent;sudo systemctl restart posagent",
		EN: "on USB: posctl profile udev | sudo tee /etc/udev/rules.d/70-dcpos.rules; sudo udevadm control --reload; plug it in again; the user has to be in group posagent. A serial port of the mainboard (/dev/ttyS*): sudo usermod -aG dialout posagent; sudo systemctl restart posagent",
	}
}

// closed lists the files by which the agent would reach a device and that may not be opened.
func (b Bench) closed(d sysfs.Device) []string {
	var out []string
	nodes := false
	for _, i := range d.Interface {
		for _, n := range i.Nodes {
			if n.Subsystem != "tty" && n.Subsystem != "hidraw" && n.Subsystem != "input" {
				continue
			}
			nodes = true
			if n.Access == sysfs.AccessNo {
				out = append(out, n.Path)
			}
		}
	}
	if !nodes && d.Access == sysfs.AccessNo {
		out = append(out, d.Node)
	}
	return out
}

// heldByKernel tells which device a driver of the kernel holds.
func heldByKernel(b Bench, plugged []sysfs.Device) []Finding {
	var out []Finding
	for _, d := range plugged {
		for _, i := range d.Interface {
			evidence := fmt.Sprintf("%s  %s:1.%d → %s", name(d), d.Port, i.Number, i.Driver)
			switch {
			case i.Driver == "usblp" && !b.works(d):
				out = append(out, Finding{
					Code: "usblp", Severity: Warning, Evidence: evidence,
					Text: pos.Text{ZH: "内核驱动 usblp 占用打印机", EN: "the kernel's usblp holds the printer"},
					Hint: pos.Text{
						ZH: "posagent 会自行接管;若其他程序(如 CUPS)也在使用,请停用它,或 posctl profile modprobe | sudo tee /etc/modprobe.d/dcpos.conf",
						EN: "posagent takes it over by itself; if another program (such as CUPS) uses it too, stop that, or: posctl profile modprobe | sudo tee /etc/modprobe.d/dcpos.conf",
					},
				})
			case strings.HasPrefix(i.Driver, "pn533"):
				out = append(out, pn533(Error, evidence))
			}
		}
	}
	return out
}

func pn533(s Severity, evidence string) Finding {
	return Finding{
		Code: "pn533", Severity: s, Evidence: evidence,
		Text: pos.Text{ZH: "内核模块 pn533 会占用读卡器", EN: "the kernel module pn533 takes the card reader"},
		Hint: pos.Text{
			ZH: "posctl profile modprobe | sudo tee /etc/modprobe.d/dcpos.conf;sudo modprobe -r pn533_usb pn533 nfc;重新插拔读卡器",
			EN: "posctl profile modprobe | sudo tee /etc/modprobe.d/dcpos.conf; sudo modprobe -r pn533_usb pn533 nfc; plug the reader in again",
		},
	}
}

// modules tells of a module that will take a reader that is plugged in later.
func modules(b Bench, plugged []sysfs.Device) []Finding {
	held := slices.ContainsFunc(plugged, func(d sysfs.Device) bool {
		return slices.ContainsFunc(d.Interface, func(i sysfs.Interface) bool { return strings.HasPrefix(i.Driver, "pn533") })
	})
	if held || !b.Tree.Module("pn533_usb") {
		return nil
	}
	return []Finding{pn533(Warning, "/sys/module/pn533_usb")}
}

// daemons tells which program of the system is in the way, or is missing.
func daemons(b Bench, plugged []sysfs.Device) []Finding {
	has := func(f func(sysfs.Interface) bool) (sysfs.Device, bool) {
		i := slices.IndexFunc(plugged, func(d sysfs.Device) bool { return slices.ContainsFunc(d.Interface, f) })
		if i < 0 {
			return sysfs.Device{}, false
		}
		return plugged[i], true
	}
	var out []Finding
	if d, cdc := has(func(i sysfs.Interface) bool { return i.Class == 0x02 }); cdc {
		if pid, runs := b.Tree.Program("ModemManager"); runs {
			out = append(out, Finding{
				Code: "modemmanager", Severity: Warning, Evidence: fmt.Sprintf("ModemManager, pid %d; %s", pid, name(d)),
				Text: pos.Text{ZH: "ModemManager 会向串口扫码枪发送 AT 命令", EN: "ModemManager sends AT commands to scanners on serial lines"},
				Hint: pos.Text{
					ZH: "安装 posctl profile udev 的规则(含 ID_MM_DEVICE_IGNORE),或 sudo systemctl disable --now ModemManager",
					EN: "install the rules of posctl profile udev (they say ID_MM_DEVICE_IGNORE), or: sudo systemctl disable --now ModemManager",
				},
			})
		}
	}
	if d, bridge := has(func(i sysfs.Interface) bool { return i.Class == 0xff }); bridge {
		if pid, runs := b.Tree.Program("brltty"); runs {
			out = append(out, Finding{
				Code: "brltty", Severity: Error, Evidence: fmt.Sprintf("brltty, pid %d; %s", pid, name(d)),
				Text: pos.Text{ZH: "brltty(盲文终端)会占用串口转换线", EN: "brltty (for Braille displays) takes serial adapters"},
				Hint: pos.Text{ZH: "sudo apt remove brltty,然后重新插拔", EN: "sudo apt remove brltty, then plug the adapter in again"},
			})
		}
	}
	if d, ccid := has(func(i sysfs.Interface) bool { return i.Class == 0x0b }); ccid && !b.works(d) {
		out = append(out, pcscd(b, d))
	}
	return out
}

func pcscd(b Bench, d sysfs.Device) Finding {
	if pid, runs := b.Tree.Program("pcscd"); runs {
		return Finding{
			Code: "pcscd", Severity: Info, Evidence: fmt.Sprintf("pcscd, pid %d; %s", pid, name(d)),
			Text: pos.Text{ZH: "读卡器由 pcscd 管理", EN: "pcscd has the card reader"},
			Hint: pos.Text{
				ZH: "posagent 经 pcscd 使用读卡器(transport.kind: pcsc);若要直接使用,请 sudo systemctl disable --now pcscd.socket pcscd",
				EN: "posagent uses the reader through pcscd (transport.kind: pcsc); to use it directly: sudo systemctl disable --now pcscd.socket pcscd",
			},
		}
	}
	return Finding{
		Code: "pcscd", Severity: Info, Evidence: name(d),
		Text: pos.Text{ZH: "没有运行 pcscd,读卡器将被直接使用", EN: "pcscd does not run; the reader is used directly"},
		Hint: pos.Text{ZH: "无需处理;只有配置为 transport.kind: pcsc 时才需 sudo apt install pcscd", EN: "nothing to do; only with transport.kind: pcsc: sudo apt install pcscd"},
	}
}

// strangers tells which plugged device nobody knows, or the agent cannot choose a profile for.
func strangers(b Bench, plugged []sysfs.Device) []Finding {
	var out []Finding
	for _, d := range plugged {
		if b.uses(d) || !devices.OfTill(d) {
			continue
		}
		c := profiles.Identify(devices.Seen(d))
		f := Finding{Severity: Warning, Evidence: d.Port + "  " + name(d)}
		_, certain := profiles.Certain(c)
		switch {
		case certain:
			continue
		case len(c) == 0:
			f.Code, f.Text = "unknown", pos.Text{ZH: "未知设备,没有型号文件", EN: "unknown device, there is no profile"}
			f.Hint = pos.Text{
				ZH: "posctl devices --draft " + d.ID() + " 生成型号文件草稿",
				EN: "posctl devices --draft " + d.ID() + " writes the draft of one",
			}
		default:
			f.Code, f.Severity, f.Text = "ambiguous", Info, pos.Text{ZH: "无法确定型号:" + c[0].Reason.Text().ZH, EN: "which model it is cannot be seen: " + c[0].Reason.Text().EN}
			f.Hint = pos.Text{
				ZH: "在 posagent.yaml 中写明型号,例如 profile: " + c[0].Profile,
				EN: "name the model in posagent.yaml, such as profile: " + c[0].Profile,
			}
		}
		out = append(out, f)
	}
	return out
}

// doubles tells of a second printer: only one prints receipts.
func doubles(b Bench, _ []sysfs.Device) []Finding {
	var names []string
	for _, d := range b.Devices {
		if d.Role == "printer" && d.State != devices.StateAbsent {
			names = append(names, d.Name)
		}
	}
	if len(names) < 2 {
		return nil
	}
	return []Finding{{
		Code: "two_printers", Severity: Warning, Evidence: strings.Join(names, ", "),
		Text: pos.Text{ZH: "有多台打印机,小票只在第一台打印", EN: "there are several printers; receipts come out of the first"},
		Hint: pos.Text{ZH: "在 posagent.yaml 的 printer 中指定小票打印机", EN: "name the one for receipts as printer in posagent.yaml"},
	}}
}
