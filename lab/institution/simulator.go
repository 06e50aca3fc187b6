// Package institution simulates the six operating institutions behind one HTTP
// listener, each with books, API key and issuing certificate of its own, and faults
// on demand.
//
// It is the outside world of tests and demonstrations, not a model of any real
// bank's interface, which is not public. It shares no code with the centre that it
// is to judge. To add an institution, add its line in Institutions.
package institution

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/lab/institution/authority"
	"dcpos/lab/institution/books"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// CutOver is when settlement days end unless Options says otherwise: 23:00 in Shanghai.
const CutOver = 23 * time.Hour

// Institution is one of the six.
type Institution struct {
	Code  string   // as in certificates and paths
	Route string   // digits 3 to 5 of its payment codes
	Name  pos.Text // for people
}

// Institutions lists the six operating institutions of the seeds in the order of their routes.
func Institutions() []Institution {
	return []Institution{
		{"ICBC", "001", pos.Text{ZH: "工商银行", EN: "Industrial and Commercial Bank of China"}},
		{"ABC", "002", pos.Text{ZH: "农业银行", EN: "Agricultural Bank of China"}},
		{"BOC", "003", pos.Text{ZH: "中国银行", EN: "Bank of China"}},
		{"CCB", "004", pos.Text{ZH: "建设银行", EN: "China Construction Bank"}},
		{"BOCOM", "005", pos.Text{ZH: "交通银行", EN: "Bank of Communications"}},
		{"PSBC", "006", pos.Text{ZH: "邮储银行", EN: "Postal Savings Bank of China"}},
	}
}

// Options say how the simulator runs; the zero value of each but Dir has a default.
type Options struct {
	Dir            string            // where keys, certificates, books and statements are kept
	Now            func() time.Time  // the institutions' clock; time.Now
	CutOver        time.Duration     // end of the settlement day; CutOver, and negative is midnight
	FeeBasisPoints int64             // fee per 10,000 of a payment; 0 as with e-CNY
	Suite          string            // of the authority's keys when they are made; sm2-sm3
	Keys           map[string]string // API keys that replace those in DIR/keys.json
	// Unflushed books are not flushed before an answer: for a run on one machine that judges another's speed, whose
	// banks have machines of their own. A power cut may lose what was answered.
	Unflushed bool
}

// house is one institution at work.
type house struct {
	Institution
	books  *books.Books
	key    string
	faults faults
}

// Simulator is the six institutions. Close it after use.
type Simulator struct {
	opts      Options
	authority *authority.Authority
	houses    map[string]*house
	lock      *os.File
}

// Open reads the simulator's folder, and makes what is missing. It fails when
// another simulator works in the folder, when a key or certificate cannot be read,
// and when a book does not balance.
func Open(o Options) (*Simulator, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CutOver == 0 {
		o.CutOver = CutOver
	}
	if o.Suite == "" {
		o.Suite = dcep.SM2SM3
	}
	if o.FeeBasisPoints < 0 || o.FeeBasisPoints > 10_000 || o.CutOver >= 24*time.Hour {
		return nil, pos.NewError(pos.ErrConfig, errors.New("want a fee of 0 to 10000 basis points and a cut-over within a day"))
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Simulator{opts: o, houses: map[string]*house{}, lock: lock}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// lockDir keeps a second simulator out of the folder; the system frees the lock with the process.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Join(dir, "books"), 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		cause := fmt.Errorf("lock %s: another simulator works here: %w", dir, err)
		return nil, errors.Join(pos.FieldError(pos.ErrConfig, "dir", cause), f.Close())
	}
	return f, nil
}

func (s *Simulator) open() error {
	var codes []string
	for _, i := range Institutions() {
		codes = append(codes, i.Code)
	}
	keys, err := loadKeys(filepath.Join(s.opts.Dir, KeysFile), codes, s.opts.Keys)
	if err != nil {
		return err
	}
	s.authority, err = authority.Open(filepath.Join(s.opts.Dir, "authority"), codes, s.opts.Suite, s.opts.Now)
	if err != nil {
		return err
	}
	for _, i := range Institutions() {
		b, err := books.Open(filepath.Join(s.opts.Dir, "books", i.Code+".jsonl"), books.Config{
			Institution: i.Code, Route: i.Route, Now: s.opts.Now, CutOver: max(s.opts.CutOver, 0),
			FeeBasisPoints: s.opts.FeeBasisPoints, Unflushed: s.opts.Unflushed,
		})
		if err != nil {
			return err
		}
		s.houses[i.Code] = &house{Institution: i, books: b, key: keys[i.Code]}
	}
	return nil
}

// Close makes all books durable and leaves the folder to others.
func (s *Simulator) Close() error {
	var errs []error
	for _, h := range s.houses {
		errs = append(errs, h.books.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Key is the institution's API key; empty for an unknown one.
func (s *Simulator) Key(institution string) string {
	if h, ok := s.houses[institution]; ok {
		return h.key
	}
	return ""
}

// Trust is what tills are to believe of the lab: root, institutions and revoked serials.
func (s *Simulator) Trust() dcep.Trust {
	t := s.authority.Trust()
	for _, h := range s.houses {
		t.Revoked = append(t.Revoked, h.books.Revoked()...)
	}
	slices.Sort(t.Revoked)
	return t
}

// Totals sums up the books of all six, in the order of Institutions.
func (s *Simulator) Totals() []api.Totals {
	var out []api.Totals
	for _, i := range Institutions() {
		out = append(out, s.houses[i.Code].books.Totals())
	}
	return out
}

// The server's limits. Writing may take as long as the longest ordered delay.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = api.MaxDelayMS*time.Millisecond + 10*time.Second
	idleTimeout   = 2 * time.Minute
	stopTimeout   = 5 * time.Second
)

// Serve answers on the listener until the context ends, then finishes what it is
// answering and returns nil.
func (s *Simulator) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		return fmt.Errorf("stop serving: %w", errors.Join(err, srv.Close()))
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
