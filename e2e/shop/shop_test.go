package shop_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"dcpos/internal/testbin"
	"dcpos/internal/testbrowser"
	"dcpos/lab/institution"
	"dcpos/lab/shop"
)

// patience is for what a loaded machine may need.
const patience = testbrowser.Patience

// street is a centre, the institutions, and what is needed to pay.
type street struct {
	*testing.T
	dir, config string
	centre      *exec.Cmd
	api         string // URL of the centre for web shops
}

func newStreet(t *testing.T) *street {
	t.Helper()
	s := &street{T: t, dir: t.TempDir()}
	s.config = filepath.Join(s.dir, "poscentral.yaml")
	lab := filepath.Join(s.dir, "lab")
	s.program("poslab", "institutions", "--dir", lab, "--listen", "127.0.0.1:0")
	keys, err := institution.ReadKeys(filepath.Join(lab, institution.KeysFile))
	if err != nil {
		t.Fatal(err)
	}
	address, err := os.ReadFile(filepath.Join(lab, "address"))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("env: lab\ndata: %s\nhttp: {listen: 127.0.0.1:0}\nnats: {listen: 127.0.0.1:0}\nreconcile: {at: \"\"}\n"+
		"default_institution: ICBC\ninstitutions:\n  ICBC: {base_url: %q, api_key: %q}\n  BOC: {base_url: %q, api_key: %q}\nwebshop: {listen: 127.0.0.1:0, address_file: %s}\n",
		filepath.Join(s.dir, "data"), strings.TrimSpace(string(address))+"/ICBC/v1", keys["ICBC"], strings.TrimSpace(string(address))+"/BOC/v1", keys["BOC"], s.file("api"))
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.central("shop", "WFJ", "--merchant", "wfj-mall", "--name-zh", "王府井", "--name-en", "Wangfujing")
	s.start()
	return s
}

func (s *street) file(name string) string { return filepath.Join(s.dir, name) }

// program starts a program and gives what follows the first word of its first line.
func (s *street) program(args ...string) string {
	s.Helper()
	cmd := exec.Command(filepath.Join(testbin.Dir(s.T), args[0]), args[1:]...) //nolint:noctx // ended by a signal
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.Fatalf("%v: %v", args, err)
	}
	_, said, _ := strings.Cut(strings.TrimSpace(line), " ")
	return said
}

// run is a command that must succeed.
func (s *street) run(args ...string) string {
	s.Helper()
	out, err := exec.CommandContext(s.Context(), filepath.Join(testbin.Dir(s.T), args[0]), args[1:]...).CombinedOutput()
	if err != nil {
		s.Fatalf("%v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (s *street) central(args ...string) string {
	s.Helper()
	return s.run(append([]string{"poscentral", "--config", s.config}, args...)...)
}

// start runs the centre and waits for its API.
func (s *street) start() {
	s.Helper()
	_ = os.Remove(s.file("api"))
	cmd := exec.Command(filepath.Join(testbin.Dir(s.T), "poscentral"), "--config", s.config) //nolint:noctx // ended by a signal
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s.centre = cmd
	s.until("the API is up", func() bool {
		b, err := os.ReadFile(s.file("api"))
		if err != nil || !strings.HasSuffix(string(b), "\n") {
			return false
		}
		s.api = "http://" + strings.TrimSpace(string(b))
		res, err := http.Get(s.api + "/healthz") //nolint:noctx // this machine answers or refuses
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusNoContent
	})
}

func (s *street) until(what string, holds func() bool) {
	s.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			s.Fatalf("%s did not come to be", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// open registers a web shop with a key and gives the key's file.
func (s *street) open(id, hook string) string {
	s.Helper()
	s.register(id, hook)
	s.central("webshop", "key", id, "--out", s.file(id+".json"))
	return s.file(id + ".json")
}

func (s *street) register(id, hook string) {
	s.Helper()
	args := []string{"webshop", "add", id, "--merchant", "wfj-mall", "--name-zh", "江南小铺", "--name-en", "Jiangnan Store"}
	if hook != "" {
		args = append(args, "--hook", hook)
	}
	s.central(args...)
}

// wallet opens a wallet of ¥500 with an envelope of ¥200 and gives what scans a code.
func (s *street) wallet(name, bank string) func(qr string) {
	lab, dir := filepath.Join(s.dir, "lab"), s.file("wallet-"+name)
	s.run("poslab", "wallet", "create", "--wallet", dir, "--lab", lab, "--institution", bank, "--balance", "500.00", "--envelope", "200.00")
	return func(qr string) { s.run("poslab", "wallet", "scan", "--wallet", dir, "--lab", lab, qr) }
}

// TestKilledBetweenMoneyAndWebhook: the centre is killed after the money moved and before
// the shop was told; started again, it tells, and there is one payment.
func TestKilledBetweenMoneyAndWebhook(t *testing.T) {
	s := newStreet(t)
	receiver := &shop.Receiver{}
	hook := httptest.NewServer(receiver)
	t.Cleanup(hook.Close)
	path := s.open("api", hook.URL+"/hook")
	s.central("webshop", "switch", "api", "hook_off")
	file, key, err := shop.ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	client := &shop.Client{Base: s.api, KeyID: file.KeyID, Key: key}
	if receiver.KeyID, receiver.Key, err = client.HookKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	order := shop.PayRequest{Order: "K1", Amount: 30_00, Lines: []shop.Line{{Name: "茶 tea", Category: "food", Quantity: 1, Amount: 30_00}}}
	p, err := client.Pay(t.Context(), "k1", order)
	if err != nil {
		t.Fatal(err)
	}
	s.wallet("k", "ICBC")(p.QR)
	s.until("payment", func() bool {
		p, err := client.Find(t.Context(), p.ID)
		return err == nil && p.Status == "paid"
	})
	if err := s.centre.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.centre.Wait() // killed: its error is wanted
	if n := receiver.Seen(p.ID + ".paid"); n != 0 {
		t.Fatalf("told %d times before the kill", n)
	}
	s.start()
	client.Base = s.api
	s.central("webshop", "switch", "api", "hook_on")
	s.until("webhook", func() bool { return receiver.Seen(p.ID+".paid") > 0 })
	again, err := client.Pay(t.Context(), "k1", order)
	if err != nil || again.ID != p.ID || again.Status != "paid" {
		t.Errorf("the same key after the kill is %+v, %v", again, err)
	}
	var listed []struct {
		ID      string
		Waiting int
	}
	s.until("log", func() bool {
		if err := json.Unmarshal([]byte(s.central("webshop", "list", "--json")), &listed); err != nil {
			t.Fatal(err)
		}
		return listed[0].Waiting == 0
	})
}

// TestACustomerInABrowser buys, pays with a wallet, and is given a part back.
func TestACustomerInABrowser(t *testing.T) {
	s := newStreet(t)
	path := s.open("mall", "")
	store := s.program("poslab", "shop", "--centre", s.api, "--key", path, "--listen", "127.0.0.1:0")
	s.register("mall", store+"/hook")
	p := testbrowser.Desk(testbrowser.Start(t), t)
	p.Do("shelves", chromedp.Navigate(store+"/?lang=zh"), chromedp.WaitVisible(`#tea`))
	p.Sees("the page", "江南小铺", "食品", "图书", "测试 TEST")
	p.Shot("shelves")
	p.Do("basket", chromedp.SetValue(`#tea`, "2"), chromedp.SetValue(`#garden`, "1"), chromedp.SetValue(`select[name=bank]`, "BOC"), chromedp.Click(`.bar button`), chromedp.WaitVisible(`img.qr`))
	p.Sees("the page", "¥215.50", "请用数字人民币钱包扫码支付")
	p.Shot("qr")
	s.wallet("b", "BOC")(p.TextOf(`.code`))
	p.Do("paid", chromedp.WaitVisible(`.status.paid`))
	p.Sees("the page", "红包支付 ¥200.00")
	s.until("webhook", func() bool {
		p.Do("look again", chromedp.Navigate(p.Address()), chromedp.WaitVisible(`.status`))
		return strings.Contains(p.Text(), "payment.paid")
	})
	p.Shot("paid")
	p.Leaves("refund", chromedp.SetValue(`#amount`, "50.00"), chromedp.Click(`.status.paid button`))
	p.Do("English", chromedp.Navigate(p.Address()+"?lang=en"), chromedp.WaitVisible(`.status`))
	s.until("refund", func() bool {
		p.Do("look again", chromedp.Navigate(p.Address()), chromedp.WaitVisible(`.status`))
		return strings.Contains(p.Text(), "refunded ¥50.00")
	})
	p.Sees("own money first", "of it own money ¥15.50", "to the envelope ¥34.50")
	p.Shot("refunded")
}
