package statement

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"

	"dcpos/pos"
)

// statementFile is one statement while it is read: what its header and trailer promise, and
// what its details came to.
type statementFile struct {
	d        *Description
	from, to int32 // the days that it may hold, yyyymmdd
	promised []control

	mu       sync.Mutex
	got      controls
	trailers int
	trailer  int64 // where it begins
	last     int64 // where the last detail begins
	rejected int64
}

// control is one promised number.
type control struct {
	part, name string
	want       int64
}

// named names the number for a person.
func (c control) named() pos.Text {
	zh := map[string]string{
		"header": "首行", "trailer": "尾行", "count": "笔数", "success_count": "成功笔数", "refund_count": "退款笔数", "amount": "金额合计",
		"success_amount": "成功金额", "refund_amount": "退款金额", "net_amount": "净额", "fee": "手续费",
	}
	return pos.Text{ZH: zh[c.part] + "的" + zh[c.name], EN: c.part + " says " + strings.ReplaceAll(c.name, "_", " ")}
}

// value is such a number: lines, or money.
func (c control) value(n int64) string {
	if strings.HasSuffix(c.name, "count") {
		return strconv.FormatInt(n, 10)
	}
	return "¥" + pos.Money(n).String()
}

// controls are what details come to; refunds count positive.
type controls struct {
	count, successes, refunds, amount, success, refund, fee int64
	digest                                                  uint64 // sum of the lines' hashes
}

func (c *controls) add(o *controls) {
	c.count += o.count
	c.successes += o.successes
	c.refunds += o.refunds
	c.amount += o.amount
	c.success += o.success
	c.refund += o.refund
	c.fee += o.fee
	c.digest += o.digest
}

func (c *controls) named(name string) int64 {
	return map[string]int64{
		"count": c.count, "success_count": c.successes, "refund_count": c.refunds, "amount": c.amount,
		"success_amount": c.success, "refund_amount": c.refund, "net_amount": c.success - c.refund, "fee": c.fee,
	}[name]
}

var digestSeed = maphash.MakeSeed()

func (d *Description) format() Format { return describedFormat{d} }

type describedFormat struct{ d *Description }

// Name is the description's.
func (f describedFormat) Name() string { return f.d.Name }

// Header reads the header line: the days of the file, and any totals it promises.
func (f describedFormat) Header(line []byte) (Layout, *Fault) {
	s := &statementFile{d: f.d, trailer: -1, last: -1}
	p := &describedParser{file: s, d: f.d}
	if !bytes.HasPrefix(line, f.d.Header.mark) {
		return nil, lineFault("the header line begins with %s, want %s: is this a statement of the format %s?",
			"首行以 %s 开头,应为 %s:文件是否为 %s 格式?", shown(line[:min(len(line), 20)]), shown(f.d.Header.mark), f.d.Name)
	}
	if fault := p.part(line, &f.d.Header); fault != nil {
		return nil, fault
	}
	if fault := s.days(p); fault != nil {
		return nil, fault
	}
	return s, s.promise("header", p, &f.d.Header)
}

func (s *statementFile) days(p *describedParser) *Fault {
	for _, day := range []struct {
		name string
		to   []*int32
	}{{"date", []*int32{&s.from, &s.to}}, {"from", []*int32{&s.from}}, {"to", []*int32{&s.to}}} {
		c, ok := s.d.Header.Columns[day.name]
		if !ok {
			continue
		}
		field := p.field(&c)
		v, ok := parseDate(c.Form, field, 0)
		if !ok || c.Form == "MMdd" {
			return p.fault(day.name, &c, "%s is not a date (%s)", "%s 不是日期(%s)", shown(field), c.Form)
		}
		for _, to := range day.to {
			*to = v
		}
	}
	if s.from > s.to {
		return lineFault("the header's days run from %d to %d", "首行的日期为 %d 至 %d", s.from, s.to)
	}
	return nil
}

// promise notes the totals that a header or trailer states.
func (s *statementFile) promise(part string, p *describedParser, of *Part) *Fault {
	for _, name := range controlColumns {
		c, ok := of.Columns[name]
		if !ok || name == "date" || name == "from" || name == "to" {
			continue
		}
		field := p.field(&c)
		var v int64
		if strings.HasSuffix(name, "count") {
			var n uint64
			n, ok = number(narrow(trimmed(field), &p.digits))
			v = int64(n)
		} else {
			var m pos.Money
			m, ok = c.parseMoney(field, &p.digits)
			v = int64(m)
		}
		if !ok {
			return p.fault(name, &c, "%s is not a number as the format writes it", "%s 不是该格式的数字", shown(field))
		}
		s.promised = append(s.promised, control{part, name, v})
	}
	return nil
}

// NewParser is for one worker.
func (s *statementFile) NewParser() Parser { return &describedParser{file: s, d: s.d} }

// Verify compares what was read with what header and trailer promise. With lines set
// aside only the numbers of lines can be compared.
func (s *statementFile) Verify() *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.trailers == 0:
		return lineFault("has no trailer line (%s…): it is cut off; ask for it again", "没有尾行(%s…):文件不完整,请重新获取", s.d.Trailer.Mark)
	case s.trailers > 1:
		return lineFault("has %d trailer lines", "有 %d 个尾行", s.trailers)
	case s.last > s.trailer:
		return lineFault("has details behind its trailer line", "尾行之后仍有明细")
	}
	for _, c := range s.promised {
		got := s.got.named(c.name)
		if c.name == "count" {
			got += s.rejected
		} else if s.rejected > 0 {
			continue
		}
		if got != c.want {
			name, counted := c.named(), c.value(got)
			return &Fault{Why: pos.Text{
				EN: fmt.Sprintf("the %s %s, its lines come to %s: it is incomplete or altered; ask for it again", name.EN, c.value(c.want), counted),
				ZH: fmt.Sprintf("%s为 %s,明细合计为 %s:文件不完整或被改动,请重新获取", name.ZH, c.value(c.want), counted),
			}}
		}
	}
	return nil
}

// describedParser reads the lines of one statement.
type describedParser struct {
	file   *statementFile
	d      *Description
	raw    []byte
	fields [maxFields][]byte
	count  int
	digits [32]byte

	got      controls
	last     int64
	rejected int64
}

// Parse reads a detail; header marks, titles and the trailer give a row to skip.
func (p *describedParser) Parse(line []byte, row *Row) *Fault {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	row.Skip = false
	fault := p.parse(line, row)
	if fault != nil {
		p.rejected++
		p.last = max(p.last, row.At)
	}
	return fault
}

func (p *describedParser) parse(line []byte, row *Row) *Fault {
	switch {
	case len(line) > MaxLine:
		return lineFault("is longer than %d bytes", "超过 %d 字节", MaxLine)
	case bytes.IndexByte(line, 0) >= 0:
		return lineFault("holds a NUL byte", "含有 NUL 字节")
	case bytes.HasPrefix(line, p.d.Trailer.mark):
		row.Skip = true
		return p.trailer(line, row.At)
	case slices.ContainsFunc(p.d.ignore, func(mark []byte) bool { return bytes.HasPrefix(line, mark) }):
		row.Skip = true
		return nil
	case !bytes.HasPrefix(line, p.d.Detail.mark):
		return lineFault("begins with %s; details begin with %s, the trailer with %s", "以 %s 开头;明细应以 %s、尾行应以 %s 开头",
			shown(line[:min(len(line), 20)]), shown(p.d.Detail.mark), shown(p.d.Trailer.mark))
	}
	if fault := p.part(line, &p.d.Detail); fault != nil {
		return fault
	}
	if fault := p.names(row); fault != nil {
		return fault
	}
	if fault := p.money(row); fault != nil {
		return fault
	}
	if fault := p.day(row); fault != nil {
		return fault
	}
	p.tally(row)
	return nil
}

// part takes a line apart.
func (p *describedParser) part(line []byte, part *Part) *Fault {
	p.raw = line
	if !p.d.whole(line) {
		return lineFault("is not %s", "不是 %s 编码", p.d.Encoding)
	}
	if p.d.Delimiter == "" {
		if len(line) != part.Bytes {
			return lineFault("has %d bytes, want %d", "有 %d 字节,应为 %d", len(line), part.Bytes)
		}
		return nil
	}
	if p.count = p.d.cut(line, &p.fields); p.count != part.Fields {
		return lineFault("has %d fields, want %d", "有 %d 个字段,应为 %d", p.count, part.Fields)
	}
	return nil
}

func (p *describedParser) field(c *Column) []byte {
	var b []byte
	if p.d.Delimiter == "" {
		b = p.raw[c.At-1 : c.At-1+c.Bytes]
	} else {
		b = p.fields[c.At-1]
	}
	if c.After != "" {
		_, b, _ = bytes.Cut(b, []byte(c.After))
	}
	if c.Until != "" {
		b, _, _ = bytes.Cut(b, []byte(c.Until))
	}
	return trimmed(b)
}

func (p *describedParser) fault(name string, c *Column, en, zh string, args ...any) *Fault {
	f := lineFault(en, zh, args...)
	f.Column, f.Number = name, c.At
	return f
}

func (p *describedParser) names(row *Row) *Fault {
	*row = Row{At: row.At, Bank: p.d.bank}
	for i, name := range []string{"txn_id", "merchant_id", "terminal_id", "orig_txn_id", "batch_no"} {
		c, ok := p.d.Detail.Columns[name]
		if !ok {
			continue
		}
		field := p.field(&c)
		text, ok := p.d.text(field)
		if !ok {
			return p.fault(name, &c, "%s is not %s", "%s 不是 %s 编码", shown(field), p.d.Encoding)
		}
		if c.UUID && len(text) > 0 {
			if text, ok = hyphened(text); !ok {
				return p.fault(name, &c, "%s is not 32 hexadecimal digits", "%s 不是 32 位十六进制", shown(field))
			}
		}
		most := MaxField
		if i == 0 || i == 3 {
			most = MaxTxnID
		}
		if len(text) > most || i == 0 && len(text) == 0 || bytes.ContainsAny(text, ",\n") {
			return p.fault(name, &c, "%s has %d bytes, want 1 to %d without a comma", "%s 有 %d 字节,应为 1 到 %d 且不含逗号", shown(text), len(text), most)
		}
		*[]*[]byte{&row.TxnID, &row.Merchant, &row.Terminal, &row.Orig, &row.Batch}[i] = text
	}
	return nil
}

func (p *describedParser) money(row *Row) *Fault {
	c := p.d.Detail.Columns["status"]
	field := p.field(&c)
	text, ok := p.d.text(field)
	status := p.d.Status[string(text)]
	if !ok || status == "" {
		return p.fault("status", &c, "%s is not a status that the format knows", "%s 不是该格式已知的状态", shown(text))
	}
	row.Status = status[0]
	for _, name := range []string{"amount", "fee"} {
		c, ok := p.d.Detail.Columns[name]
		if !ok {
			continue
		}
		v, ok := c.parseMoney(p.field(&c), &p.digits)
		if !ok {
			unit := "fen"
			if c.Unit == "yuan" {
				unit = "yuan with two decimals"
			}
			return p.fault(name, &c, "%s is not an amount in %s", "%s 不是金额(%s)", shown(p.field(&c)), unit)
		}
		if name == "fee" {
			row.Fee = v
			continue
		}
		if v < 0 { // what goes back carries a sign
			if row.Status == Success {
				row.Status = Refund
			}
			v = -v
		}
		row.Amount = v
	}
	return nil
}

func (p *describedParser) day(row *Row) *Fault {
	c, ok := p.d.Detail.Columns["settlement_date"]
	name := "settlement_date"
	if !ok {
		c, name = p.d.Detail.Columns["date"], "date"
	}
	day, ok := parseDate(c.Form, p.field(&c), p.file.from)
	if !ok {
		return p.fault(name, &c, "%s is not a date (%s)", "%s 不是日期(%s)", shown(p.field(&c)), c.Form)
	}
	if at, has := p.d.Detail.Columns["time"]; has {
		t, ok := parseTime(at.Form, p.field(&at))
		if !ok {
			return p.fault("time", &at, "%s is not a time (%s)", "%s 不是时间(%s)", shown(p.field(&at)), at.Form)
		}
		row.clock = clockKnown + t
		if p.d.cutOver > 0 && name == "date" && t >= p.d.cutOver {
			day = nextDay(day)
		}
	}
	row.Day = day
	if p.file.from > 0 && (day < p.file.from || day > p.file.to) {
		return p.fault(name, &c, "settlement date %d is not among the file's days, %d to %d", "清算日期 %d 不在文件的日期 %d 至 %d 之内",
			day, p.file.from, p.file.to)
	}
	return nil
}

func (p *describedParser) tally(row *Row) {
	p.last = max(p.last, row.At)
	p.got.count++
	p.got.digest += maphash.Bytes(digestSeed, p.raw)
	p.got.amount += int64(row.Amount)
	p.got.fee += int64(row.Fee)
	switch row.Status {
	case Success:
		p.got.successes++
		p.got.success += int64(row.Amount)
	case Refund:
		p.got.refunds++
		p.got.refund += int64(row.Amount)
	}
}

func (p *describedParser) trailer(line []byte, at int64) *Fault {
	if fault := p.part(line, &p.d.Trailer); fault != nil {
		return fault
	}
	p.file.mu.Lock()
	defer p.file.mu.Unlock()
	p.file.trailers++
	p.file.trailer = at
	return p.file.promise("trailer", p, &p.d.Trailer)
}

// flush hands over what a block's lines came to.
func (p *describedParser) flush() {
	p.file.mu.Lock()
	defer p.file.mu.Unlock()
	p.file.got.add(&p.got)
	p.file.rejected += p.rejected
	p.file.last = max(p.file.last, p.last)
	p.got, p.rejected = controls{}, 0
}
