package slip_test

import (
	"strings"
	"testing"
	"time"

	"dcpos/agent/slip"
	"dcpos/drivers/receipt"
	"dcpos/pos"
)

func payment(state pos.State) pos.Payment {
	return pos.Payment{
		ID: pos.NewPaymentID(time.UnixMilli(1_700_000_000_000), [10]byte{9}), Terminal: "T1", OrderID: "A-17", OrderAmount: 5000,
		Amount: 1250, State: state, Operator: "11", CreatedMS: 1_700_000_000_000,
	}
}

func text(t *testing.T, r receipt.Receipt, columns int) string {
	t.Helper()
	lines, err := receipt.Layout(r, receipt.Options{Columns: columns})
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for _, l := range lines {
		s.WriteString(l.Text + string(l.Data) + "\n")
	}
	return s.String()
}

func shop(env pos.Environment) slip.Shop {
	return slip.Shop{
		Env: env, Merchant: "M1", Store: "S1", Terminal: "T1",
		StoreName: pos.Text{ZH: "王府井书店", EN: "Wangfujing Books"},
	}
}

func TestEveryStateSaysItsWordsOnEveryPaper(t *testing.T) {
	for _, state := range pos.States() {
		for _, columns := range []int{32, 48} {
			s := text(t, slip.Payment(shop(pos.Live), payment(state), "", time.UnixMilli(1_700_000_100_000)), columns)
			if !strings.Contains(s, state.Text().ZH) {
				t.Errorf("%s on %d columns lacks %q:\n%s", state, columns, state.Text().ZH, s)
			}
			if state != pos.Paid && strings.Contains(s, pos.Paid.Text().ZH) {
				t.Errorf("%s is called paid:\n%s", state, s)
			}
			for _, want := range []string{"12.50", "50.00", "A-17", "11", "dcpos:pay:" + payment(state).ID.String(), "2023-11-15 06:13:20"} {
				if !strings.Contains(s, want) {
					t.Errorf("%s on %d columns lacks %q:\n%s", state, columns, want, s)
				}
			}
			if strings.Contains(s, "TEST") {
				t.Error("a live receipt says TEST")
			}
		}
	}
}

func TestPartsAndRefunds(t *testing.T) {
	p := payment(pos.Paid)
	p.EnvelopePart = 1000
	p.Refunds = []pos.Refund{{ID: p.ID, State: pos.RefundIntent, Amount: 250}}
	s := text(t, slip.Payment(shop(pos.Lab), p, "", time.UnixMilli(1_700_000_100_000)), 48)
	for _, want := range []string{"测试 TEST", "10.00", "2.50", "退款申请已记录,尚未退款"} {
		if !strings.Contains(s, want) {
			t.Errorf("lacks %q:\n%s", want, s)
		}
	}
	d := payment(pos.Declined)
	d.Reason = pos.ErrNotSent
	if s := text(t, slip.Payment(shop(pos.Lab), d, "", time.UnixMilli(1)), 48); !strings.Contains(s, "请求未发出,未扣款") {
		t.Errorf("reason is missing:\n%s", s)
	}
}

// What a customer must know whose code is charged when she has left: how much, that it is not paid yet, by whom and
// until when it will be, that she owes nothing more, and how to find it again. Her code is on no paper.
func TestTheReceiptOfAStoredCode(t *testing.T) {
	p := payment(pos.Stored)
	p.OrderAmount, p.Institution, p.Instrument, p.ExpiresMS = p.Amount, "ICBC", "lab-pass", p.CreatedMS+24*time.Hour.Milliseconds()
	p.CodeHash = []byte("hash of the code")
	for columns, want := range map[int]string{
		32: `王府井书店
Wangfujing Books
数字人民币 Digital yuan (e-CNY)
--------------------------------
商户 Merchant                 M1
门店 Store                    S1
终端 Terminal                 T1
收银员 Operator               11
订单 Order                  A-17
时间 Time    2023-11-15 06:13:20
编号 No.                00000000
================================
金额 Amount              ￥12.50
运营机构 Institution        ICBC
================================
已登记,尚未扣款
recorded, not yet charged
网络恢复后将从您的凭证扣款
请勿就此单再次支付
Your code is charged when the
network is back. Do not pay this
order again.
凭证 Code of            lab-pass
逾期不再扣款 Not after
2023-11-16 06:13:20
dcpos:pay:018bcfe5-6800-7900-8000-000000000000
打印 Printed 2023-11-15 06:15:00`,
		48: `王府井书店
Wangfujing Books
数字人民币 Digital yuan (e-CNY)
------------------------------------------------
商户 Merchant                                 M1
门店 Store                                    S1
终端 Terminal                                 T1
收银员 Operator                               11
订单 Order                                  A-17
时间 Time                    2023-11-15 06:13:20
编号 No.                                00000000
================================================
金额 Amount                              ￥12.50
运营机构 Institution                        ICBC
================================================
已登记,尚未扣款
recorded, not yet charged
网络恢复后将从您的凭证扣款
请勿就此单再次支付
Your code is charged when the network is back.
Do not pay this order again.
凭证 Code of                            lab-pass
逾期不再扣款 Not after       2023-11-16 06:13:20
dcpos:pay:018bcfe5-6800-7900-8000-000000000000
打印 Printed 2023-11-15 06:15:00`,
	} {
		got := text(t, slip.Payment(shop(pos.Live), p, "", time.UnixMilli(1_700_000_100_000)), columns)
		if got = trimmed(got); got != want {
			t.Errorf("%d columns:\n%s\nwant\n%s", columns, got, want)
		}
	}
}

// trimmed is a receipt without what is white at the ends of its lines.
func trimmed(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// What a verdict has ended says why.
func TestARefusalSaysWhy(t *testing.T) {
	for _, state := range []pos.State{pos.Refused, pos.Conflict} {
		p := payment(state)
		p.Reason = pos.ErrEvidenceSeen
		s := text(t, slip.Payment(shop(pos.Live), p, "", time.UnixMilli(1)), 48)
		if !strings.Contains(s, p.Reason.Text().ZH) {
			t.Errorf("%s lacks its reason:\n%s", state, s)
		}
	}
}
