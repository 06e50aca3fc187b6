package till

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"dcpos/lab/device"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// command is something that a person can make happen.
type command struct {
	group pos.Text // of the help; the first of a group names it
	usage string   // without the colon
	help  pos.Text
	do    func(ctx context.Context, args []string) error
}

// errUsage makes the command's own usage the error.
var errUsage = errors.New("usage")

// do scans a code, or carries out a command.
func (c *counter) do(ctx context.Context, line string) error {
	line = strings.TrimSpace(line)
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	text, ok := strings.CutPrefix(line, ":")
	if !ok {
		return c.scan(line, "")
	}
	fields := strings.Fields(text)
	for _, command := range c.commands() {
		if len(fields) == 0 || strings.Fields(command.usage)[0] != fields[0] {
			continue
		}
		err := command.do(ctx, fields[1:])
		if errors.Is(err, errUsage) {
			return fmt.Errorf("用法 usage: :%s – %s %s", command.usage, command.help.ZH, command.help.EN)
		}
		return err
	}
	return fmt.Errorf("%s: 未知命令 unknown command; :help", strconv.Quote(line))
}

// commands are all of them, in the order of the help.
func (c *counter) commands() []command {
	var all []command
	for _, some := range [][]command{c.scannerCommands(), c.printerCommands(), c.readerCommands(), c.benchCommands()} {
		all = append(all, some...)
	}
	return all
}

// either takes one of two words.
func either(args []string, yes, no string, set func(bool)) error {
	if len(args) != 1 || args[0] != yes && args[0] != no {
		return errUsage
	}
	set(args[0] == yes)
	return nil
}

// number takes a number from 0 on.
func number(args []string, set func(int)) error {
	if len(args) != 1 {
		return errUsage
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 0 {
		return errUsage
	}
	set(n)
	return nil
}

// one takes a text.
func one(args []string, f func(string) error) error {
	if len(args) == 0 {
		return errUsage
	}
	return f(strings.Join(args, " "))
}

func (c *counter) scannerCommands() []command {
	return []command{
		{
			group: pos.Text{ZH: "扫码枪", EN: "scanners"}, usage: "scan CODE",
			help: pos.Text{ZH: "串口扫码枪扫一码;直接输入条码回车也可", EN: "scan by the serial scanner; a code without a colon does the same"},
			do: func(_ context.Context, a []string) error {
				return one(a, func(s string) error { return c.scan(s, "") })
			},
		}, {
			usage: "frame cr|lf|crlf|tab|stx|none", help: pos.Text{ZH: "码后的结束符(stx:STX…ETX;none:无)", EN: "what ends a code (stx: STX before, ETX after; none: nothing)"},
			do: func(_ context.Context, a []string) error { return one(a, c.frame) },
		}, {
			usage: "aim on|off", help: pos.Text{ZH: "码前带 AIM 标识", EN: "the AIM identifier before each code"},
			do: func(_ context.Context, a []string) error {
				return either(a, "on", "off", func(on bool) {
					o := c.scanner.Options()
					o.AIM = on
					c.scanner.Set(o)
				})
			},
		}, {
			usage: "halves CODE", help: pos.Text{ZH: "一码分两半到达,间隔半秒", EN: "a code that comes in two halves, half a second apart"},
			do: func(ctx context.Context, a []string) error {
				return one(a, func(s string) error { return c.scanner.ScanSlowly(ctx, s, symbology(s), half) })
			},
		}, {
			usage: "garble CODE [SENT HEARD]", help: pos.Text{ZH: "波特率不符:默认扫码枪 115200,主机 9600", EN: "wrong speed: the scanner sends at SENT and the host hears at HEARD; 115200 and 9600 unless said"},
			do: func(_ context.Context, a []string) error { return c.garble(a) },
		}, {
			usage: "hidpos CODE", help: pos.Text{ZH: "HID-POS 扫码枪扫一码(先 :plug hidpos)", EN: "scan by the HID-POS scanner (:plug hidpos first)"},
			do: func(_ context.Context, a []string) error { return c.scanByHID("hidpos", a, c.hidpos.Scan) },
		}, {
			usage: "keyboard CODE", help: pos.Text{ZH: "键盘口扫码枪扫一码(先 :plug keyboard)", EN: "scan by the scanner that types (:plug keyboard first)"},
			do: func(_ context.Context, a []string) error { return c.scanByHID("keyboard", a, c.keyboard.Scan) },
		},
	}
}

// garble scans a code at a speed that the host does not listen at.
func (c *counter) garble(a []string) error {
	sent, heard := 115_200, 9600
	switch len(a) {
	case 1:
	case 3:
		var wrong1, wrong2 error
		sent, wrong1 = strconv.Atoi(a[1])
		heard, wrong2 = strconv.Atoi(a[2])
		if wrong1 != nil || wrong2 != nil || min(sent, heard) < 300 || max(sent, heard) > 4_000_000 {
			return errUsage
		}
	default:
		return errUsage
	}
	return c.scanner.Raw(device.UART{Baud: heard}.Hears([]byte(a[0]+c.scanner.Options().Suffix), sent))
}

func (c *counter) printerCommands() []command {
	p := c.printer
	// these are set by one of two words
	of := func(usage string, zh, en string, yes, no string, set func(bool)) command {
		return command{usage: usage, help: pos.Text{ZH: zh, EN: en}, do: func(_ context.Context, a []string) error {
			return either(a, yes, no, set)
		}}
	}
	list := []command{
		{
			group: pos.Text{ZH: "打印机", EN: "printer"}, usage: "paper out|in|MM",
			help: pos.Text{ZH: "缺纸、装纸,或只剩若干毫米", EN: "take the paper out, put a roll in, or leave so many millimetres"},
			do:   func(_ context.Context, a []string) error { return c.paper(a) },
		},
		of("near on|off", "纸将尽", "the roll is getting thin", "on", "off", p.SetNearEnd),
		of("cover open|shut", "上盖", "the cover", "open", "shut", p.SetCover),
		of("cutter stuck|free", "切刀卡住(主机可恢复)", "the cutter is in error (the host can free it)", "stuck", "free", p.SetCutterStuck),
		of("jam on|off", "切刀处卡纸,每次切纸都失败", "paper in the cutter: every cut fails until it is taken out", "on", "off", p.SetJam),
		of("stall on|off", "不收数据也不应答(死机)", "it takes no bytes and answers nothing, as one that hangs", "on", "off", p.SetStalled),
		of("silent on|off", "照打但不应答", "it prints and answers nothing", "on", "off", p.SetSilent),
		of("drawer open|shut", "钱箱", "the cash drawer, by hand", "open", "shut", p.SetDrawer),
		{
			usage: "slow BYTES|off", help: pos.Text{ZH: "每秒只收若干字节(9600 波特约 960)", EN: "takes so many bytes a second (9600 baud are about 960)"},
			do: func(_ context.Context, a []string) error {
				if len(a) == 1 && a[0] == "off" {
					a = []string{"0"}
				}
				return number(a, p.SetSpeed)
			},
		},
		{
			usage: "hangup BYTES", help: pos.Text{ZH: "再收若干字节后线被拔掉(:plug printer 接回)", EN: "the cable is pulled after so many more bytes (:plug printer puts it back)"},
			do: func(_ context.Context, a []string) error {
				return number(a, func(n int) { p.PullCableAfter(n, false) })
			},
		},
		{
			usage: "powercut BYTES", help: pos.Text{ZH: "再收若干字节后断电,缓存丢失", EN: "its power fails after so many more bytes, and what it held is lost"},
			do: func(_ context.Context, a []string) error { return number(a, func(n int) { p.PullCableAfter(n, true) }) },
		},
		{
			usage: "rip", help: pos.Text{ZH: "把已打出的纸撕下", EN: "rip off what has been printed"},
			do: none(func() error { p.Tear(); return nil }),
		},
	}
	return list
}

func none(f func() error) func(context.Context, []string) error {
	return func(_ context.Context, a []string) error {
		if len(a) != 0 {
			return errUsage
		}
		return f()
	}
}

func (c *counter) readerCommands() []command {
	return []command{
		{
			group: pos.Text{ZH: "读卡器", EN: "contactless reader"}, usage: "tap",
			help: pos.Text{ZH: "放上练习卡", EN: "hold the practice card to the reader"},
			do:   none(func() error { c.chip.Tap(c.card); return nil }),
		}, {
			usage: "wallet DIR [BEHAVIOUR]", help: pos.Text{ZH: "改拿 poslab wallet 的钱包卡(可指定异常行为)", EN: "take a wallet of poslab wallet in hand as a card, misbehaving if that is asked for"},
			do: func(_ context.Context, a []string) error { return c.carry(a) },
		}, {
			usage: "take", help: pos.Text{ZH: "拿走卡", EN: "take it away"},
			do: none(func() error { c.chip.Take(nil); return nil }),
		}, {
			usage: "tear after N", help: pos.Text{ZH: "放上卡,第 N 条指令执行后即被拿走,应答丢失", EN: "hold it there, but take it away after N commands: the last is acted on, its answer lost"},
			do: func(_ context.Context, a []string) error {
				if len(a) != 2 || a[0] != "after" {
					return errUsage
				}
				return number(a[1:], func(n int) {
					c.card.TearAfterAPDUs(n)
					c.chip.TapTorn(c.card)
				})
			},
		}, {
			usage: "reader dead|alive", help: pos.Text{ZH: "读卡器不应答", EN: "the reader answers nothing"},
			do: func(_ context.Context, a []string) error { return either(a, "dead", "alive", c.chip.Silence) },
		},
	}
}

// carry makes the card in hand one of a wallet.
func (c *counter) carry(a []string) error {
	if len(a) < 1 || len(a) > 2 {
		return errUsage
	}
	w, err := wallet.Open(a[0], wallet.Client{})
	if err != nil {
		return err
	}
	applet := w.Card(time.Now)
	if len(a) == 2 {
		f, err := wallet.ParseFault(a[1])
		if err != nil {
			return err
		}
		applet.Misbehave(f)
		if (f == wallet.Replays || f == wallet.Rewinds) && w.Counter() == 0 {
			c.say("它还没有可重复使用的承诺:先正常支付一笔 it has promised nothing yet that could be used again: let it pay honestly first")
		}
	}
	c.card = device.NewCard(device.CardOptions{
		Applications: []device.Application{{AID: []byte(wallet.AID), Label: "DCPOS", Priority: 1, Applet: applet}},
	})
	c.say("手持 in hand: %s %s (%s) %s", w.ID(), w.Name(), w.Institution(), strings.Join(a[1:], ""))
	return nil
}

func (c *counter) benchCommands() []command {
	names := make([]string, len(c.plugs))
	for i, p := range c.plugs {
		names[i] = p.name
	}
	which := strings.Join(names, "|")
	return []command{
		{
			group: pos.Text{ZH: "台面", EN: "the counter"}, usage: "unplug " + which,
			help: pos.Text{ZH: "拔线", EN: "pull the plug"},
			do: func(_ context.Context, a []string) error {
				return c.named(a, func(p *plug) error {
					_ = p.out() // what the model says about a host that hung up
					c.say("%s 已拔下 is unplugged", p.name)
					return nil
				})
			},
		},
		{
			usage: "plug " + which, help: pos.Text{ZH: "接回同一位置", EN: "put it back into the same socket"},
			do: func(ctx context.Context, a []string) error {
				return c.named(a, func(p *plug) error { return c.plugIn(ctx, p) })
			},
		},
		{
			usage: "show", help: pos.Text{ZH: "纸上已有的内容和各设备状态", EN: "what is on the paper so far, and how each device stands"},
			do: none(c.show),
		},
		{
			usage: "config", help: pos.Text{ZH: "posagent 配置片段", EN: "the part of posagent's configuration that names these devices"},
			do: none(c.tellConfig),
		},
		{
			usage: "wait 2s|receipt", help: pos.Text{ZH: "等待一段时间,或等下一张小票", EN: "wait so long, or for the next receipt; for scripts"},
			do: func(ctx context.Context, a []string) error {
				return one(a, func(s string) error { return c.wait(ctx, s) })
			},
		},
		{usage: "help", help: pos.Text{ZH: "本帮助", EN: "this help"}, do: none(c.help)},
		{usage: "quit", help: pos.Text{ZH: "结束", EN: "end"}, do: none(func() error { return errQuit })},
	}
}

// named finds the device of a command.
func (c *counter) named(args []string, f func(*plug) error) error {
	if len(args) != 1 {
		return errUsage
	}
	for _, p := range c.plugs {
		if p.name == args[0] {
			return f(p)
		}
	}
	return errUsage
}

func (c *counter) plugIn(ctx context.Context, p *plug) error {
	if err := p.in(ctx); err != nil {
		return err
	}
	if p.kernel == nil {
		c.say("%s 已接上 is plugged in: %s → %s", p.name, p.socket.Path, p.socket.Line())
		return nil
	}
	c.say("%s 已接上 is plugged in: %s", p.name, strings.Join(p.nodes(ctx), " "))
	return c.tellConfig()
}

// help lists the commands.
func (c *counter) help() error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, command := range c.commands() {
		if command.group.EN != "" {
			_, _ = fmt.Fprintf(w, "%s %s\n", command.group.ZH, command.group.EN)
		}
		_, _ = fmt.Fprintf(w, "  :%s\t%s\n\t%s\n", command.usage, command.help.ZH, command.help.EN)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	c.say("%s", strings.TrimRight(b.String(), "\n"))
	return nil
}

// paper takes the paper out, puts it in, or leaves some millimetres.
func (c *counter) paper(args []string) error {
	const dotsPerMM = 8 // 203 dpi
	if len(args) == 1 && (args[0] == "out" || args[0] == "in") {
		return either(args, "in", "out", c.printer.SetPaper)
	}
	return number(args, func(mm int) { c.printer.SetPaperLeft(min(mm, 100_000) * dotsPerMM) })
}
