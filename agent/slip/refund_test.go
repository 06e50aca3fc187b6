package slip_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dcpos/agent/slip"
	"dcpos/pos"
)

var update = flag.Bool("update", false, "write the golden papers anew")

// refunds is a payment of ¥300, ¥200 of it out of an envelope, in parts given back: own
// money first, then the envelope, and after its end what it gets is the fund's.
func refunds(offline bool) pos.Payment {
	p := payment(pos.Paid)
	p.Amount, p.OrderAmount, p.EnvelopePart, p.Institution, p.InstitutionTxn = 300_00, 300_00, 200_00, "ICBC", "2021021012345678"
	if offline {
		p.State, p.Mode = pos.Credited, pos.Evidence
	}
	id := func(n byte) pos.RefundID { return pos.NewPaymentID(time.UnixMilli(1_700_000_050_000), [10]byte{9: n}) }
	p.Refunds = []pos.Refund{
		{ID: id(1), State: pos.RefundRefunded, Amount: 60_00},
		{ID: id(2), State: pos.RefundRefunded, Amount: 90_00, Envelope: 50_00},
		{ID: id(3), State: pos.RefundRefunded, Amount: 70_00, Envelope: 70_00, Recalled: 30_00},
		{ID: id(4), State: pos.RefundRefunded, Amount: 50_00, Envelope: 50_00, Recalled: 50_00},
		{ID: id(5), State: pos.RefundIntent, Amount: 30_00},
	}
	return p
}

// TestWhereARefundWentIsOnThePaper compares whole papers: own money, envelope, recalled, in
// both languages, of a sale online and of one that was taken offline.
func TestWhereARefundWentIsOnThePaper(t *testing.T) {
	for name, offline := range map[string]bool{"online": false, "offline": true} {
		for _, columns := range []int{32, 48} {
			got := []byte(text(t, slip.Payment(shop(pos.Lab), refunds(offline), "", time.UnixMilli(1_700_000_100_000)), columns))
			file := filepath.Join("testdata", fmt.Sprintf("refund-%s-%d.txt", name, columns))
			if *update {
				if err := os.WriteFile(file, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs; look at what -update makes of it:\n%s", file, got)
			}
		}
	}
}

func TestARefundThatTouchedNoEnvelopeSaysNothingOfOne(t *testing.T) {
	p := payment(pos.Paid)
	p.Refunds = []pos.Refund{{ID: p.ID, State: pos.RefundRefunded, Amount: 250}}
	if s := text(t, slip.Payment(shop(pos.Lab), p, "", time.UnixMilli(1)), 48); bytes.Contains([]byte(s), []byte("红包")) {
		t.Errorf("it tells of an envelope:\n%s", s)
	}
}
