package profiles

import (
	"fmt"
	"regexp"
)

var (
	hexID = regexp.MustCompile(`^[0-9a-f]{4}$`)
	plain = regexp.MustCompile(`^[A-Za-z0-9 ._+-]*$`) // goes into udev's rules as it stands
)

// identityRules are those of every device profile.
func identityRules(got, want Kind, products []Product, m Match, f Firmware) []rule {
	rules := []rule{oneOf("kind", got, want)}
	rules = append(rules, productRules(products)...)
	rules = append(rules, matchRules(m)...)
	if f != (Firmware{}) {
		rules = append(rules,
			oneOf("firmware.from", f.From, "gs_i", "bcd", "reader"),
			oneOf("firmware.compare", f.Compare, "hex", "dotted", "exact"),
			rule{"firmware.floor", f.Compare == "exact" || f.Floor == "" || numbers(f.Floor, f.Compare) != nil, "a version that firmware.compare can read"})
	}
	return rules
}

// onlyRecognised is a model of which nothing but its identity is known.
func (l Lineage) onlyRecognised() bool { return l.Unverified && l.Like == "" }

func (p Printer) rules() []rule {
	identity := append(identityRules(p.Kind, KindPrinter, p.Products, p.Match, p.Firmware),
		factRules(p.Facts, p, "match", "paper", "cjk", "status", "qr", "pictures", "cutter", "drawer", "buzzer", "lamp",
			"serial", "usb", "quirks", "timing", "firmware")...)
	if p.onlyRecognised() {
		return identity
	}
	rules := []rule{
		filled("driver", p.Driver),
		oneOf("cutter", p.Cutter, "none", "partial", "full", "partial_feed", "full_feed"),
		between("paper.width_mm", p.Paper.WidthMM, 40, 120),
		between("paper.dots", p.Paper.Dots, 200, 1000),
		{"paper.dots", p.Paper.Dots%8 == 0, "a multiple of 8"},
		between("paper.dpi", p.Paper.DPI, 150, 300),
		between("paper.columns", p.Paper.Columns, 16, 96),
		{"paper.columns", p.Paper.Columns*12 <= p.Paper.Dots, "columns of 12 dots that fit the dots"},
		oneOf("cjk.encoding", p.CJK.Encoding, "gb2312", "gbk", "gb18030", "none"),
		oneOf("cjk.around", p.CJK.Around, "job", "run"),
		{"cjk.on", p.CJK.On != "" || p.CJK.Encoding == "none" && !p.CJK.Ask, "bytes, unless cjk.encoding is none"},
		{"cjk.ask", !p.CJK.Ask || p.Status.GSI, "status.gs_i as well"},
		{"cjk.four_byte", !p.CJK.FourByte || p.CJK.Encoding == "gb18030", "cjk.encoding gb18030 as well"},
		{"cjk.off", p.CJK.Around != "run" || p.CJK.Off != "", "bytes, because cjk.around is run"},
		between("quirks.max_raster_rows", p.Quirks.MaxRasterRows, 24, 960),
		between("quirks.chunk_bytes", p.Quirks.ChunkBytes, 16, 4096),
		between("quirks.chunk_delay_ms", p.Quirks.ChunkDelayMS, 0, 1000),
		between("quirks.avoid_row_multiple", p.Quirks.AvoidRowMultiple, 0, 255),
		between("quirks.pad_rows", p.Quirks.PadRows, 0, 8),
		between("quirks.cut_feed_lines", p.Quirks.CutFeedLines, 0, 12),
		between("timing.answer_ms", p.Timing.AnswerMS, 50, 10_000),
		between("timing.offline_ms", p.Timing.OfflineMS, 500, 60_000),
		between("timing.write_ms", p.Timing.WriteMS, 500, 60_000),
		between("timing.confirm_ms", p.Timing.ConfirmMS, 500, 60_000),
		{"timing.offline_ms", p.Timing.OfflineMS >= p.Timing.AnswerMS, "at least timing.answer_ms"},
		{"status.asb", !p.Status.ASB || p.Status.DLEEOT, "status.dle_eot as well"},
		{"status.resume", !p.Status.Resume || p.Status.ASB && (p.Status.GSH || p.Status.GSR), "status.asb, and status.gs_h or status.gs_r, as well"},
		oneOf("pictures", p.Pictures, "", "raster", "graphics", "column"),
		oneOf("buzzer", p.Buzzer, "", "none", "esc_b"),
		oneOf("lamp", p.Lamp, "", "none", "esc_c"),
		{"qr.max_module", !p.QR.Native && p.QR.MaxModule == 0 || p.QR.Native && p.QR.MaxModule >= 3 && p.QR.MaxModule <= 16, "3 to 16 with qr.native, else absent"},
	}
	if p.Drawer.Connector {
		rules = append(rules,
			rule{"drawer.pin", p.Drawer.Pin == 2 || p.Drawer.Pin == 5, "2 or 5"},
			between("drawer.on_ms", p.Drawer.OnMS, 20, 510),
			between("drawer.off_ms", p.Drawer.OffMS, 20, 510),
			oneOf("drawer.open_level", p.Drawer.OpenLevel, "high", "low", "unknown"))
	}
	return append(append(identity, rules...), serialRules(p.Serial)...)
}

func (s Scanner) rules() []rule {
	identity := append(identityRules(s.Kind, KindScanner, s.Products, s.Match, s.Firmware),
		factRules(s.Facts, s, "match", "serial", "framing", "trigger", "hid", "keyboard", "firmware")...)
	if s.onlyRecognised() {
		return identity
	}
	rules := []rule{
		filled("driver", s.Driver),
		{"framing.end", len(s.Framing.End) > 0 || s.Framing.IdleMS > 0 || s.Framing.Learn || s.Driver == "hidpos-scanner", "an end, idle_ms or learn (only reports of HID-POS end by themselves)"},
		{"framing.learn", !s.Framing.Learn || len(s.Framing.End) == 0 && s.Framing.IdleMS == 0 && s.Framing.Prefix == "", "no end, idle_ms and prefix beside it"},
		oneOf("hid.symbology", s.HID.Symbology, "", "honeywell"),
		between("hid.feature", len(s.HID.Feature), 0, 64),
		oneOf("keyboard.alt_codes", s.Keyboard.AltCodes, "", "gbk", "unicode"),
		between("framing.idle_ms", s.Framing.IdleMS, 0, 1000),
		between("framing.max_bytes", s.Framing.MaxBytes, 16, 8192),
		between("framing.stale_ms", s.Framing.StaleMS, 500, 30_000),
		{"framing.stale_ms", s.Framing.StaleMS > s.Framing.IdleMS, "more than framing.idle_ms"},
		between("framing.prefix", len(s.Framing.Prefix), 0, 8),
	}
	for i, end := range s.Framing.End {
		rules = append(rules, between(fmt.Sprintf("framing.end.%d", i), len(end), 1, 4))
	}
	for i, b := range s.HID.Feature {
		rules = append(rules, between(fmt.Sprintf("hid.feature.%d", i), b, 0, 255))
	}
	return append(append(identity, rules...), serialRules(s.Serial)...)
}

func (l LineDisplay) rules() []rule {
	identity := append(identityRules(l.Kind, KindDisplay, l.Products, l.Match, l.Firmware),
		factRules(l.Facts, l, "match", "language", "labels", "select", "serial", "size", "cjk", "firmware")...)
	if l.onlyRecognised() {
		return identity
	}
	rules := []rule{
		filled("driver", l.Driver),
		oneOf("language", l.Language, "epson-dm", "cd5220", "led8"),
		oneOf("labels", l.Labels, "", "none", "esc_s", "stx_l"),
		{"labels", l.Labels == "" || l.Labels == "none" || l.Language == "led8", "none, because language is not led8"},
		{"size.columns", l.Language != "led8" || l.Size == (DisplaySize{8, 1}), "8 columns and 1 row, because language is led8"},
		{"size.rows", l.Language != "cd5220" || l.Size.Rows <= 2, "1 or 2, because language is cd5220"},
		between("size.columns", l.Size.Columns, 4, 40),
		between("size.rows", l.Size.Rows, 1, 4),
		oneOf("cjk.encoding", l.CJK.Encoding, "none", "gbk", "gb18030"),
	}
	return append(append(identity, rules...), serialRules(l.Serial)...)
}

func (c Class) rules() []rule {
	rules := []rule{
		oneOf("kind", c.Kind, KindClass),
		filled("title.zh", c.Title.ZH),
		filled("title.en", c.Title.EN),
		oneOf("screen.layout", c.Screen.Layout, "cashier", "kiosk", "handheld", "twin", "none"),
		oneOf("screen.language", c.Screen.Language, "zh", "en"),
		between("screen.idle_reset_s", c.Screen.IdleResetS, 0, 3600),
		oneOf("defaults.receipt", c.Defaults.Receipt, "always", "ask", "never"),
	}
	for i, d := range c.Devices {
		at := fmt.Sprintf("devices.%d.", i)
		rules = append(rules, filled(at+"role", d.Role), oneOf(at+"kind", d.Kind, DeviceKinds()...),
			rule{at + "profiles", len(d.Profiles) > 0, "at least one profile"})
	}
	return rules
}

func productRules(products []Product) []rule {
	rules := []rule{{"products", len(products) > 0, "at least one product"}}
	for i, p := range products {
		at := fmt.Sprintf("products.%d.", i)
		rules = append(rules, filled(at+"brand", p.Brand), filled(at+"model", p.Model))
	}
	return rules
}

func matchRules(m Match) []rule {
	var rules []rule
	for i, u := range m.USB {
		at := fmt.Sprintf("match.usb.%d.", i)
		rules = append(rules,
			rule{at + "vid", u.VID == "*" || hexID.MatchString(u.VID), "four hex digits in lower case, quoted, or \"*\""},
			rule{at + "pid", u.PID == "*" || hexID.MatchString(u.PID), "four hex digits in lower case, quoted, or \"*\""},
			rule{at + "pid", u.VID != "*" || u.PID == "*", "\"*\", because vid is"},
			oneOf(at+"as", u.As, "", AsPrinter, AsHIDPOS, AsKeyboard, AsCDC, AsBridge, AsCCID, AsVendor),
			rule{at + "as", u.VID != "*" || u.As != "" && u.As != AsVendor && u.As != AsBridge, "printer, hid-pos, keyboard, cdc or ccid, because vid is \"*\""},
			rule{at + "product", plain.MatchString(u.Product), "letters, digits, spaces and ._+-"},
			rule{at + "serial", plain.MatchString(u.Serial), "letters, digits, spaces and ._+-"},
			rule{at + "bcd", u.BCD == "" || hexID.MatchString(u.BCD), "four hex digits in lower case, quoted"})
	}
	for i, g := range m.GSI {
		rules = append(rules, filled(fmt.Sprintf("match.gs_i.%d.model", i), g.Model))
	}
	return rules
}

func serialRules(s Serial) []rule {
	if s == (Serial{}) {
		return nil
	}
	return []rule{
		between("serial.baud", s.Baud, 300, 4_000_000),
		between("serial.bits", s.Bits, 7, 8),
		oneOf("serial.parity", s.Parity, "none", "even", "odd"),
		between("serial.stop", s.Stop, 1, 2),
		oneOf("serial.flow", s.Flow, "none", "dtr", "xonxoff"),
	}
}
