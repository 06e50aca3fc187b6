package institution

import (
	"bytes"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/lab/institution/books"
	"dcpos/pos"
)

const shownRecords = 8

type shelf struct {
	Institution

	Totals  api.Totals
	Faults  []api.Fault
	Planted []api.PlantedLine
	Records []books.Record
}

// pageTemplate is parsed anew for each view: the page is for people, and no
// package variable is needed to keep it.
const pageTemplate = `<!doctype html>
<html lang="zh"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width"><title>测试 TEST · 运营机构模拟器 Institution simulator</title>
<style>body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem;max-width:75rem;color:#1a1a1a;background:#fff}
.test{background:#8a1c00;color:#fff;padding:.6rem 1rem;font-weight:600}
table{border-collapse:collapse;margin:.4rem 0}th,td{padding:.15rem .7rem;text-align:left;border-bottom:1px solid #ccc}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.fault{color:#8a1c00}code{font-size:.9em}</style></head><body>
<p class="test">测试 TEST — 六家运营机构的模拟器,不是真实银行,没有真钱。 A simulator of six operating institutions: no real bank, no real money.</p>
<h1>运营机构 Operating institutions</h1>
<table><tr><th>机构 Institution</th><th class="n">钱包 Wallets</th><th class="n">自有余额 Own ¥</th><th class="n">红包 Envelopes ¥</th>
<th class="n">商户 Merchants ¥</th><th class="n">手续费 Fees ¥</th><th class="n">已收 Paid ¥ (n)</th><th class="n">已退 Refunded ¥ (n)</th>
<th class="n">失败 Failed</th><th class="n">待付订单 Open orders</th></tr>
{{range .}}<tr><td>{{.Code}} {{.Name.ZH}} <small>{{.Name.EN}}</small></td><td class="n">{{.Totals.Wallets}}</td><td class="n">{{.Totals.WalletsOwn}}</td>
<td class="n">{{.Totals.WalletsEnvelope}}</td><td class="n">{{.Totals.Merchants}}</td><td class="n">{{.Totals.Fees}}</td>
<td class="n">{{.Totals.Paid}} ({{.Totals.PaidCount}})</td><td class="n">{{.Totals.Refunded}} ({{.Totals.RefundedCount}})</td>
<td class="n">{{.Totals.FailedCount}}</td><td class="n">{{.Totals.OpenOrders}}</td></tr>{{end}}</table>
{{range .}}{{if or .Records .Faults .Planted}}<h2>{{.Code}} {{.Name.ZH}}</h2>
{{range .Faults}}<p class="fault">故障 Fault: {{.Op}} {{.Kind}} ×{{.Count}}{{with .Reason}} ({{.}}){{end}}{{with .DelayMS}} {{.}} ms{{end}}{{if .Amount}} ¥{{.Amount}}{{end}}</p>{{end}}
{{range .Planted}}<p class="fault">对账单差异 Planted difference: {{.Date}} <code>{{.TxnID}}</code> {{.Change}}</p>{{end}}
{{if .Records}}<table><tr><th>时间 Time</th><th>请求 Request</th><th>种类 Kind</th><th>商户/终端 Merchant/terminal</th><th class="n">¥</th><th>状态 Status</th><th>原因 Reason</th></tr>
{{range .Records}}<tr><td>{{clock .AtMS}}</td><td><code>{{.ID}}</code></td><td>{{.Op}}</td><td>{{.Merchant}}/{{.Terminal}}</td><td class="n">{{.Amount}}</td>
<td>{{.Status}}</td><td>{{.Reason}}</td></tr>{{end}}</table>{{end}}{{end}}{{end}}
</body></html>
`

func (s *Simulator) page(w http.ResponseWriter, r *http.Request) {
	var shelves []shelf
	for _, i := range Institutions() {
		h := s.houses[i.Code]
		shelves = append(shelves, shelf{
			Institution: i, Totals: h.books.Totals(), Faults: h.faults.all(),
			Planted: h.books.Planted(), Records: h.books.Recent(shownRecords),
		})
	}
	clock := func(ms int64) string { return time.UnixMilli(ms).In(pos.Shanghai()).Format("01-02 15:04:05") }
	t, err := template.New("page").Funcs(template.FuncMap{"clock": clock}).Parse(pageTemplate)
	var out bytes.Buffer
	if err == nil {
		err = t.Execute(&out, shelves)
	}
	if err != nil {
		slog.ErrorContext(r.Context(), "page not shown", "err", err)
		http.Error(w, pos.ErrInternal.Text().Both(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = w.Write(out.Bytes()) // a reader that went away reloads
}
