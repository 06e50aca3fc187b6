package slip_test

import (
	"bytes"
	"image/png"
	"strings"
	"testing"
	"time"

	"dcpos/agent/slip"
	"dcpos/drivers/receipt/draw"
	"dcpos/drivers/scanner/router"
	"dcpos/internal/testqr"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// TestTheProofFitsTheNarrowestPaper draws a receipt with the longest proof on 58 mm paper (384 dots) and reads it back.
func TestTheProofFitsTheNarrowestPaper(t *testing.T) {
	suite, err := dcep.SuiteByName(dcep.SM2SM3)
	if err != nil {
		t.Fatal(err)
	}
	key, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	p := payment(pos.AcceptedEvidence) // the longest state
	s := dcep.Slip{
		Env: pos.Live, Terminal: strings.Repeat("T", 32), Epoch: 1 << 31, Seq: 1 << 60, Head: bytes.Repeat([]byte{0xEE}, 32),
		Payment: p.ID, Amount: 1 << 50, State: p.State, AtMS: 1 << 52,
	}
	if err := s.Sign(key); err != nil {
		t.Fatal(err)
	}
	text, err := s.Text()
	if err != nil {
		t.Fatal(err)
	}
	code, err := draw.QR([]byte(router.PaymentPrefix+text), 384)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, %d modules of %d dots", len(text), code.Modules(), code.Module)
	var b bytes.Buffer
	font := draw.NewFont("")
	defer func() { _ = font.Close() }()
	if err := (draw.Paper{Columns: 32}).PNG(&b, slip.Payment(shop(pos.Live), p, text, time.UnixMilli(1_700_000_100_000)), font); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	read, err := testqr.Read(img)
	if err != nil {
		t.Fatal(err)
	}
	if read != router.PaymentPrefix+text {
		t.Fatalf("read %q", read)
	}
	v, err := suite.Verifier(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	got, err := dcep.ParseSlip(strings.TrimPrefix(read, router.PaymentPrefix))
	if err != nil || got.Verify(v) != nil || got.Amount != s.Amount {
		t.Fatalf("%+v %v", got, err)
	}
}
