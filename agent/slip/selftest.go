package slip

import (
	"fmt"
	"strings"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/receipt"
)

// SelfTestInfo is what a self-test ticket tells of the till and its printer.
type SelfTestInfo struct {
	Shop     Shop
	Version  string                 // of the agent
	Printer  drivers.DeviceInfo     // as it has identified itself
	Columns  int                    // of the paper, as the profile says
	Status   *drivers.PrinterStatus // nil: not asked
	Logo     []byte                 // a PNG; empty: none
	OpenTill bool                   // give the drawer's pulse as well
	At       time.Time
}

// SelfTest is a ticket that shows whether a printer prints all that receipts need: who
// it is, Chinese of every kind of character, all sizes, a ruler across the whole width, a
// QR code, and the cut. What to look for stands beside each part, in two languages.
func SelfTest(info SelfTestInfo) receipt.Receipt {
	r := receipt.New()
	if len(info.Logo) > 0 {
		r.Add(receipt.Image(info.Logo), receipt.Feed(1))
	}
	r.Add(receipt.Title("打印机自检"), receipt.Centered("Printer self-test"))
	if notice := info.Shop.Env.Notice(); !notice.IsZero() {
		r.Add(receipt.Text(notice.Both(), receipt.Style{Bold: true, Align: receipt.Center, Invert: true}))
	}
	r.Add(receipt.DoubleRule())
	addIdentity(&r, info)
	addStatus(&r, info.Status)
	addSamples(&r, info.Columns)
	code := strings.TrimSpace(info.Shop.Terminal + " " + info.At.Format(timeForm))
	r.Add(receipt.Rule(), receipt.Centered("扫码应读出 The code reads"), receipt.Centered(code), receipt.QR(code))
	r.Add(receipt.DoubleRule(), receipt.Centered("此行下方切纸 Cut below this line"), receipt.Feed(1))
	if info.OpenTill {
		r.Add(receipt.KickDrawer())
	}
	r.Add(receipt.Cut())
	return r
}

func addIdentity(r *receipt.Receipt, info SelfTestInfo) {
	pair := func(name, value string) {
		if value != "" {
			r.Add(receipt.Pair(name, value))
		}
	}
	p := info.Printer
	pair("门店 Store", info.Shop.Store)
	pair("终端 Terminal", info.Shop.Terminal)
	pair("程序 Agent", info.Version)
	pair("型号文件 Profile", p.Profile)
	pair("厂家 Maker", p.Maker)
	pair("型号 Model", p.Model)
	pair("固件 Firmware", p.Firmware)
	pair("端口 Port", p.Port)
	pair("中文 Chinese", chinese(p.Chinese))
	pair("时间 Time", info.At.Format(timeForm))
}

// chinese says how Chinese gets onto the paper.
func chinese(encoding string) string {
	switch encoding {
	case "":
		return ""
	case "none":
		return "图形 drawn"
	}
	return "字库 font " + strings.ToUpper(encoding)
}

// addStatus tells what the printer has answered; what it left open is shown as such.
func addStatus(r *receipt.Receipt, s *drivers.PrinterStatus) {
	if s == nil {
		return
	}
	r.Add(receipt.Rule())
	word := map[drivers.Tri]string{drivers.Yes: "是 yes", drivers.No: "否 no", drivers.Unknown: "未答 not told"}
	for _, q := range []struct {
		name string
		is   drivers.Reading
	}{
		{"联机 Online", s.Online},
		{"盖子打开 Cover open", s.CoverOpen},
		{"纸用完 Paper end", s.PaperEnd},
		{"纸将尽 Paper near end", s.PaperNearEnd},
		{"切刀故障 Cutter error", s.CutterError},
		{"钱箱开 Drawer open", s.DrawerOpen},
	} {
		r.Add(receipt.Pair(q.name, word[q.is.Value]))
	}
}

// addSamples shows what goes wrong on a printer with a wrong profile: width, sizes,
// characters of each font, signs that share codes with others.
func addSamples(r *receipt.Receipt, columns int) {
	r.Add(receipt.Rule(), receipt.Text("标尺须到两边 Ruler edge to edge"), receipt.Text(ruler(columns)))
	r.Add(receipt.Text("常用字:数字人民币,王府井,元角分"), receipt.Text("GBK:镕 堃 喆 珺 龘"), receipt.Text("生僻字 rare:𠮷 㙍"),
		receipt.Text("符号 signs:¥12.00 ￥12.00 € ℃ № √ “”·—"), receipt.Text("Latin: The quick brown fox 0123456789"))
	for _, s := range []struct {
		name string
		size receipt.Size
	}{{"正常 normal", receipt.Normal}, {"倍高 tall", receipt.Tall}, {"倍宽 wide", receipt.Wide}, {"大 double", receipt.Double}} {
		r.Add(receipt.Text(s.name, receipt.Style{Size: s.size}))
	}
	r.Add(receipt.Text("加粗 bold", receipt.Style{Bold: true}), receipt.Text("反白 inverted", receipt.Style{Invert: true}),
		receipt.Pair("左 left", "右 right"), receipt.Centered("中 centre"))
}

// ruler is one line of exactly that many columns, with its tens.
func ruler(columns int) string {
	var b strings.Builder
	for i := 1; i <= columns; i++ {
		if i%10 == 0 {
			fmt.Fprint(&b, i/10%10)
		} else {
			b.WriteByte('.')
		}
	}
	return b.String()
}
