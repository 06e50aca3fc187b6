package framing

import (
	"bytes"
	"fmt"

	"dcpos/drivers/scanner/symbology"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

// Finding is what is wrong with how a scanner is set; the zero value is nothing.
type Finding struct {
	Name string // one word for logs, such as wrong_baud; empty for nothing
	Byte byte   // the control byte that stands before each code, where the finding is of one
}

// The names of the findings.
const (
	wrongSpeed    = "wrong_baud"     // bytes come, but they are noise
	missingEnd    = "missing_suffix" // bytes come, but nothing ends a code
	countedPrefix = "prefix_in_data" // each code begins with the same control byte
	countedAIM    = "aim_in_data"    // each code begins with an AIM identifier
	countedReturn = "return_in_data" // each code ends with a CR that is not taken off
	missingPrefix = "prefix_missing" // no code has the prefix of the profile
	nothingFits   = "unknown_keys"   // codes have bytes that no code has
)

// inARow is how many codes or bursts have to be alike before anything is said.
const inARow = 3

// doctor finds out from codes what is set wrongly. It only listens; each code that is well
// ends its finding.
type doctor struct {
	found string // the finding's name
	byte0 byte   // the control byte of countedPrefix

	controls, aims, returns, unprefixed, strange int // in a row
}

// finding is what is wrong, as far as it is sure.
func (d *doctor) finding() Finding {
	f := Finding{Name: d.found}
	if d.found == countedPrefix {
		f.Byte = d.byte0
	}
	return f
}

// code hears of a code as it came, with prefix and AIM identifier; well: it could be opened.
// Codes of binary contents say nothing, they are refused one by one.
func (d *doctor) code(raw []byte, r profiles.Framing, well bool) {
	control := raw[0] < 0x20 && broken(raw[:1]) == 0
	sign := func(count *int, is bool, name string) bool {
		switch {
		case !is:
			*count = 0
			return false
		case len(raw) < shortest: // may be a crumb of noise
			return true
		}
		if *count++; *count >= inARow {
			d.found = name
		}
		return true
	}
	if control && d.byte0 != raw[0] {
		d.byte0, d.controls = raw[0], 0
	}
	unknown := sign(&d.controls, control && r.Prefix == "" && plain(raw[1:]), countedPrefix)
	unknown = sign(&d.aims, !r.AIM && symbology.IsAIM(raw), countedAIM) || unknown
	unknown = sign(&d.returns, bytes.HasSuffix(raw, []byte("\r")), countedReturn) || unknown
	unknown = sign(&d.unprefixed, r.Prefix != "" && !bytes.Contains(raw, []byte(r.Prefix)) && plain(raw), missingPrefix) || unknown
	switch {
	case unknown:
	case well:
		*d = doctor{}
	case plain(raw):
		sign(&d.strange, true, nothingFits)
	}
}

// Text says the finding in two languages, and what to do about it. port is where the
// scanner hangs.
func (f Finding) Text(port string) (text, hint pos.Text) {
	switch f.Name {
	case wrongSpeed:
		return pos.Text{ZH: "扫码枪有数据,但不是条码内容", EN: "the scanner sends data that is no code"},
			pos.Text{
				ZH: "多半是波特率不一致:本机为 " + port + "。请按扫码枪说明书设成相同的波特率(8N1),或在 posagent.yaml 中该设备的 transport 写 baud: 115200(扫码枪的实际值);若波特率无误,请扫说明书中“后缀:回车 (CR)”设置码",
				EN: "most likely the baud rates differ: this till listens at " + port + ". Set the scanner to that (8N1) by its manual, or write what the scanner is set to, such as baud: 115200, in its transport in posagent.yaml; if they are equal, scan \"suffix CR\" of its manual",
			}
	case missingEnd:
		return pos.Text{ZH: "扫码枪有数据,但条码没有结束符", EN: "the scanner sends data, but nothing ends a code"},
			pos.Text{
				ZH: "请扫描说明书中“后缀:回车 (CR)”设置码,或在 posagent.yaml 将该扫码枪写为 profile: serial-auto",
				EN: "scan \"suffix CR\" of the scanner's manual, or name it profile: serial-auto in posagent.yaml",
			}
	case countedPrefix:
		return pos.Text{
				ZH: fmt.Sprintf("每个条码前都有控制字符 %02X", f.Byte),
				EN: fmt.Sprintf("every code begins with the control byte %02X", f.Byte),
			},
			pos.Text{
				ZH: fmt.Sprintf(`请用说明书的设置码关闭前缀,或在型号文件写 framing.prefix: "\x%02x",或用 serial-auto`, f.Byte),
				EN: fmt.Sprintf(`switch the prefix off by the scanner's manual, or write framing.prefix: "\x%02x" in the profile, or use serial-auto`, f.Byte),
			}
	case countedAIM:
		return pos.Text{ZH: "条码前的 AIM 标识(如 ]Q1)被当作内容", EN: "the AIM identifier (such as ]Q1) is counted into the code"},
			pos.Text{ZH: "请在型号文件写 framing.aim: true,或用 serial-auto", EN: "write framing.aim: true in the profile, or use serial-auto"}
	case countedReturn:
		return pos.Text{ZH: "每个条码末尾多一个回车符 (CR)", EN: "every code ends with a CR that is counted in"},
			pos.Text{ZH: `请在型号文件写 framing.end: ["\r", "\n"],或用 serial-auto`, EN: `write framing.end: ["\r", "\n"] in the profile, or use serial-auto`}
	case missingPrefix:
		return pos.Text{ZH: "条码前没有型号文件规定的前缀", EN: "codes come without the prefix that the profile wants"},
			pos.Text{ZH: "请用说明书的设置码打开前缀,或清空型号文件的 framing.prefix", EN: "switch the prefix on by the scanner's manual, or empty framing.prefix in the profile"}
	case nothingFits:
		return pos.Text{ZH: "条码内有无法识别的字符", EN: "codes have characters that no code has"},
			pos.Text{
				ZH: "请扫一件普通商品的条码;若仍如此,恢复扫码枪出厂设置,并确认键盘语言为美国英语",
				EN: "scan an ordinary goods code; if it is the same, reset the scanner to its factory settings and its keyboard country to USA",
			}
	}
	return pos.Text{}, pos.Text{}
}
