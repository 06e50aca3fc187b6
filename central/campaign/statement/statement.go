// Package statement makes the account of a campaign for the government that paid for it:
// who registered, won and claimed, what was spent where, what it moved, and what came back.
//
// Every figure is an integer, money in fen. The flat names (Flat) are a contract
// (docs/PROTOCOL.md); to add a figure, add it to Figures with its two texts.
package statement

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"dcpos/pos"
)

// Facts are what the store knows of a campaign.
type Facts struct {
	Campaign   string
	Title      pos.Text
	Notice     pos.Text // of a campaign that is worth nothing; empty for a live one
	Registered int64    // entries of the frozen list
	Envelopes  int64    // that were drawn
	MovedUp    int64    // of the waiting list, who got an envelope that somebody else had not claimed
	Face       pos.Money
	Offered    int64
	Activated  int64 // claimed
	ActiveFace pos.Money
	Budget     pos.Money
	Left       pos.Money // still in wallets
	Recalled   pos.Money // out of wallets, refunds after the recall included
	Refused    int64     // shares that are not owed
	Lines      []Line
}

// Line is the payments of one day at one kind of place, each payment once.
type Line struct {
	Day      pos.Date
	District string
	Merchant string
	Category string
	Channel  string
	Tier     int
	Payments int64
	Price    pos.Money // own money included
	Envelope pos.Money
	Others   pos.Money // out of other campaigns' envelopes
	Returned pos.Money // to envelopes, by refunds
}

// Online is the part of town of web shops; Nowhere stands for a part of town, or a category,
// that nobody has told.
const (
	Online  = "online"
	Nowhere = "-"
)

// place is the part of town: that of the store; a web shop is in none.
func (l Line) place() string {
	if l.Channel == pos.ChannelOnline {
		return Online
	}
	return cmp.Or(l.District, Nowhere)
}

// Sum is what a group of lines comes to.
type Sum struct {
	Payments int64     `json:"payments"`
	Price    pos.Money `json:"price_fen"`
	Envelope pos.Money `json:"envelope_fen"`
	Others   pos.Money `json:"other_envelopes_fen"`
	Returned pos.Money `json:"returned_fen"`
}

// Own is what people added of their own.
func (s Sum) Own() pos.Money { return s.Price - s.Envelope - s.Others }

// Basket is the average payment, in fen, rounded down.
func (s Sum) Basket() pos.Money {
	if s.Payments == 0 {
		return 0
	}
	return s.Price / pos.Money(s.Payments)
}

// Multiplier is how many hundredths of a yuan were spent for each yuan of envelopes.
func (s Sum) Multiplier() int64 {
	if s.Envelope == 0 {
		return 0
	}
	return int64(s.Price * 100 / s.Envelope)
}

func (s Sum) add(l Line) Sum {
	return Sum{s.Payments + l.Payments, s.Price + l.Price, s.Envelope + l.Envelope, s.Others + l.Others, s.Returned + l.Returned}
}

// Statement is the account.
type Statement struct {
	Facts
	Total  Sum
	Groups []Group
}

// Group is the account by one thing.
type Group struct {
	Key   string // of Flat
	Title pos.Text
	Rows  []Row
}

// Row is one value of a group.
type Row struct {
	Name string
	Sum
}

// Label is how people read the name of a row: places and channels have words, what was not
// told says so, and every other name is as it is.
func (g Group) Label(name string) pos.Text {
	switch {
	case name == Nowhere:
		return pos.Text{ZH: "未注明", EN: "not told"}
	case (g.Key == "channel" || g.Key == "district") && name == Online:
		return pos.Text{ZH: "线上", EN: "online"}
	case g.Key == "channel" && name == pos.ChannelInStore:
		return pos.Text{ZH: "门店", EN: "in store"}
	}
	return pos.Text{ZH: name, EN: name}
}

// Make adds up.
func Make(f Facts) Statement {
	s := Statement{Facts: f}
	by := []struct {
		key   string
		title pos.Text
		of    func(l Line) string
	}{
		{"day", pos.Text{ZH: "按日", EN: "by day"}, func(l Line) string { return string(l.Day) }},
		{"district", pos.Text{ZH: "按区域", EN: "by district"}, Line.place},
		{"merchant", pos.Text{ZH: "按商户", EN: "by merchant"}, func(l Line) string { return l.Merchant }},
		{"category", pos.Text{ZH: "按品类", EN: "by category"}, func(l Line) string { return cmp.Or(l.Category, Nowhere) }},
		{"channel", pos.Text{ZH: "按渠道", EN: "by channel"}, func(l Line) string { return l.Channel }},
	}
	for _, l := range f.Lines {
		s.Total = s.Total.add(l)
	}
	for _, b := range by {
		sums := map[string]Sum{}
		for _, l := range f.Lines {
			sums[b.of(l)] = sums[b.of(l)].add(l)
		}
		g := Group{Key: b.key, Title: b.title}
		for _, name := range slices.Sorted(maps.Keys(sums)) {
			g.Rows = append(g.Rows, Row{name, sums[name]})
		}
		s.Groups = append(s.Groups, g)
	}
	return s
}

// Figure is one named integer.
type Figure struct {
	Name  string
	Text  pos.Text
	Value int64
	Money bool // in fen
}

// String is how people read it.
func (f Figure) String() string {
	if f.Money {
		return "¥" + pos.Money(f.Value).String()
	}
	return strconv.FormatInt(f.Value, 10)
}

// Figures are those of the whole campaign, in the order of people's reading.
func (s Statement) Figures() []Figure {
	count := func(name, zh, en string, v int64) Figure {
		return Figure{name, pos.Text{ZH: zh, EN: en}, v, false}
	}
	money := func(name, zh, en string, v pos.Money) Figure {
		return Figure{name, pos.Text{ZH: zh, EN: en}, int64(v), true}
	}
	net := s.Total.Envelope - s.Total.Returned
	return []Figure{
		count("registered", "报名有效人数", "valid entries", s.Registered),
		count("winners", "中签红包数", "envelopes drawn", s.Envelopes),
		money("winners_fen", "中签金额", "money drawn", s.Face),
		count("moved_up", "候补递补人数", "moved up the waiting list", s.MovedUp),
		count("offered", "已通知人数", "winners told", s.Offered),
		count("activated", "已领取人数", "envelopes claimed", s.Activated),
		money("activated_fen", "已领取金额", "money claimed", s.ActiveFace),
		count("payments", "消费笔数", "payments", s.Total.Payments),
		money("price_fen", "消费总额", "spent in all", s.Total.Price),
		money("envelope_fen", "其中红包", "of it from envelopes", s.Total.Envelope),
		money("other_envelopes_fen", "其中其他活动红包", "other campaigns' envelopes", s.Total.Others),
		money("own_fen", "其中自有资金", "of it own money", s.Total.Own()),
		money("returned_fen", "退款退回红包", "given back to envelopes", s.Total.Returned),
		money("spent_fen", "红包净支出", "envelopes' net payout", net),
		money("basket_fen", "笔均金额", "average basket", s.Total.Basket()),
		count("multiplier_percent", "拉动倍数(%)", "multiplier (%)", s.Total.Multiplier()),
		money("left_fen", "钱包内余额", "still in wallets", s.Left),
		money("recalled_fen", "到期收回", "recalled", s.Recalled),
		money("unclaimed_fen", "未领取退回预算", "never claimed", s.Budget-s.ActiveFace),
		count("refused_shares", "不予承认的分摊", "shares not recognised", s.Refused),
	}
}

// title is what stands over what people read.
func (s Statement) title(lang string) string {
	if s.Notice.IsZero() {
		return s.Title.In(lang)
	}
	return s.Notice.Both() + " " + s.Title.In(lang)
}

// Flat is every figure by name: those of the whole, and of each group as KEY.NAME.figure.
func (s Statement) Flat() map[string]int64 {
	all := map[string]int64{}
	for _, f := range s.Figures() {
		all[f.Name] = f.Value
	}
	for _, g := range s.Groups {
		for _, r := range g.Rows {
			at := g.Key + "." + r.Name + "."
			all[at+"payments"], all[at+"price_fen"] = r.Payments, int64(r.Price)
			all[at+"envelope_fen"], all[at+"returned_fen"] = int64(r.Envelope), int64(r.Returned)
		}
	}
	return all
}
