package checkout

import (
	"context"
	"errors"
	"strings"
	"time"

	"dcpos/drivers"
	"dcpos/pos"
)

// The times of the customer's side.
const (
	faceLimit  = 3 * time.Second  // a display or buzzer that does not take it by then has missed it
	faceResult = 15 * time.Second // a result is shown so long
)

// runFace keeps the customer's display and buzzer at the latest of what happens. It
// reads the till's own events: nothing waits for it, and of what came while it was
// busy only the latest is shown.
func (t *Till) runFace(ctx context.Context, events <-chan Event, stop func()) {
	f := face{till: t}
	for {
		f.show(ctx, nil)
		f.follow(ctx, events)
		stop()
		if ctx.Err() != nil {
			return
		}
		events, stop = t.hub.subscribe("") // it was too slow for so many events
	}
}

// face is what the customer's side is about.
type face struct {
	till  *Till
	at    pos.Payment // the latest sale at this counter, as it was shown last
	shown string
}

// follow shows events until their channel is closed or ctx ends.
func (f *face) follow(ctx context.Context, events <-chan Event) {
	idle := time.NewTimer(faceResult)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			f.show(ctx, nil)
		case e, ok := <-events:
			if !ok {
				return
			}
			before := f.at
			f.take(e)
			f.drain(events)
			if f.at.ID == before.ID && f.at.State == before.State {
				continue
			}
			f.sound(ctx)
			f.show(ctx, &f.at)
			if idle.Stop(); f.at.State != pos.Created && f.at.State != pos.Asking {
				idle.Reset(faceResult)
			}
		}
	}
}

// drain takes what has come while the last was being shown.
func (f *face) drain(events <-chan Event) {
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return // follow sees it too
			}
			f.take(e)
		default:
			return
		}
	}
}

// take keeps a payment that concerns the customer at the counter. What is decided about
// payments whose customers have gone does not.
func (f *face) take(e Event) {
	p := e.Payment
	if p != nil && (p.State == pos.Created || p.ID == f.at.ID || (p.CreatedMS >= f.at.CreatedMS && f.till.atCounter(p.ID))) {
		f.at = *p
	}
}

// show shows a payment, or a welcome for nil.
func (f *face) show(ctx context.Context, p *pos.Payment) {
	d := f.till.c.Display
	if d == nil {
		return
	}
	columns, rows := d.Size()
	if columns <= 0 || rows <= 0 {
		return
	}
	lines := f.till.welcome(columns, rows, d.Chinese())
	if p != nil {
		lines = faceLines(*p, columns, rows, d.Chinese())
	}
	key := strings.Join(lines, "\n")
	if key == f.shown {
		return
	}
	c, cancel := context.WithTimeout(ctx, faceLimit)
	defer cancel()
	if err := d.Show(c, lines); err != nil {
		f.shown = "" // what it shows now is not known
		if ctx.Err() == nil {
			f.till.log.InfoContext(ctx, "customer display", "err", err)
		}
		return
	}
	f.shown = key
}

// sound sounds what has become of the payment.
func (f *face) sound(ctx context.Context) {
	if f.till.c.Tone == nil {
		return
	}
	var tone drivers.Tone
	switch f.at.State {
	case pos.Paid, pos.AcceptedEvidence:
		tone = drivers.ToneGood
	case pos.Declined, pos.Refused, pos.Conflict:
		tone = drivers.ToneBad
	case pos.Unknown, pos.Stored:
		tone = drivers.ToneAttention
	case pos.Created, pos.Asking, pos.Abandoned, pos.Cancelled, pos.Credited:
		return
	}
	c, cancel := context.WithTimeout(ctx, faceLimit)
	defer cancel()
	if err := f.till.c.Tone.Sound(c, tone); err != nil && !errors.Is(err, drivers.ErrIllegal) && ctx.Err() == nil {
		f.till.log.InfoContext(ctx, "tone", "err", err)
	}
}

// ledColumns is the widest display of one row that is taken for digits alone.
const ledColumns = 12

func (t *Till) welcome(columns, rows int, chinese bool) []string {
	switch {
	case rows == 1 && columns <= ledColumns:
		return []string{"0.00"}
	case chinese && t.c.StoreName.ZH != "":
		return []string{t.c.StoreName.ZH, inRow(pos.Text{ZH: "欢迎光临", EN: "Welcome"}, columns)}
	case chinese:
		return []string{inRow(pos.Text{ZH: "欢迎光临", EN: "Welcome"}, columns)}
	case t.c.StoreName.EN != "":
		return []string{t.c.StoreName.EN, "Welcome"}
	}
	return []string{"Welcome"}
}

// faceLines says amount and state on a display: the amount alone on digits, on others
// what the customer must know in the words that fit, in both languages where there is room.
func faceLines(p pos.Payment, columns, rows int, chinese bool) []string {
	amount := p.Amount.String()
	if rows == 1 && columns <= ledColumns {
		return []string{amount}
	}
	word, beside := faceWord(p.State).EN, ""
	if chinese {
		amount = "￥" + amount
		switch short := faceWord(p.State); {
		case rows > 1 && width(short.Both()) <= columns:
			word = short.Both()
		case rows > 1 && width(short.EN)+1+width(amount) <= columns:
			word, beside = short.ZH, short.EN
		default:
			if word = p.State.Text().ZH; width(word) > columns {
				word = short.ZH
			}
		}
	}
	if rows == 1 {
		return []string{word + " " + amount}
	}
	return []string{word, beside + strings.Repeat(" ", max(0, columns-width(beside)-width(amount))) + amount}
}

// inRow is a text in both languages where they fit a row, else in Chinese.
func inRow(t pos.Text, columns int) string {
	if both := t.Both(); width(both) <= columns {
		return both
	}
	return t.ZH
}

// width counts columns: a character outside Latin takes two.
func width(s string) int {
	n := 0
	for _, r := range s {
		if n++; r > 0xff {
			n++
		}
	}
	return n
}

// faceWord is a state in words that fit a row of 16 columns, and that never call paid
// what is not.
func faceWord(s pos.State) pos.Text {
	switch s {
	case pos.Created:
		return pos.Text{ZH: "请付款", EN: "Please pay"}
	case pos.Asking:
		return pos.Text{ZH: "支付中,请稍候", EN: "Paying, wait"}
	case pos.Paid, pos.Credited:
		return pos.Text{ZH: "已支付", EN: "Paid"}
	case pos.AcceptedEvidence:
		return pos.Text{ZH: "已受理,待入账", EN: "Accepted"}
	case pos.Declined, pos.Refused:
		return pos.Text{ZH: "未支付", EN: "Not paid"}
	case pos.Unknown:
		return pos.Text{ZH: "查询中请勿重付", EN: "Do not pay again"}
	case pos.Abandoned, pos.Cancelled:
		return pos.Text{ZH: "已取消", EN: "Cancelled"}
	case pos.Stored:
		return pos.Text{ZH: "已登记,未扣款", EN: "Not yet charged"}
	case pos.Conflict:
		return pos.Text{ZH: "请找店员", EN: "Ask the staff"}
	}
	return pos.Text{ZH: "请找店员", EN: "Ask the staff"}
}
