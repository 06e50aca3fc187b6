package attacks_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"dcpos/internal/testbin"
	"dcpos/lab/drill"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// bench is poslab till in a terminal of its own, with a contactless reader.
type bench struct {
	t    *testing.T
	keys io.WriteCloser
	nfc  map[string]any // posagent's key for its reader
}

func openBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), filepath.Join(testbin.Dir(t), "poslab"), "till", "--dir", dir)
	keys := must[io.WriteCloser](t)(cmd.StdinPipe())
	ok(t, cmd.Start())
	t.Cleanup(func() {
		_ = keys.Close() // it ends
		_ = cmd.Wait()
	})
	b := &bench{t: t, keys: keys}
	wait(t, "the bench is up", func() error {
		raw, err := os.ReadFile(filepath.Join(dir, "devices.yaml"))
		if err != nil {
			return err
		}
		var config map[string]any
		if err := yaml.Unmarshal(raw, &config); err != nil {
			return err
		}
		if b.nfc, _ = config["nfc"].(map[string]any); b.nfc == nil {
			return fmt.Errorf("no reader in %s", raw)
		}
		return nil
	})
	return b
}

func (b *bench) types(lines ...string) {
	b.t.Helper()
	for _, l := range lines {
		_, err := io.WriteString(b.keys, l+"\n")
		ok(b.t, err)
	}
}

// drawer is where poslab wallet keeps wallets.
type drawer struct {
	t    *testing.T
	site *site
	dir  string
	n    int

	expired, revoked string // folders of two wallets
}

// take opens a new wallet by the program and gives its folder.
func (d *drawer) take(more ...string) string {
	d.t.Helper()
	d.n++
	dir := filepath.Join(d.dir, fmt.Sprint(d.n))
	d.run(append([]string{"create", "--wallet", dir, "--lab", d.lab(), "--institution", "ICBC", "--balance", "100.00"}, more...)...)
	return dir
}

func (d *drawer) lab() string { return filepath.Join(d.site.Options.Dir, "lab") }

func (d *drawer) run(args ...string) []byte {
	d.t.Helper()
	out, err := exec.CommandContext(d.t.Context(), filepath.Join(testbin.Dir(d.t), "poslab"), append([]string{"wallet"}, args...)...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("poslab wallet %v: %v\n%s", args, err, out)
	}
	return out
}

// answer signs a till's challenge by the program, as a phone with a behaviour does.
func (d *drawer) answer(dir, behaviour, challenge string) string {
	d.t.Helper()
	var a struct {
		Evidence string `json:"evidence"`
	}
	ok(d.t, json.Unmarshal(d.run("answer", "--json", "--wallet", dir, "--behaviour="+behaviour, challenge), &a))
	return a.Evidence
}

// serial is how a till names the wallet in a folder.
func (s *site) serial(t *testing.T, dir string) string {
	t.Helper()
	return s.serialOf(t, must[*wallet.Wallet](t)(wallet.Open(dir, wallet.Client{})))
}

func (s *site) serialOf(t *testing.T, w *wallet.Wallet) string {
	t.Helper()
	var trust dcep.Trust
	ok(t, json.Unmarshal(must[[]byte](t)(os.ReadFile(filepath.Join(s.Options.Dir, "trust.json"))), &trust))
	return must[dcep.WalletCertificate](t)(trust.VerifyWallet(w.Certificate(), time.Now())).Serial
}

// Wallets of poslab by hand: a phone with each of its behaviours, and a card at the bench's
// reader, against a till without a network.
func TestWalletsOfTheLabAtATill(t *testing.T) {
	b := openBench(t)
	s := &site{Site: must[*drill.Site](t)(drill.Open(t.Context(), drill.SiteOptions{
		Bin: testbin.Dir(t), Dir: t.TempDir(), Till: map[string]any{"nfc": b.nfc},
	}))}
	t.Cleanup(func() { ok(t, s.Close()) })
	d := &drawer{t: t, site: s, dir: t.TempDir()}
	d.expired, d.revoked = d.take("--valid=-1m"), d.take()
	d.run("revoke", "--wallet", d.revoked, "--lab", d.lab(), "--trust", filepath.Join(s.Options.Dir, "trust.json"))
	s.online(t, false)
	s.refusesSoon(t, d)
	t.Run("phone", func(t *testing.T) { s.phones(t, d) })
	t.Run("card", func(t *testing.T) { s.cards(t, b, d) })
}

// refusesSoon waits until the till has heard of the revoked wallet.
func (s *site) refusesSoon(t *testing.T, d *drawer) {
	t.Helper()
	for n := range 9 {
		if _, err := s.offer(t, s.Tills[0], 1, func(challenge string, _ time.Time) (string, error) { return d.answer(d.revoked, "", challenge), nil }); err != nil {
			return
		}
		s.online(t, true)
		pause(t, 250*time.Millisecond<<n) // news comes on the road
		s.online(t, false)
	}
}

func (s *site) phones(t *testing.T, d *drawer) {
	t.Helper()
	for dir, want := range map[string]pos.Code{d.expired: pos.ErrWalletExpired, d.revoked: pos.ErrWalletRevoked} {
		p, err := s.offer(t, s.Tills[0], 2, func(challenge string, _ time.Time) (string, error) { return d.answer(dir, "", challenge), nil })
		if drill.CodeOf(err) != want {
			t.Errorf("%s %v, want %s", p.State, err, want)
		}
	}
	want := map[wallet.Fault]pos.Code{
		wallet.PaysLess: pos.ErrEvidenceAmount, wallet.PaysOther: pos.ErrEvidenceReplay, wallet.ForOther: pos.ErrEvidenceOther,
		wallet.Undated: pos.ErrEvidenceReplay, wallet.Replays: pos.ErrEvidenceReplay, wallet.Rewinds: pos.ErrEvidenceSeen,
		wallet.Clones: pos.ErrEvidenceForged, wallet.Alters: pos.ErrEvidenceForged, wallet.Suites: pos.ErrEvidenceForged, wallet.Garbles: pos.ErrEvidence,
	}
	for _, behaviour := range wallet.Behaviours() {
		if !behaviour.Phone || behaviour.Fault == wallet.Refuses || behaviour.Fault == wallet.Crosses {
			continue // it refuses by itself, or has nothing to cross here: fromTheLab
		}
		dir := d.take()
		as := func(name string) func(string, time.Time) (string, error) {
			return func(challenge string, _ time.Time) (string, error) { return d.answer(dir, name, challenge), nil }
		}
		if p, err := s.offer(t, s.Tills[0], 1, as("")); err != nil || p.State != pos.AcceptedEvidence {
			t.Fatalf("an honest phone: %s %v", p.State, err)
		}
		p, err := s.offer(t, s.Tills[0], 2, as(string(behaviour.Fault)))
		if got := drill.CodeOf(err); err == nil || got != want[behaviour.Fault] {
			t.Errorf("%s: %s %v, want %s", behaviour.Fault, p.State, err, want[behaviour.Fault])
		}
	}
}

// cards holds a card that lies to the reader, and then an honest one: the payment is the
// honest one's.
func (s *site) cards(t *testing.T, b *bench, d *drawer) {
	t.Helper()
	for _, f := range []wallet.Fault{wallet.NoFault, wallet.PaysLess, wallet.Clones, wallet.Silent, wallet.Postpones} {
		s.sales++
		key := fmt.Sprintf("card-%d", s.sales)
		p, err := s.Tills[0].Pay(t.Context(), drill.Start{Key: key, OrderID: key, Amount: 100, Mode: pos.Evidence})
		ok(t, err)
		_, err = s.Tills[0].Challenge(t.Context(), p.ID)
		ok(t, err)
		bad, good := d.take(), d.take()
		if f != wallet.NoFault {
			b.types(":wallet "+bad+" "+string(f), ":tap")
			wait(t, string(f)+" has signed", func() error {
				if must[*wallet.Wallet](t)(wallet.Open(bad, wallet.Client{})).Counter() == 0 {
					return fmt.Errorf("not yet")
				}
				return nil
			})
			b.types(":take")
		}
		b.types(":wallet "+good, ":tap")
		wait(t, "an honest card is accepted after "+string(f), func() error {
			now, err := s.Tills[0].Payment(t.Context(), p.ID)
			if err == nil && now.State != pos.AcceptedEvidence {
				err = fmt.Errorf("payment is %s", now.State)
			}
			p = now
			return err
		})
		b.types(":take")
		if p.Wallet != s.serial(t, good) {
			t.Errorf("%s: the lying card paid", f)
		}
	}
}
