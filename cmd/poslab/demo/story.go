package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dcpos/pos"
	"dcpos/sdk"
)

// day is the story: each part does something and checks what it claims.
type day struct {
	*teller
	w *world

	paid     pos.Money // what customers paid and the tills said
	refunded pos.Money
	count    int // payments that took money
	planted  pos.PaymentID

	plantedFen pos.Money
}

// parts are the story in order.
func (d *day) parts() []func(context.Context) error {
	return []func(context.Context) error{
		d.payOnline, d.loseAnAnswer, d.refund, d.payTooLate,
		d.payOffline, d.killATill, d.reconnect, d.reconcile, d.campaign,
	}
}

func (d *day) took(p sdk.Payment) {
	d.paid += p.Amount
	d.count++
}

// payOnline: the scanner at the counter, a QR at the kiosk, the vendor's own POS by SDK, and the all-in-one.
func (d *day) payOnline(ctx context.Context) error {
	d.chapter("一、联网收款:扫码枪、收款码与第三方收银软件", "1. Online: the scanner, a QR, and a vendor's POS by SDK")
	counter := d.w.tills["counter"]
	p, err := counter.sale(ctx, "A-001", 58_80, pos.BScanC)
	if err != nil {
		return err
	}
	code, err := d.w.wallets["ICBC"].Code(ctx)
	if err != nil {
		return err
	}
	if p, err = counter.scan(ctx, code, p.ID, pos.Paid, pos.Declined, pos.Unknown); err != nil {
		return err
	}
	d.tell("柜台:扫客户付款码,¥%[1]s", "counter: the customer's code is scanned, ¥%[1]s", p.Amount)
	d.check("counter.b_scan_c", pos.Paid, p.State, "")
	d.took(p)

	kiosk := d.w.tills["self-checkout"]
	if p, err = d.payByQR(ctx, kiosk, "K-001", 26_00, "BOC"); err != nil {
		return err
	}
	d.tell("自助机:客户扫收款码,¥%[1]s", "kiosk: the customer scans our QR, ¥%[1]s", p.Amount)
	d.check("self-checkout.c_scan_b", pos.Paid, p.State, "")
	d.took(p)

	if p, err = d.payBySDK(ctx, "S-001", 199_00, "CCB"); err != nil {
		return err
	}
	d.tell("智能 POS:第三方软件经 SDK 收款,¥%[1]s", "smart POS: a vendor's software takes ¥%[1]s through the SDK", p.Amount)
	d.check("sdk.b_scan_c", pos.Paid, p.State, "")
	d.took(p)
	return d.sameKeySamePayment(ctx, p)
}

func (d *day) payByQR(ctx context.Context, t *till, order string, amount pos.Money, bank string) (sdk.Payment, error) {
	p, err := t.client.Start(ctx, sdk.StartRequest{OrderID: order, Amount: amount, Mode: pos.CScanB, Institution: bank})
	if err != nil {
		return p, err
	}
	if p, err = t.client.Present(ctx, p.ID); err != nil {
		return p, err
	}
	if _, err := d.w.wallets[bank].Scan(ctx, p.QR); err != nil {
		return p, err
	}
	return t.await(ctx, p.ID, pos.Paid, pos.Declined)
}

func (d *day) payBySDK(ctx context.Context, order string, amount pos.Money, bank string) (sdk.Payment, error) {
	p, err := d.w.vendor.Start(ctx, sdk.StartRequest{Key: "vendor-" + order, OrderID: order, Amount: amount, Mode: pos.BScanC})
	if err != nil {
		return p, err
	}
	code, err := d.w.wallets[bank].Code(ctx)
	if err != nil {
		return p, err
	}
	if _, err := d.w.vendor.SubmitCode(ctx, p.ID, code); err != nil {
		return p, err
	}
	return d.w.vendor.Wait(ctx, p.ID)
}

func (d *day) sameKeySamePayment(ctx context.Context, p sdk.Payment) error {
	again, err := d.w.vendor.Start(ctx, sdk.StartRequest{Key: p.Key, OrderID: p.OrderID, Amount: p.Amount, Mode: p.Mode})
	if err != nil {
		return err
	}
	d.check("sdk.same_key_same_payment", p.ID, again.ID, "")
	_, err = d.w.vendor.Start(ctx, sdk.StartRequest{Key: p.Key, OrderID: p.OrderID, Amount: p.Amount + 1, Mode: p.Mode})
	d.check("sdk.same_key_other_body", pos.ErrKeyConflict, pos.CodeOf(err), "")
	return nil
}

// loseAnAnswer: the institution debits and never answers.
func (d *day) loseAnAnswer(ctx context.Context) error {
	d.chapter("二、应答丢失:已扣款但没有回音", "2. A lost answer: debited, and no word of it")
	if err := d.w.fault(ctx, "ABC", map[string]any{"op": "payments", "kind": "lost_answer", "count": 1}); err != nil {
		return err
	}
	if err := d.w.fault(ctx, "ABC", map[string]any{"op": "query", "kind": "unavailable", "count": 2}); err != nil {
		return err
	}
	t := d.w.tills["all-in-one"]
	p, err := t.sale(ctx, "B-001", 88_00, pos.BScanC)
	if err != nil {
		return err
	}
	code, err := d.w.wallets["ABC"].Code(ctx)
	if err != nil {
		return err
	}
	if p, err = t.scan(ctx, code, p.ID, pos.Unknown, pos.Paid, pos.Declined); err != nil {
		return err
	}
	d.tell("一体机显示:%[1]s", "all-in-one shows: %[2]s", p.StateText.ZH, p.StateText.EN)
	d.check("lost_answer.unknown", pos.Unknown, p.State, "")
	_, err = t.sale(ctx, "B-001", 88_00, pos.BScanC)
	d.check("lost_answer.no_second_charge", pos.ErrOrderUnknown, pos.CodeOf(err), "")
	if p, err = t.await(ctx, p.ID, pos.Paid, pos.Declined); err != nil {
		return err
	}
	d.tell("经查询得到结果,没有重复收款", "the query found the result; nobody paid twice")
	d.check("lost_answer.resolved", pos.Paid, p.State, "")
	d.took(p)
	return nil
}

// refund: a part of the counter's sale, authorized by the centre.
func (d *day) refund(ctx context.Context) error {
	d.chapter("三、退款:中心授权,原路退回", "3. A refund: authorized by the centre, back the way it came")
	t := d.w.tills["counter"]
	list, err := t.client.Payments(ctx, sdk.Query{Text: "A-001"})
	if err != nil || len(list) != 1 {
		return errors.Join(err, fmt.Errorf("order A-001: %d payments", len(list)))
	}
	r, err := t.client.Refund(ctx, list[0].ID, sdk.RefundRequest{Key: "refund-A-001", Amount: 8_80})
	if err != nil {
		return err
	}
	if err := until(ctx, 20*time.Second, "refund is final", func() bool {
		p, err := t.client.Payment(ctx, list[0].ID)
		if err == nil && len(p.Refunds) == 1 {
			r.Refund = p.Refunds[0]
		}
		return r.Refund.State.Final()
	}); err != nil {
		return err
	}
	d.check("refund.partial", pos.RefundRefunded, r.Refund.State, "")
	d.refunded += r.Refund.Amount
	_, err = t.client.Refund(ctx, list[0].ID, sdk.RefundRequest{Key: "refund-too-much", Amount: 50_01})
	d.check("refund.never_more_than_paid", pos.ErrRefundTooMuch, pos.CodeOf(err), "")
	return nil
}

// payTooLate: the customer walks off, the QR is abandoned, and somebody pays it after all.
func (d *day) payTooLate(ctx context.Context) error {
	d.chapter("四、放弃后的迟到付款自动退回", "4. A QR that was given up is paid late, and refunded by itself")
	t := d.w.tills["self-checkout"]
	p, err := t.client.Start(ctx, sdk.StartRequest{OrderID: "K-002", Amount: 15_00, Mode: pos.CScanB, Institution: "PSBC"})
	if err != nil {
		return err
	}
	if p, err = t.client.Present(ctx, p.ID); err != nil {
		return err
	}
	qr := p.QR
	if p, err = t.client.Cancel(ctx, p.ID); err != nil {
		return err
	}
	d.check("late.abandoned", pos.Abandoned, p.State, "")
	if _, err := d.w.wallets["PSBC"].Scan(ctx, qr); err != nil {
		return err
	}
	before := d.count
	if err := until(ctx, 60*time.Second, "the late payment is refunded", func() bool {
		p, err = t.client.Payment(ctx, p.ID)
		return err == nil && p.LatePaid && p.Refunded() == p.Amount
	}); err != nil {
		return err
	}
	d.tell("客户离开后才付款:¥%[1]s 已自动原路退回,收银员收到通知", "paid after the customer had left: ¥%[1]s went back by itself, the cashier is told", p.Amount)
	d.check("late.refunded_by_itself", p.Amount, p.Refunded(), "fen")
	d.paid += p.Amount
	d.count = before + 1
	d.refunded += p.Amount
	s, err := t.client.Status(ctx)
	if err != nil {
		return err
	}
	d.check("late.cashier_is_told", true, len(s.Notices) > 0, "")
	return nil
}

// payOffline: the network is cut; codes are refused, wallets sign.
func (d *day) payOffline(ctx context.Context) error {
	d.chapter("五、断网:付款码不可用,钱包离线签名收款", "5. The network is cut: codes are refused, wallets sign offline")
	if err := d.w.network.Cut(); err != nil {
		return err
	}
	for _, class := range classes() {
		t := d.w.tills[class]
		if err := until(ctx, 30*time.Second, class+" sees that it is offline", func() bool {
			s, err := t.client.Status(ctx)
			return err == nil && !s.Connected
		}); err != nil {
			return err
		}
	}
	if err := d.codesAreRefused(ctx); err != nil {
		return err
	}
	for i, bank := range []string{"ICBC", "BOC", "CCB", "BOCOM"} {
		class := classes()[i]
		p, err := d.payByEvidence(ctx, class, fmt.Sprintf("F-%03d", i+1), pos.Money(20_00+i*5_00), bank)
		if err != nil {
			return err
		}
		d.check("offline."+class, pos.AcceptedEvidence, p.State, "")
		d.took(p)
	}
	t := d.w.tills["counter"]
	_, err := d.payByEvidence(ctx, "counter", "F-900", 500_01, "ICBC")
	d.check("offline.limit", pos.ErrLimitPayment, pos.CodeOf(err), "")
	s, err := t.client.Status(ctx)
	if err != nil {
		return err
	}
	d.tell("柜台横幅:离线 %[1]d 笔 ¥%[2]s,还可受理 ¥%[3]s", "the counter's banner: %[1]d offline, ¥%[2]s, room for ¥%[3]s",
		s.Room.Stored.Count, s.Room.Stored.Total, s.Room.TotalLeft)
	d.check("offline.stored_total", pos.Money(20_00), s.Room.Stored.Total, "fen")
	return nil
}

func (d *day) codesAreRefused(ctx context.Context) error {
	t := d.w.tills["counter"]
	p, err := t.sale(ctx, "A-002", 9_90, pos.BScanC)
	if err != nil {
		return err
	}
	code, err := d.w.wallets["ICBC"].Code(ctx)
	if err != nil {
		return err
	}
	_, err = t.client.SubmitCode(ctx, p.ID, code)
	d.check("offline.code_is_refused", pos.ErrOfflineCode, pos.CodeOf(err), "")
	if p, err = t.client.Payment(ctx, p.ID); err != nil {
		return err
	}
	if p.State == pos.Created {
		if p, err = t.client.Cancel(ctx, p.ID); err != nil {
			return err
		}
	}
	d.check("offline.nobody_was_asked", pos.Cancelled, p.State, "")
	return nil
}

func (d *day) payByEvidence(ctx context.Context, class, order string, amount pos.Money, bank string) (sdk.Payment, error) {
	t := d.w.tills[class]
	p, err := t.sale(ctx, order, amount, pos.Evidence)
	if err != nil {
		return p, err
	}
	challenge, err := t.client.Challenge(ctx, p.ID)
	if err != nil {
		_, _ = t.client.Cancel(ctx, p.ID) // nobody was asked
		return p, err
	}
	answer, err := d.w.wallets[bank].Answer(challenge.Text, time.Now())
	if err != nil {
		return p, err
	}
	// The wallet's QR is held to the scanner, as a payment code is.
	return t.scan(ctx, answer, p.ID, pos.AcceptedEvidence, pos.Cancelled)
}

// killATill: power switch, then everything is still there.
func (d *day) killATill(ctx context.Context) error {
	d.chapter("六、断网时拔电:已受理的款项一笔不少", "6. A till is killed while offline: what was accepted is still there")
	t := d.w.tills["smart-pos"]
	before, err := t.client.Status(ctx)
	if err != nil {
		return err
	}
	t.agent.kill()
	if err := t.start(ctx, d.w.programs); err != nil {
		return err
	}
	after, err := t.client.Status(ctx)
	if err != nil {
		return err
	}
	d.check("kill.stored_money", before.Room.Stored.Total, after.Room.Stored.Total, "fen")
	d.check("kill.journal", true, after.Outbox.Seq >= before.Outbox.Seq, "")
	if err := t.signIn(ctx); err != nil {
		return err
	}
	return d.w.openVendor() // the till's address and screen key are new
}

// reconnect: everything goes up, is receipted, and the evidence is credited.
func (d *day) reconnect(ctx context.Context) error {
	d.chapter("七、恢复网络:补传、回执、入账", "7. The network is back: upload, signed receipts, credit")
	if err := d.w.network.Restore(); err != nil {
		return err
	}
	for _, class := range classes() {
		t := d.w.tills[class]
		if err := until(ctx, 90*time.Second, class+" is receipted and credited", func() bool {
			s, err := t.client.Status(ctx)
			if err != nil || !s.Connected || s.Outbox.Unsent > 0 {
				return false
			}
			open, err := t.client.Payments(ctx, sdk.Query{States: []pos.State{pos.AcceptedEvidence, pos.Unknown, pos.Asking}})
			return err == nil && len(open) == 0
		}); err != nil {
			return err
		}
		credited, err := t.client.Payments(ctx, sdk.Query{States: []pos.State{pos.Credited}})
		if err != nil {
			return err
		}
		d.check("reconnect."+class+".credited", 1, len(credited), "payments")
	}
	return d.printSlips(ctx)
}

// printSlips prints one receipt on every till, so that there is one to look at.
func (d *day) printSlips(ctx context.Context) error {
	for _, class := range classes() {
		t := d.w.tills[class]
		list, err := t.client.Payments(ctx, sdk.Query{States: []pos.State{pos.Paid, pos.Credited}, Limit: 2})
		if err != nil || len(list) == 0 {
			return errors.Join(err, fmt.Errorf("%s has no payment to print", class))
		}
		printed, err := t.client.QueuePrint(ctx, sdk.PrintRequest{Kind: pos.PrintPayment, Payment: &list[0].ID})
		if err != nil {
			return err
		}
		// A printer that was slow to answer is asked again by the till.
		if err := until(ctx, time.Minute, class+" has printed", func() bool {
			if j, err := t.client.PrintJob(ctx, printed.ID); err == nil {
				printed = j
			}
			return printed.State.Final() || printed.State == pos.PrintUnknown
		}); err != nil {
			return err
		}
		d.check("receipt."+class, string(pos.PrintConfirmed), string(printed.State), "")
		// A printer without a cutter ends its paper when nothing more has come for a while.
		if err := until(ctx, 10*time.Second, class+" has paper to look at", func() bool {
			pictures, err := filepath.Glob(filepath.Join(t.folder, "receipts", "*.png"))
			return err == nil && len(pictures) > 0
		}); err != nil {
			return err
		}
	}
	return nil
}

type ledgerSays struct {
	Balanced bool      `json:"balanced"`
	Sum      pos.Money `json:"sum"`
	Accounts []struct {
		Account string    `json:"account"`
		Amount  pos.Money `json:"amount"`
	} `json:"accounts"`
}

// reconcile: books against books, then the statements with one planted difference.
func (d *day) reconcile(ctx context.Context) error {
	d.chapter("八、对账:总账、机构账与一笔人为差错", "8. Reconciliation: ledger, institutions' books, and one planted difference")
	out, err := d.w.programs.run(ctx, "", "poscentral", "--config", d.w.centreIs, "ledger", "--json")
	if err != nil {
		return err
	}
	var l ledgerSays
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	var receivable pos.Money
	for _, a := range l.Accounts {
		if strings.HasPrefix(a.Account, "receivable:") {
			receivable += a.Amount
		}
	}
	banks, err := d.w.allBooks(ctx)
	if err != nil {
		return err
	}
	d.check("ledger.balances", pos.Money(0), l.Sum, "fen")
	d.check("ledger.receivable", d.paid-d.refunded, receivable, "fen")
	d.check("institutions.paid", d.paid, banks.Paid, "fen")
	d.check("institutions.paid_count", d.count, banks.PaidCount, "payments")
	d.check("institutions.refunded", d.refunded, banks.Refunded, "fen")
	return d.findThePlanted(ctx)
}

func (d *day) findThePlanted(ctx context.Context) error {
	list, err := d.w.vendor.Payments(ctx, sdk.Query{Text: "S-001"})
	if err != nil || len(list) != 1 {
		return errors.Join(err, fmt.Errorf("order S-001: %d payments", len(list)))
	}
	d.planted, d.plantedFen = list[0].ID, list[0].Amount
	const always, short = 1000, 150_00
	for _, f := range []struct {
		bank  string
		fault map[string]any
	}{
		// CCB loses a line, and does not credit it either: else the credit would show that the statement alone is wrong.
		{"CCB", map[string]any{"op": "statements", "kind": "planted", "count": 1, "reason": "drop", "amount_fen": list[0].Amount}},
		{"CCB", map[string]any{"op": "account", "kind": "short_credit", "count": always, "amount_fen": list[0].Amount}},
		{"BOC", map[string]any{"op": "account", "kind": "short_credit", "count": always, "amount_fen": short}},
	} {
		if err := d.w.fault(ctx, f.bank, f.fault); err != nil {
			return err
		}
	}
	date := list[0].SettlementDate
	_, err = d.w.programs.run(ctx, passwordOf("zhao"), "posctl", "breaks", "--centre", d.w.httpURL, "--account", "zhao", "reconcile", "--wait", string(date))
	d.check("reconcile.finds_breaks", 1, exitCode(errors.Unwrap(err)), "exit code")
	folder := filepath.Join(d.w.root, "reconcile", string(date))
	breaks, err := os.ReadFile(filepath.Join(folder, "breaks.csv"))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(breaks)), "\n")
	d.check("reconcile.breaks", 1, len(lines)-1, "breaks")
	found := ""
	if len(lines) > 1 {
		found = strings.Join(strings.Split(lines[1], ",")[:3], ",")
	}
	d.check("reconcile.names_it", fmt.Sprintf("%s,%s,CCB", pos.MissingTheirs, d.planted), found, "")
	if err := d.sameByHand(ctx, folder); err != nil {
		return err
	}
	return d.workOnIt(ctx)
}

// workOnIt lets one person explain the break and propose a remedy, and a second one approve it.
func (d *day) workOnIt(ctx context.Context) error {
	posctl := func(who string, args ...string) (string, error) {
		list := append([]string{"breaks", "--centre", d.w.httpURL, "--account", who}, args...)
		return d.w.programs.run(ctx, passwordOf(who), "posctl", list...)
	}
	out, err := posctl("zhao", "list", "--json", "--txn", d.planted.String())
	if err != nil {
		return err
	}
	var list struct {
		Breaks []struct {
			ID, Rule, State string
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Breaks) != 1 {
		return errors.Join(err, fmt.Errorf("%d breaks of %s", len(list.Breaks), d.planted))
	}
	b := list.Breaks[0]
	d.check("breaks.names_its_rule", "standard/2 carry", b.Rule, "")
	for _, step := range [][]string{
		{"assign", b.ID},
		{"explain", b.ID, "--cause", "institution", "--note", "CCB lost the line"},
		{"remedy", b.ID, "claim", "--reason", "ticket 118"},
	} {
		if _, err := posctl("zhao", step...); err != nil {
			return err
		}
	}
	_, err = posctl("zhao", "approve", b.ID+"-1", "--reason", "mine")
	d.check("breaks.four_eyes", 1, exitCode(errors.Unwrap(err)), "exit code")
	if _, err := posctl("admin", "approve", b.ID+"-1", "--reason", "seen"); err != nil {
		return err
	}
	claim, err := d.account(ctx, "claim:CCB")
	if err != nil {
		return err
	}
	d.check("breaks.claimed", d.plantedFen, claim, "fen")
	_, err = posctl("admin", "export", "--all", filepath.Join(d.w.root, "reconcile", "breaks.xlsx"))
	return err
}

// account is what the ledger says of one account.
func (d *day) account(ctx context.Context, name string) (pos.Money, error) {
	out, err := d.w.programs.run(ctx, "", "poscentral", "--config", d.w.centreIs, "ledger", "--json")
	if err != nil {
		return 0, err
	}
	var l ledgerSays
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		return 0, fmt.Errorf("ledger: %w", err)
	}
	d.check("breaks.ledger_balances", pos.Money(0), l.Sum, "fen")
	for _, a := range l.Accounts {
		if a.Account == name {
			return a.Amount, nil
		}
	}
	return 0, nil
}

// sameByHand runs posctl reconcile over the same files: the same engine without a server.
func (d *day) sameByHand(ctx context.Context, folder string) error {
	statements, err := filepath.Glob(filepath.Join(d.w.root, "statements", "*.txt"))
	if err != nil || len(statements) == 0 {
		return errors.Join(err, errors.New("no statements"))
	}
	ours, err := filepath.Glob(filepath.Join(folder, "ours-*.csv")) // sorted, as the centre gave them
	if err != nil || len(ours) == 0 {
		return errors.Join(err, errors.New("none of our lines"))
	}
	args := append([]string{"reconcile", "--ours"}, ours...)
	for _, s := range statements {
		code, _, _ := strings.Cut(filepath.Base(s), "-") // ICBC-2026-11-22.txt, in the institution's own form
		args = append(args, "--theirs", s+"@"+strings.ToLower(code))
	}
	out := filepath.Join(d.w.root, "reconcile")
	_, err = d.w.programs.run(ctx, "", "posctl", append(args, "--out", out)...)
	d.check("reconcile.posctl_agrees", 1, exitCode(errors.Unwrap(err)), "exit code")
	mine, err := os.ReadFile(filepath.Join(out, "breaks.csv"))
	if err != nil {
		return err
	}
	theirs, err := os.ReadFile(filepath.Join(folder, "breaks.csv"))
	if err != nil {
		return err
	}
	d.check("reconcile.same_bytes", true, string(mine) == string(theirs), "")
	return nil
}
