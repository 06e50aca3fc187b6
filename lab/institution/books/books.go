// Package books keeps the books of one simulated operating institution: wallets,
// merchants, fees, payments, orders, refunds and evidence, in one append-only file.
//
// Everything that changes money is an event: decided under one lock, appended,
// applied, and answered only after fsync. To add a kind of request, add its decision
// beside Pay and, if it has an effect of its own, a field of event and its apply.
package books

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// CodeLife is how long a payment code may be used (e-CNY: one minute).
const CodeLife = time.Minute

// Config says whose books these are and by which rules they are kept.
type Config struct {
	Institution    string           // such as ICBC
	Route          string           // three digits in payment codes, such as 001
	Now            func() time.Time // the institution's clock
	CutOver        time.Duration    // when its settlement day ends, counted from midnight in Shanghai
	FeeBasisPoints int64            // fee per 10,000 of a payment, rounded half up; e-CNY takes none
	// Unflushed leaves it to the system when the books reach the disk: a power cut may lose what was answered.
	Unflushed bool
}

// mark is one use of a wallet's counter.
type mark struct {
	serial  string
	counter uint64
}

type parts struct{ own, envelope pos.Money }

// Books are one institution's books. All methods are safe for concurrent use.
type Books struct {
	cfg     Config
	journal *journal

	mu        sync.Mutex // guards everything below
	wallets   map[string]*Wallet
	serials   map[string]string // certificate serial → wallet
	codes     map[string]*code
	records   map[string]*Record
	order     []string          // record ids as they came
	tokens    map[string]string // order token → record
	counters  map[mark]string   // → the first record that used it
	returned  map[string]parts  // payment → refunded so far
	merchants map[string]pos.Money
	planted   []api.PlantedLine
	totals    api.Totals // running sums; Totals adds the rest
	campaigns
}

// Open reads the books at path, which is made when absent, and checks that they
// balance. Two programs must not open one file; the caller sees to that.
func Open(path string, cfg Config) (*Books, error) {
	b := &Books{
		cfg: cfg, wallets: map[string]*Wallet{}, serials: map[string]string{}, codes: map[string]*code{},
		records: map[string]*Record{}, tokens: map[string]string{}, counters: map[mark]string{},
		returned: map[string]parts{}, merchants: map[string]pos.Money{}, campaigns: newCampaigns(),
	}
	var err error
	if b.journal, err = openJournal(path, b.apply, cfg.Unflushed); err != nil {
		return nil, err
	}
	t := b.sums()
	if t.WalletsOwn+t.WalletsEnvelope+t.Merchants+t.Fees != t.Issued {
		return nil, errors.Join(fmt.Errorf("books of %s do not balance", cfg.Institution), b.journal.close())
	}
	return b, nil
}

// Close makes everything durable and closes the file.
func (b *Books) Close() error { return b.journal.close() }

// Institution is whose books these are.
func (b *Books) Institution() string { return b.cfg.Institution }

// Totals sums the books up.
func (b *Books) Totals() api.Totals {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sums()
}

func (b *Books) sums() api.Totals {
	t := b.totals
	t.Institution, t.Wallets, t.Merchant = b.cfg.Institution, len(b.wallets), maps.Clone(b.merchants)
	for _, w := range b.wallets {
		t.WalletsOwn += w.Own
		t.WalletsEnvelope += w.Envelope
	}
	for _, e := range b.envelopes {
		if !e.Recalled {
			t.WalletsEnvelope += e.Left
		}
	}
	for _, m := range b.merchants {
		t.Merchants += m
	}
	now := b.cfg.Now()
	for _, id := range b.tokens {
		switch r := b.present(*b.records[id], now); r.Status {
		case api.InProcess:
			t.OpenOrders++
		case api.Failed:
			t.FailedCount++
		case api.Success, api.NotFound:
		}
	}
	return t
}

// Recent gives the last n records, newest first.
func (b *Books) Recent(n int) []Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Record
	for _, id := range slices.Backward(b.order) {
		if len(out) == n {
			break
		}
		out = append(out, b.present(*b.records[id], b.cfg.Now()))
	}
	return out
}

// OpenWallet adds a wallet whose certificate has been issued.
func (b *Books) OpenWallet(w Wallet) error {
	b.mu.Lock()
	err := b.commit(event{Wallet: &w})
	if err == nil {
		err = b.claim(w.ID)
	}
	b.mu.Unlock()
	return errors.Join(err, b.journal.sync())
}

// Wallet finds a wallet.
func (b *Books) Wallet(id string) (Wallet, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, ok := b.wallets[id]
	if !ok {
		return Wallet{}, false
	}
	return *w, true
}

// WalletOfSerial finds a wallet by its certificate's serial number.
func (b *Books) WalletOfSerial(serial string) (Wallet, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, ok := b.wallets[b.serials[serial]]
	if !ok {
		return Wallet{}, false
	}
	return *w, true
}

// Revoke withdraws a wallet's certificate; its money stays. A repeat changes nothing.
func (b *Books) Revoke(id string) error {
	b.mu.Lock()
	w, ok := b.wallets[id]
	var err error
	switch {
	case !ok:
		err = noWallet(id)
	case !w.Revoked:
		err = b.commit(event{Revoked: id})
	}
	b.mu.Unlock()
	return errors.Join(err, b.journal.sync())
}

// Revoked lists the serials of revoked certificates, sorted.
func (b *Books) Revoked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, w := range b.wallets {
		if w.Revoked {
			out = append(out, w.Serial)
		}
	}
	slices.Sort(out)
	return out
}

// Code issues a payment code of the wallet: 19 digits, "01", the route, 14 random digits.
func (b *Books) Code(wallet string) (string, error) {
	c, err := b.drawCode(wallet, CodeLife, func() string { return "01" + b.cfg.Route + digits(14) })
	if err != nil {
		return "", err
	}
	return c, b.journal.sync()
}

func (b *Books) drawCode(wallet string, life time.Duration, draw func() string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.wallets[wallet]; !ok {
		return "", noWallet(wallet)
	}
	c := draw()
	for b.codes[c] != nil {
		c = draw()
	}
	expires := b.cfg.Now().Add(life).UnixMilli()
	return c, b.commit(event{Code: &code{Code: c, Wallet: wallet, ExpiresMS: expires}})
}

// PassName is the laboratory's own forwardable instrument; PassLife is how long a code of it may
// be charged. No institution has published such an instrument: it stands for one that would.
const (
	PassName = "lab-pass"
	PassLife = 48 * time.Hour
)

// Pass issues a code of PassName, which a till may store without a network and have charged later.
func (b *Books) Pass(wallet string) (string, error) {
	c, err := b.drawCode(wallet, PassLife, func() string { return dcep.NewForward(b.cfg.Institution, PassName).String() })
	if err != nil {
		return "", err
	}
	return c, b.journal.sync()
}

// digits draws n decimal digits; a byte above 249 is drawn again, so that each is equally likely.
func digits(n int) string {
	var s strings.Builder
	for buf := make([]byte, n); s.Len() < n; {
		_, _ = rand.Read(buf) // never returns an error (crypto/rand)
		for _, c := range buf {
			if c < 250 && s.Len() < n {
				s.WriteByte('0' + c%10)
			}
		}
	}
	return s.String()
}

func noWallet(id string) error {
	return pos.FieldError(pos.ErrNotFound, "wallet", fmt.Errorf("no wallet %.64q here", id))
}

// fingerprint names the content of a request: two bodies that say the same are the same.
func fingerprint(op api.Op, request any) (string, error) {
	b, err := json.Marshal(request)
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	sum := sha256.Sum256(append([]byte(op+"\x00"), b...))
	return hex.EncodeToString(sum[:]), nil
}
