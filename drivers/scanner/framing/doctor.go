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

// How much has to be seen before anything is said.
const (
	inARow         = 3  // codes alike
	noiseInARow    = 2  // pieces of noise, or halves
	noiseInHundred = 20 // so many bad bytes in a hundred are noise
)

// doctor finds out from what comes in what is set wrongly. It only listens; each code
// that is well ends its finding.
type doctor struct {
	found string // the finding's name
	byte0 byte   // the control byte of countedPrefix

	halves, noise, controls, aims, returns, unprefixed, strange int // in a row
}

// finding is what is wrong, as far as it is sure.
func (d *doctor) finding() Finding {
	f := Finding{Name: d.found}
	if d.found == countedPrefix {
		f.Byte = d.byte0
	}
	return f
}

// half hears of bytes that no end came for.
func (d *doctor) half(b []byte) {
	if noisy(b) {
		d.noisy()
		return
	}
	if d.halves++; d.halves >= noiseInARow {
		d.found = missingEnd
	}
}

func (d *doctor) noisy() {
	if d.noise++; d.noise >= noiseInARow {
		d.found = wrongSpeed
	}
}

// code hears of a code as it came, with prefix and AIM identifier; well: it could be opened.
func (d *doctor) code(raw []byte, r profiles.Framing, well bool) {
	d.halves = 0
	control := raw[0] < 0x20 && broken(raw[:1]) == 0
	sign := func(count *int, is bool, name string) bool {
		if !is {
			*count = 0
			return false
		}
		if *count++; *count >= inARow {
			d.found = name
		}
		return true
	}
	if control && d.byte0 != raw[0] {
		d.byte0, d.controls = raw[0], 0
	}
	unknown := sign(&d.controls, control && r.Prefix == "" && !noisy(raw[1:]), countedPrefix)
	unknown = sign(&d.aims, !r.AIM && symbology.IsAIM(raw), countedAIM) || unknown
	unknown = sign(&d.returns, bytes.HasSuffix(raw, []byte("\r")), countedReturn) || unknown
	unknown = sign(&d.unprefixed, r.Prefix != "" && !bytes.Contains(raw, []byte(r.Prefix)) && !noisy(raw), missingPrefix) || unknown
	switch {
	case unknown:
	case well:
		*d = doctor{}
	case noisy(raw):
		d.noisy()
	default:
		sign(&d.strange, true, nothingFits)
	}
}

// noisy reports whether bytes look like those of another baud rate: many that no code has.
func noisy(b []byte) bool {
	bad := 0
	for i, c := range b {
		if c < 0x20 && broken(b[i:i+1]) == 0 || c == 0x7f || c == 0xff {
			bad++
		}
	}
	if bad == 0 && broken(b) >= 0 { // neither UTF-8 nor GB 18030
		for _, c := range b {
			if c >= 0x80 {
				bad++
			}
		}
	}
	return bad*100 > len(b)*noiseInHundred
}

// Text says the finding in two languages, and what to do about it. port is where the
// scanner hangs.
func (f Finding) Text(port string) (text, hint pos.Text) {
	switch f.Name {
	case wrongSpeed:
		return pos.Text{ZH: "扫码枪有数据,但不是条码内容", EN: "the scanner sends data that is no code"},
			pos.Text{
				ZH: "波特率可能不一致:本机为 " + port + ",请按扫码枪说明书改为相同波特率,或修改本机设备配置",
				EN: "the baud rates differ: this till listens at " + port + "; set the scanner to that by its manual, or change this till's device configuration",
			}
	case missingEnd:
		return pos.Text{ZH: "扫码枪有数据,但条码没有结束符", EN: "the scanner sends data, but nothing ends a code"},
			pos.Text{
				ZH: "请扫描说明书中“后缀:回车 (CR)”设置码,或将设备型号改为 serial-auto",
				EN: "scan \"suffix CR\" of the scanner's manual, or use the profile serial-auto",
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
			pos.Text{ZH: "请恢复扫码枪出厂设置,并确认键盘语言为美国英语", EN: "reset the scanner to its factory settings and its keyboard country to USA"}
	}
	return pos.Text{}, pos.Text{}
}
