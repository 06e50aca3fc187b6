package escpos

import (
	"context"
	"errors"
	"fmt"

	"dcpos/drivers"
	"dcpos/drivers/escpos/answer"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

// Questions of GS I n (1D 49 n).
const (
	askType     = 2 // one byte; bit 0: it has two-byte characters
	askFirmware = 65
	askMaker    = 66
	askModel    = 67
	askFont     = 69 // which two-byte characters
)

// identify asks maker, model, firmware and font where the profile says that they are
// told, one question after the other. A printer that keeps silent is none the worse.
func (p *Printer) identify(ctx context.Context, l *link) {
	if !p.profile.Status.GSI {
		return
	}
	maker, model, firmware := p.askText(ctx, l, askMaker), p.askText(ctx, l, askModel), p.askText(ctx, l, askFirmware)
	told := ""
	if p.profile.CJK.Ask {
		told = p.askEncoding(ctx, l)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.info.Maker, p.info.Model, p.info.Firmware, p.told = maker, model, firmware, told
	p.info.Chinese = p.profile.CJK.Encoding
	if told != "" {
		p.info.Chinese = told
	}
}

func (p *Printer) askText(ctx context.Context, l *link, n byte) string {
	a, err := l.ask(ctx, []byte{0x1d, 'I', n}, p.profile.Timing.Answer(), func(a answer.Answer) bool {
		return a.Kind == answer.Block && a.Data[0] == 0x5F
	})
	if err != nil {
		return ""
	}
	return string(a.Data[1:])
}

// askEncoding asks which font of two-byte characters there is; empty when the printer
// does not say.
func (p *Printer) askEncoding(ctx context.Context, l *link) string {
	if font := p.askText(ctx, l, askFont); font != "" {
		return encodingOf(font)
	}
	a, err := l.ask(ctx, []byte{0x1d, 'I', askType}, p.profile.Timing.Answer(), isKind(answer.Plain))
	if err == nil && a.Data[0]&0x01 == 0 {
		return noFont
	}
	return ""
}

// encodingOf is the encoding that belongs to an answer of GS I 69 (Epson's TM-J2000
// manual, p. 469: also TAIWAN BIG-5, KANJI JAPANESE, KOREA C-5601C, THAI 3 PASS). Fonts of
// other scripts have Chinese characters at other codes, or none: lines are then drawn.
func encodingOf(font string) string {
	switch font {
	case "CHINA GB18030":
		return gb18030
	case "CHINA GBK":
		return "gbk"
	case "CHINA GB2312":
		return gb2312
	}
	return noFont
}

// model is the profile with what the printer itself has told.
func (p *Printer) model() profiles.Printer {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.profile
	if p.told != "" {
		m.CJK.Encoding = p.told
		m.CJK.FourByte = m.CJK.FourByte && p.told == gb18030
	}
	return m
}

// askStar asks a printer of Star's language for its status (ESC ACK SOH); one of ESC/POS
// knows no such command and says nothing.
const askStar = "\x1b\x06\x01"

// otherLanguage finds out whether a printer that does not answer in ESC/POS answers in
// another language; empty: it does not.
func (p *Printer) otherLanguage(ctx context.Context, l *link, err error) string {
	if !errors.Is(err, errSilent) || l.write(ctx, []byte(askStar), p.profile.Timing.Answer()) != nil {
		return ""
	}
	_, _ = l.await(ctx, p.profile.Timing.Answer(), func(answer.Answer) bool { return language(l.recent()) != "" }) // silence is an answer too
	return language(l.recent())
}

// language tells from the first bytes that a printer sent which language other than
// ESC/POS it speaks: a report of Star's, whose length is in its first byte, or a status of
// Seiko's. Masks: receiptio lib/receiptio.js.
func language(heard []byte) string {
	switch {
	case len(heard) == 0:
		return ""
	case heard[0]&0xF0 == 0xB0:
		return "SII"
	case heard[0]&0x91 == 0x01 && starLength(heard[0]) <= len(heard):
		return "Star"
	}
	return ""
}

// starLength is how long a report of Star's is at least, by its first byte (some models
// add two bytes more). Shorter than its shortest, with cover, errors and paper, is none.
func starLength(first byte) int {
	const shortest = 7
	n := int(first>>2&0x18 | first>>1&0x07)
	if n < shortest {
		return maxRecent + 1
	}
	return n
}

// foreign is the trouble of a printer that speaks another language.
func (p *Printer) foreign(language string) error {
	return &pos.Error{
		Code: pos.ErrPrinter,
		Text: pos.Text{ZH: "打印机使用的是 " + language + " 指令,不是 ESC/POS", EN: "The printer speaks " + language + ", not ESC/POS"},
		Hint: pos.Text{
			ZH: "请在打印机设置(拨码开关或厂家工具)中改为 ESC/POS 模式,然后重新开机",
			EN: "Switch it to ESC/POS emulation (DIP switch or the maker's tool), then switch it off and on",
		},
		Err: fmt.Errorf("enable %s: it speaks %s: %w", p.name, language, drivers.ErrIllegal),
	}
}
