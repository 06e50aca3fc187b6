package reconcile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dcpos/central/payment"
	"dcpos/central/store"
	"dcpos/internal/testbin"
	"dcpos/lab/drill"
	"dcpos/lab/statements"
	"dcpos/pos"
)

var (
	kills = flag.Int("kills", 6, "SIGKILLs of the serving centre and its workers")
	seed  = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the lines, the differences and the moments")
)

const (
	password = "a long password of the test"
	linesPer = 200 // of an institution and date
)

// banks hand out statements, as the lab's institutions write them.
type banks struct {
	mu    sync.Mutex
	files map[string][]byte // by path
}

func (b *banks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	file, ok := b.files[r.URL.Path]
	b.mu.Unlock()
	if !ok {
		http.Error(w, `{"code":"not_ready"}`, http.StatusNotFound)
		return
	}
	_, _ = w.Write(file) // a centre that was killed asks again
}

// world is one serving centre that shares its runs, another that does not, and their banks.
type world struct {
	*testing.T
	dir    string
	bin    string
	banks  *banks
	url    string // of the banks
	shared *centre
	single *centre
	token  string
	late   map[string][]statements.BankLine // what the banks will have on their next statement
}

// centre is one poscentral with a database of its own.
type centre struct {
	drill.Program
	dir, config, address string
	nats                 string
	store                *store.Store // the test's own eyes, beside the program
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), bin: testbin.Dir(t), banks: &banks{files: map[string][]byte{}}, late: map[string][]statements.BankLine{}}
	server := httptest.NewServer(w.banks)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.token = filepath.Join(w.dir, "token")
	w.must(os.WriteFile(w.token, []byte("a token that is long enough\n"), 0o600))
	w.must(os.WriteFile(filepath.Join(w.dir, "password"), []byte(password+"\n"), 0o600))
	w.single = w.centre("single", nil)
	var keys []string
	for i := range workers + 1 { // one more is without access to the segments
		out, err := w.run(nil, "poscentral", "worker", "--key", w.key(i), "--new-key")
		w.must(err)
		keys = append(keys, strings.TrimSpace(out))
	}
	w.shared = w.centre("shared", keys)
	_, err := w.run([]byte(password), "poscentral", "--config", w.shared.config, "account", "add", "wang", "--role", "operator")
	w.must(err)
	return w
}

func (w *world) key(i int) string { return filepath.Join(w.dir, fmt.Sprintf("w%d.nk", i)) }

// free is an address that was free a moment ago: a centre that is killed must come back to it.
func (w *world) free() string {
	w.Helper()
	var c net.ListenConfig
	l, err := c.Listen(w.Context(), "tcp", "127.0.0.1:0")
	w.must(err)
	w.must(l.Close())
	return l.Addr().String()
}

func (w *world) centre(name string, keys []string) *centre {
	w.Helper()
	c := &centre{dir: filepath.Join(w.dir, name), nats: w.free()}
	c.config, c.address = c.dir+".yaml", w.free()
	access := map[string]any{}
	for _, code := range statements.Banks() {
		access[code] = map[string]string{"base_url": w.url + "/" + code, "api_key": "k"}
	}
	b, err := json.Marshal(map[string]any{
		"env": "lab", "data": c.dir, "http": map[string]any{"listen": c.address}, "nats": map[string]any{"listen": c.nats},
		"institutions": access,
		"reconcile": map[string]any{
			"at": "", "prepare_minutes": 0, "memory": 16 << 20, "worker_keys": keys, "lease_seconds": 1, "segments_token_file": w.token,
		},
	})
	w.must(err)
	w.must(os.WriteFile(c.config, b, 0o600))
	w.must(os.MkdirAll(c.dir, 0o700))
	c.store, err = store.Open(w.Context(), store.Config{URL: "sqlite:" + filepath.Join(c.dir, "centre.db"), Env: pos.Lab})
	w.must(err)
	w.Cleanup(func() { _ = c.store.Close() })
	c.Program = drill.Program{Name: name, Path: filepath.Join(w.bin, "poscentral"), Args: []string{"--config", c.config}, Log: c.dir + ".log"}
	return c
}

// run runs a program to its end.
func (w *world) run(in []byte, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(w.bin, program), args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %v: %w: %s", program, args, err, errs.String())
	}
	return out.String(), nil
}

// posctl does what an operator does, at the serving centre.
func (w *world) posctl(args ...string) (string, error) {
	return w.run(nil, "posctl", append([]string{
		"breaks", "--centre", "http://" + w.shared.address, "--account", "wang", "--password-file", filepath.Join(w.dir, "password"),
	}, args...)...)
}

// start starts a program; a centre is waited for.
func (w *world) start(p *drill.Program) {
	w.Helper()
	w.must(p.Start(w.Context()))
}

func (w *world) until(what string, f func() bool) {
	w.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%s: not within three minutes", what)
		}
	}
}

// line is one payment as both sides know it.
type line struct {
	record payment.Record
	bank   statements.BankLine
}

// sell makes a date's payments: rows in both databases, statements and credits at the banks, with
// differences of every kind among them, some of which the next day's statement settles.
func (w *world) sell(r *rand.Rand, date pos.Date) {
	w.Helper()
	noon, err := time.ParseInLocation(time.DateOnly, string(date), pos.Shanghai())
	w.must(err)
	noon = noon.Add(12 * time.Hour)
	var records []payment.Record
	files := map[string][]byte{}
	for _, code := range statements.Banks() {
		theirs := w.late[code]
		for i := range theirs {
			theirs[i].Day, theirs[i].Date = number(date), number(date)
		}
		w.late[code] = nil
		for n := range linesPer {
			l := newLine(r, code, date, noon.Add(time.Duration(n)*time.Second), n)
			switch r.IntN(25) {
			case 0: // they lack it; some of it is on the next day's
				records = append(records, l.record)
				if l.bank.Amount%2 == 0 {
					w.late[code] = append(w.late[code], l.bank)
				}
				continue
			case 1: // we lack it
				theirs = append(theirs, l.bank)
				continue
			case 2:
				l.bank.Amount++
			case 3:
				l.bank.Status = 'F'
			case 4: // twice
				theirs = append(theirs, l.bank)
			}
			records, theirs = append(records, l.record), append(theirs, l.bank)
		}
		file, err := statements.WriteBank(code, number(date), number(date), theirs)
		w.must(err)
		files["/"+code+"/statements/"+string(date)] = file
		files["/"+code+"/account/"+string(date)] = credited(code, date, theirs)
	}
	for _, c := range []*centre{w.single, w.shared} {
		w.must(c.store.Payments().PaymentTx(w.Context(), func(tx payment.Tx) error {
			for _, r := range records {
				if err := tx.PutPayment(w.Context(), r); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	w.banks.mu.Lock()
	maps.Copy(w.banks.files, files)
	w.banks.mu.Unlock()
}

// number is a date as yyyymmdd.
func number(date pos.Date) (n int) {
	_, _ = fmt.Sscan(strings.ReplaceAll(string(date), "-", ""), &n) // a date is digits
	return n
}

func newLine(r *rand.Rand, code string, date pos.Date, at time.Time, n int) line {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(code+string(date)), uint64(n))) //nolint:gosec // a number
	id := pos.NewPaymentID(at, [10]byte(sum[:10]))
	amount := 1 + r.Int64N(100_000)
	day := number(date)
	state := pos.Paid
	if n%20 == 19 {
		state = pos.Declined
	}
	l := line{
		record: payment.Record{
			ID: id, Terminal: "SZ01-001", Merchant: fmt.Sprint("M", n%7), Mode: pos.BScanC, Amount: pos.Money(amount), Institution: code, State: state,
			Txn: id.String(), SettlementDate: date, CreatedMS: at.UnixMilli(), UpdatedMS: at.UnixMilli(),
		},
		bank: statements.BankLine{
			TxnID: id.String(), Merchant: fmt.Sprint("M", n%7), Name: "乗风超市", Terminal: "SZ01-001", Batch: "B1", Amount: amount, Status: 'S',
			Day: day, Date: day, Clock: at.Hour()*10000 + at.Minute()*100 + at.Second(),
		},
	}
	if state == pos.Declined {
		l.bank.Status = 'F'
	}
	return l
}

// credited is the settlement account's statement (MT940): all of the file's lines, but for ABC one fen less.
func credited(code string, date pos.Date, lines []statements.BankLine) []byte {
	var sum int64
	for _, l := range lines {
		if l.Status == 'S' {
			sum += l.Amount
		}
	}
	if code == "ABC" {
		sum--
	}
	day := strings.ReplaceAll(string(date), "-", "")
	amount := fmt.Sprintf("%d,%02d", sum/100, sum%100)
	return fmt.Appendf(nil, ":20:DCEP%s\r\n:25:%s/DCEP\r\n:28C:1/1\r\n:60F:C%sCNY0,00\r\n:61:%s%sC%sNTRFDCEP%s//%s%s01\r\n:86:/SETT/%s/\r\n:62F:C%sCNY%s\r\n-\r\n",
		day, code, day[2:], day[2:], day[4:], amount, day, code, day, day, day[2:], amount)
}
