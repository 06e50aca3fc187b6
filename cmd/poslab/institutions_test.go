package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"dcpos/internal/cli"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

type outsideGrammar struct {
	Institutions InstitutionsCmd `cmd:""`
	Wallet       WalletCmd       `cmd:""`
}

// poslab runs one command line and gives its output and exit code.
func poslab(ctx context.Context, t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	var grammar outsideGrammar
	streams := &cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out}
	parser, err := kong.New(&grammar, kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(streams))
	if err != nil {
		t.Fatal(err)
	}
	k, err := parser.Parse(args)
	if err == nil {
		err = k.Run()
	}
	if err != nil {
		out.WriteString(err.Error())
	}
	return out.String(), cli.Code(err)
}

// running starts the institutions and gives their URL and how to stop them.
func running(t *testing.T, dir string) (url string, stop func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "url")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if out, code := poslab(ctx, t, "institutions", "--dir", dir, "--address-file", file); code != cli.OK ||
			!strings.Contains(out, "测试 TEST") || !strings.Contains(out, "keys.json") || !strings.Contains(out, "/PSBC/v1") {
			t.Errorf("institutions: exit %d\n%s", code, out)
		}
	}()
	for deadline := time.Now().Add(time.Minute); url == ""; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(file)
		if url = strings.TrimSpace(string(b)); err != nil && time.Now().After(deadline) {
			t.Fatal("the institutions do not start")
		}
	}
	return url, func() { cancel(); <-ended }
}

func TestWalletByHand(t *testing.T) {
	dir, at := filepath.Join(t.TempDir(), "lab"), filepath.Join(t.TempDir(), "wallet")
	url, stop := running(t, dir)
	t.Setenv("DCPOS_LAB_DIR", dir)
	t.Setenv("DCPOS_WALLET", at)
	run := func(want int, says string, args ...string) string {
		t.Helper()
		out, code := poslab(t.Context(), t, append([]string{"wallet"}, args...)...)
		if code != want || !strings.Contains(out, says) {
			t.Errorf("wallet %v: exit %d, want %d and %q:\n%s", args, code, want, says, out)
		}
		return out
	}
	run(cli.OK, "测试钱包已开立", "create", "--institution", "BOC", "--balance", "12.34", "--envelope", "5")
	run(cli.Usage, "holds a wallet already", "create", "--institution", "BOC")
	run(cli.Usage, "no institution", "create", "--institution", "XYZ")
	run(cli.Usage, "balance", "create", "--balance", "1.234")
	run(cli.OK, "余额 ¥12.34,红包 ¥5.00", "show")
	run(cli.OK, `"envelope_fen":500`, "show", "--json")
	if code := strings.Fields(run(cli.OK, "一分钟", "code"))[0]; len(code) != 19 || !strings.HasPrefix(code, "01003") {
		t.Errorf("code %q", code)
	}
	run(cli.OK, "支付成功", "scan", order(t, dir, url))
	run(cli.OK, "余额 ¥12.34,红包 ¥4.00", "show")
	run(cli.Negative, "bad_code", "scan", "dcpos-lab:pay:BOC:nothing")

	stop()
	if _, err := os.Stat(filepath.Join(dir, labAddressFile)); !os.IsNotExist(err) {
		t.Errorf("the address of a stopped simulator stays: %v", err)
	}
	run(cli.Unreachable, "address", "code")
	run(cli.Unreachable, "institution_unavailable", "code", "--lab=", "--url", url, "--key", "x")
	run(cli.Usage, "--lab", "code", "--lab=")
	run(cli.OK, "离线,余额未知", "show", "--lab=")
	challenge, other := challengeText(t, 1), challengeText(t, 2)
	first, err := dcep.DecodeEvidence(strings.TrimSpace(run(cli.OK, dcep.EvidencePrefix, "answer", challenge)))
	if err != nil || first.Counter != 1 {
		t.Errorf("evidence with counter %d: %v", first.Counter, err)
	}
	run(cli.OK, `"counter":1,`, "answer", "--double-spend", "--json", challenge)
	run(cli.OK, `"counter":1,`, "answer", "--json", challenge) // the same question is one payment
	run(cli.OK, `"counter":2,`, "answer", "--json", other)
	run(cli.Usage, "bad_code", "answer", "hello")

	_, stop = running(t, dir) // the books are where they were
	run(cli.OK, "余额 ¥12.34,红包 ¥4.00", "show")
	stop()
}

// challengeText is the n-th challenge of a till.
func challengeText(t *testing.T, n byte) string {
	t.Helper()
	nonce := make([]byte, dcep.NonceSize)
	nonce[0] = n
	text, err := dcep.EncodeChallenge(dcep.Challenge{
		Env: pos.Lab, Terminal: "T", Merchant: "M", Payment: pos.NewPaymentID(time.Now(), [10]byte{n}), Amount: 1,
		Nonce: nonce, ExpiresMS: time.Now().Add(time.Minute).UnixMilli(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// order opens an order of ¥1.00 at BOC and gives its QR.
func order(t *testing.T, dir, url string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]string
	if err := json.Unmarshal(b, &keys); err != nil {
		t.Fatal(err)
	}
	body := `{"request_id":"` + pos.NewPaymentID(time.Now(), [10]byte{}).String() +
		`","merchant":"M","terminal":"T","amount_fen":100,"valid_until_ms":99999999999999}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/BOC/v1/orders", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Dcpos-Key", keys["BOC"])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if b, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	var o struct{ QR string }
	if err := json.Unmarshal(b, &o); err != nil || o.QR == "" {
		t.Fatalf("order: %v %s", err, b)
	}
	return o.QR
}
