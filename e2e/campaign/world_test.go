package campaign_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dcpos/central/campaign/portal"
	"dcpos/internal/labclock"
	"dcpos/internal/testbin"
	"dcpos/pos"
)

const name = "wangfujing-2021"

// world is the programs of a campaign: centre, witness, phones, one clock for all.
type world struct {
	*testing.T
	dir, config, clock string
	phones             string // URL
	witness            string // URL
	witnessKey         string
	centre             *exec.Cmd
	url                string            // of the campaigns' page
	banks              map[string]string // base URLs with their keys, as the configuration has them; nil: nobody answers
	sms                string            // where the centre posts messages; empty: to the phones
	definition         string            // file of the campaign; empty: the one that ships under its name
	choose             []string          // the institutions that people choose, in turns; nil: ICBC
	client             http.Client

	mu  sync.Mutex
	now time.Time // the clock's last setting: it only goes forward
}

// program runs a program that says on its first lines where it is.
func (w *world) program(lines int, args ...string) (*exec.Cmd, []string) {
	w.Helper()
	cmd := exec.Command(filepath.Join(testbin.Dir(w.T), args[0]), args[1:]...) //nolint:noctx // ended by a signal
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var said []string
	for r := bufio.NewReader(out); len(said) < lines; {
		line, err := r.ReadString('\n')
		if err != nil {
			w.Fatalf("%v said %v and ended: %v", args, said, err)
		}
		_, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		said = append(said, value)
	}
	return cmd, said
}

// run is a command that must succeed.
func (w *world) run(args ...string) string {
	w.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.Fatalf("%v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

func (w *world) try(args ...string) (string, error) {
	cmd := exec.CommandContext(w.Context(), filepath.Join(testbin.Dir(w.T), args[0]), args[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String() + tail(errs.String(), err), err
}

func tail(errs string, err error) string {
	if err == nil {
		return ""
	}
	return errs
}

func (w *world) central(args ...string) string {
	w.Helper()
	return w.run(append([]string{"poscentral", "--config", w.config}, args...)...)
}

// set moves the clock of all programs forward.
func (w *world) set(t time.Time) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.Before(w.now) {
		w.Fatalf("the clock would go back to %s", t)
	}
	w.now = t
	if err := labclock.Set(w.clock, t); err != nil {
		w.Fatal(err)
	}
}

// later moves it on from where it was.
func (w *world) later(d time.Duration) {
	w.Helper()
	w.mu.Lock()
	t := w.now.Add(d)
	w.mu.Unlock()
	w.set(t)
}

// newWorld publishes the campaign on the day before its registration.
func newWorld(t *testing.T, database string) *world {
	t.Helper()
	return newWorldWith(t, database, func(*world) {})
}

// newWorldWith lets a test prepare the world before its centre is configured.
func newWorldWith(t *testing.T, database string, prepare func(w *world)) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), client: http.Client{Timeout: patience}}
	w.config, w.clock = filepath.Join(w.dir, "poscentral.yaml"), filepath.Join(w.dir, "clock")
	w.set(at("2021-02-06 12:00:00"))
	prepare(w)
	if database == "" {
		database = "sqlite:" + filepath.Join(w.dir, "centre.db")
	}
	w.configure(database, "")
	watch := w.central("campaign", "key", name)
	other := w.central("campaign", "key", draftName)
	if w.phones == "" {
		_, said := w.program(1, "poslab", "phone", "--listen", "127.0.0.1:0")
		w.phones = said[0]
	}
	_, said := w.program(2, "poslab", "witness", "--state", filepath.Join(w.dir, "witness.json"), "--listen", "127.0.0.1:0", "--clock", w.clock, "--watch", watch, "--watch", other)
	w.witness = said[0]
	w.witnessKey = said[1]
	w.configure(database, said[1])
	w.central("campaign", "deposit", "dongcheng-district", "10000000.00", "--institution", "ICBC", "--reference", "T1")
	w.central("campaign", "deposit", "dongcheng-district", "10000000.00", "--institution", "ICBC", "--reference", "T1") // a repeat
	for _, merchant := range []string{"wangfujing", "jd-wangfujing"} {
		w.central("shop", "S-"+merchant[:2], "--merchant", merchant, "--name-zh", "王府井", "--name-en", "Wangfujing")
	}
	w.central("campaign", "publish", cmp.Or(w.definition, name), "--beacon", "practice")
	return w
}

func (w *world) configure(database, witness string) {
	w.Helper()
	var banks strings.Builder
	for _, code := range []string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"} {
		at := w.banks[code]
		if at == "" {
			at = fmt.Sprintf("base_url: \"http://127.0.0.1:9/%s/v1\", api_key: none", code)
		}
		fmt.Fprintf(&banks, "  %s: {%s}\n", code, at)
	}
	text := fmt.Sprintf(`env: lab
data: %s
database: %q
http: {listen: 127.0.0.1:0, address_file: %s}
nats: {listen: 127.0.0.1:0}
reconcile: {at: ""}
institutions:
%scampaign: {clock: %s, per_source: 1000000, look_ups: 1000000`, filepath.Join(w.dir, "data"), database, w.consoleAddress(), banks.String(), w.clock)
	if witness != "" {
		text += fmt.Sprintf(`, listen: 127.0.0.1:0, address_file: %s, witness: %q, witness_url: %q, sms: %q`,
			w.address(), witness, w.witness, cmp.Or(w.sms, w.phones)+"/messages")
	}
	if err := os.WriteFile(w.config, []byte(text+"}\n"), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *world) consoleAddress() string { return filepath.Join(w.dir, "console") }

func (w *world) address() string { return filepath.Join(w.dir, "address") }

// start runs the centre and waits for its page.
func (w *world) start() {
	w.Helper()
	w.launch()
	w.until("the page is up", func() bool {
		b, err := os.ReadFile(w.address())
		if err != nil || !bytes.HasSuffix(b, []byte("\n")) {
			return false
		}
		w.mu.Lock()
		w.url = "http://" + strings.TrimSpace(string(b))
		w.mu.Unlock()
		r, err := w.client.Get(w.page() + "/healthz") //nolint:noctx // the client has a timeout
		if err != nil {
			return false
		}
		return r.Body.Close() == nil && r.StatusCode == http.StatusNoContent
	})
}

// launch runs the centre.
func (w *world) launch() {
	w.Helper()
	_ = os.Remove(w.address())
	w.centre = exec.Command(filepath.Join(testbin.Dir(w.T), "poscentral"), "--config", w.config) //nolint:noctx // ended by a signal
	log, err := os.OpenFile(filepath.Join(w.dir, "centre.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		w.Fatal(err)
	}
	w.centre.Stderr = log
	if err := w.centre.Start(); err != nil {
		w.Fatal(err)
	}
	_ = log.Close()
	cmd := w.centre
	w.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// page is the page's address, which changes when the centre is started anew.
func (w *world) page() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.url
}

// kill is SIGKILL.
func (w *world) kill() {
	w.Helper()
	if err := w.centre.Process.Signal(syscall.SIGKILL); err != nil {
		w.Fatal(err)
	}
	_ = w.centre.Wait()
}

func (w *world) until(what string, holds func() bool) {
	w.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b, _ := os.ReadFile(filepath.Join(w.dir, "centre.log"))
			w.Fatalf("%s: not within %s\n%s", what, patience, b[max(0, len(b)-4000):])
		}
	}
}

// post asks the API. status is 0 when nobody answered.
func (w *world) post(path string, in, out any) (status int, problem portal.Problem) {
	b, err := json.Marshal(in)
	if err != nil {
		w.Error(err)
	}
	r, err := w.client.Post(w.page()+"/v1/campaigns/"+name+path, "application/json", bytes.NewReader(b)) //nolint:noctx // the client has a timeout
	if err != nil {
		return 0, problem
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode == http.StatusOK {
		err = json.NewDecoder(r.Body).Decode(out)
	} else {
		err = json.NewDecoder(r.Body).Decode(&problem)
	}
	if err != nil {
		return 0, problem
	}
	return r.StatusCode, problem
}

// code is the last one that was sent to a phone.
func (w *world) code(phone string) string {
	r, err := w.client.Get(w.phones + "/messages?phone=" + phone) //nolint:noctx // the client has a timeout
	if err != nil {
		w.Error(err)
		return ""
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.Error(err)
	}
	return regexp.MustCompile(`码 ([0-9]{6})`).FindString(string(b)) // with its word: numbers are in the message too
}

func idNumber(n int) string {
	s := fmt.Sprintf("1101051990%02d%02d%03d", 1+n/1000%12, 1+n/12000%28, n%1000)
	sum := 0
	for i, weight := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += int(s[i]-'0') * weight
	}
	return s + string("10X98765432"[sum%11])
}

// choice is the institution that the n-th person chooses.
func (w *world) choice(n int) string {
	if len(w.choose) == 0 {
		return "ICBC"
	}
	return w.choose[n%len(w.choose)]
}

func phoneNumber(n int) string { return fmt.Sprintf("139%08d", n) }

// enter registers the n-th person by the API, whatever happens to the centre meanwhile:
// what was not answered is sent again, a code that never came asked for a minute later.
func (w *world) enter(n int) (e portal.Entry, ok bool) {
	in := portal.Submission{
		Name: "张三", Document: "resident_id", Number: idNumber(n), Phone: phoneNumber(n), Institution: w.choice(n),
		Position: &portal.Position{Datum: "gcj02", Lat: 39.9164, Lon: 116.4174, Accuracy: 20},
	}
	var a struct {
		Ref string `json:"ref"`
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if status, p := w.post("/registrations", in, &a); status != http.StatusOK {
			if status != 0 && status != http.StatusServiceUnavailable {
				w.Errorf("person %d: %d %+v", n, status, p)
				return e, false
			}
			continue
		}
		code := strings.TrimPrefix(w.code(in.Phone), "码 ")
		status, p := w.post("/confirmations", map[string]string{"ref": a.Ref, "code": code}, &e)
		switch {
		case status == http.StatusOK:
			return e, true
		case p.Reason == "wrong_code": // the centre died between keeping a new code and sending it
			w.later(61 * time.Second)
		case status != 0 && status != http.StatusServiceUnavailable:
			w.Errorf("person %d: %d %+v", n, status, p)
			return e, false
		}
	}
	w.Errorf("person %d: not entered within %s", n, patience)
	return e, false
}

// standing is the campaign's, by the command.
func (w *world) standing() (s struct {
	State   string `json:"state"`
	List    string `json:"list_witnessed"`
	Result  string `json:"result_witnessed"`
	Entries int64  `json:"entries"`
	RoundAt string `json:"round_at"`
	Folder  string `json:"folder"`
},
) {
	w.Helper()
	var all []json.RawMessage
	out := w.central("campaign", "status", name, "--json")
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		w.Fatalf("status: %s, %v", out, err)
	}
	if err := json.Unmarshal(all[0], &s); err != nil {
		w.Fatal(err)
	}
	return s
}

// closed lets registration end; the running centre freezes the list by itself.
func (w *world) closed() {
	w.Helper()
	w.set(at("2021-02-09 00:00:00"))
	w.until("the list is frozen and witnessed", func() bool { return w.standing().List != "" })
}

// drawable lets the moment of the round come.
func (w *world) drawable() {
	w.Helper()
	t, err := time.ParseInLocation(time.RFC3339, w.standing().RoundAt, pos.Shanghai())
	if err != nil {
		w.Fatal(err)
	}
	w.set(t)
}
