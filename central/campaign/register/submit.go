package register

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"dcpos/central/campaign"
	"dcpos/central/campaign/fence"
	"dcpos/pos"
)

// Request is what an entrant fills in.
type Request struct {
	Name        string            `json:"name"`
	Document    campaign.Document `json:"document"`
	Country     string            `json:"country"` // of a passport
	Number      string            `json:"number"`
	Phone       string            `json:"phone"`
	Institution string            `json:"institution"`
	Fix         *fence.Fix        `json:"fix"`
	Signals     Signals           `json:"signals"`
	Source      string            `json:"-"` // the network it came from, such as a /24
}

// Answer says what comes next: the code that was sent, until then.
type Answer struct {
	Ref       string        `json:"ref"` // for Confirm
	Place     fence.Verdict `json:"place"`
	CodeUntil time.Time     `json:"code_until"`
}

// Limits of codes.
const (
	resendAfter = time.Minute // before, the same submission sends nothing
	maxSends    = 10          // codes a registration
	maxTries    = 5           // wrong tries a code
	phonePerDay = 20          // codes a phone, whoever registers it
)

// entrant is a request that was understood.
type entrant struct {
	Personal
	request Request
	place   fence.Verdict
	ref     [32]byte
	person  [32]byte
	phone   [32]byte
}

// Register takes a submission and sends a confirmation code. The same submission again
// is the same registration; it sends a new code after a minute, and then only the new
// one is good. The answer is the same whether or not the entry is confirmed already.
// Refusals are *Refusal.
func (d *Desk) Register(ctx context.Context, r Request) (Answer, error) {
	now := d.cfg.Now()
	if err := d.open(now); err != nil {
		return Answer{}, err
	}
	if !d.limits.Allow("source "+r.Source, d.cfg.PerSource, time.Minute, now) ||
		(r.Signals.Device != "" && !d.limits.Allow("device "+r.Signals.Device[:min(64, len(r.Signals.Device))], d.cfg.PerSource, time.Minute, now)) {
		return Answer{}, refuse(TooOften, "", nil)
	}
	k, err := d.secrets(ctx)
	if err != nil {
		return Answer{}, err
	}
	e, err := d.understand(r, k, now)
	if err != nil {
		return Answer{}, err
	}
	rec, found, err := d.cfg.Store.Record(ctx, d.rules.Name, e.ref)
	if err != nil {
		return Answer{}, fmt.Errorf("read registration: %w", err)
	}
	if found && rec.settled(e, now) {
		return rec.answer(), nil
	}
	return d.submit(ctx, k, e, now)
}

// settled reports that there is nothing to change or to send.
func (r Record) settled(e entrant, now time.Time) bool {
	return !r.resend(now) && (r.ConfirmedMS > 0 || (r.Institution == e.request.Institution && (r.Place == e.place || r.Place == fence.Inside)))
}

// resend reports that a new code may go out.
func (r Record) resend(now time.Time) bool {
	return now.UnixMilli()-r.SentMS >= resendAfter.Milliseconds()
}

func (r Record) answer() Answer {
	return Answer{hex.EncodeToString(r.Ref[:]), r.Place, time.UnixMilli(r.CodeUntilMS).In(pos.Shanghai())}
}

// understand checks everything that needs nobody else.
func (d *Desk) understand(r Request, k *keys, now time.Time) (entrant, error) {
	e := entrant{request: r}
	if !slices.Contains(d.rules.Registration.Documents, r.Document) {
		return e, refuse(BadDocument, "document", nil)
	}
	var err error
	if e.Identity, err = ParseIdentity(r.Document, r.Country, r.Number, now); err != nil {
		if errors.Is(err, errCountry) {
			return e, refuse(BadCountry, "country", err)
		}
		return e, refuse(BadIdentity, "number", err)
	}
	if age := e.Identity.Age(now); age >= 0 && age < d.rules.Registration.MinAge {
		return e, refuse(TooYoung, "number", nil)
	}
	if e.Phone, err = ParsePhone(r.Phone); err != nil {
		return e, refuse(BadPhone, "phone", err)
	}
	e.Name = strings.TrimSpace(r.Name)
	if e.Name == "" || len(e.Name) > 200 || !utf8.ValidString(e.Name) {
		return e, refuse(BadName, "name", nil)
	}
	if !slices.ContainsFunc(d.rules.Institutions, func(i campaign.Institution) bool { return i.Code == r.Institution }) {
		return e, refuse(BadChoice, "institution", nil)
	}
	if e.place, err = d.place(r.Fix); err != nil {
		return e, err
	}
	e.person, e.phone = k.personOf(e.Identity), keyed(k.phone, e.Phone)
	e.ref = keyed(k.ref, string(e.person[:]), string(e.phone[:]))
	return e, nil
}

// submit asks the authority, keeps the registration and sends the code.
func (d *Desk) submit(ctx context.Context, k *keys, e entrant, now time.Time) (Answer, error) {
	known, err := d.look(ctx, e)
	if err != nil {
		return Answer{}, err
	}
	stratum, err := d.stratum(e.Identity, known)
	if err != nil {
		return Answer{}, err
	}
	fresh, err := d.record(k, e, stratum, now)
	if err != nil {
		return Answer{}, err
	}
	code, err := newCode()
	if err != nil {
		return Answer{}, err
	}
	var rec Record
	var send bool
	err = d.cfg.Store.Change(ctx, d.rules.Name, e.ref, func(s Sheet) (*Record, error) {
		if s.FrozenMS > 0 {
			return nil, refuse(Closed, "", nil)
		}
		rec, send = fresh, true
		if s.Found {
			if rec, send, err = d.merge(k, s.Record, fresh, e, now); err != nil {
				return nil, err
			}
		}
		if send {
			d.arm(k, &rec, code, now)
		}
		return &rec, nil
	})
	if err != nil {
		return Answer{}, fmt.Errorf("keep registration: %w", err)
	}
	if send {
		if err := d.send(ctx, rec, e, code, now); err != nil {
			return Answer{}, err
		}
	}
	return rec.answer(), nil
}

// look asks the authority, where there is one.
func (d *Desk) look(ctx context.Context, e entrant) (Known, error) {
	if d.cfg.Authority == nil {
		return Known{}, nil
	}
	known, err := d.cfg.Authority.Look(ctx, e.Personal)
	if err != nil {
		return known, pos.NewError(pos.ErrInstitution, fmt.Errorf("ask authority: %w", err))
	}
	if !known.Real {
		return known, refuse(Mismatch, "name", errors.New("name and document do not fit"))
	}
	return known, nil
}

// record is a registration as it begins.
func (d *Desk) record(k *keys, e entrant, stratum string, now time.Time) (Record, error) {
	r := Record{
		Campaign: d.rules.Name, Ref: e.ref, Person: e.person, Phone: e.phone, Institution: e.request.Institution,
		Stratum: stratum, Place: e.place, CreatedMS: now.UnixMilli(),
	}
	var err error
	if r.Sealed, err = k.hide(e.Personal, e.ref); err != nil {
		return r, err
	}
	return r, r.judge(k, e.request.Signals, e.request.Fix, nil, now)
}

// judge adds what makes a position doubtful; the highest score stays.
func (r *Record) judge(k *keys, s Signals, fix *fence.Fix, before *seen, now time.Time) error {
	var at *seen
	if fix != nil {
		at = &seen{*fix, now}
		b, err := json.Marshal(fix)
		if err != nil {
			return fmt.Errorf("position: %w", err)
		}
		r.LastFix, r.FixMS = k.seal.Seal(nil, nil, b, r.Ref[:]), now.UnixMilli()
	}
	all := doubts(s, at, before)
	if score := Score(all); score >= r.Score {
		words := make([]string, len(all))
		for i, w := range all {
			words[i] = string(w)
		}
		r.Score, r.Doubts = score, strings.Join(words, " ")
	}
	return nil
}

// before is the last position of a registration.
func (r Record) before(k *keys) *seen {
	b, err := k.seal.Open(nil, nil, r.LastFix, r.Ref[:])
	if err != nil {
		return nil
	}
	s := seen{at: time.UnixMilli(r.FixMS)}
	if json.Unmarshal(b, &s.Fix) != nil {
		return nil
	}
	return &s
}

// merge lays a submission over an earlier one. What is confirmed stays as it is, but for
// a new code, by which the entrant gets at her receipt again.
func (d *Desk) merge(k *keys, old, fresh Record, e entrant, now time.Time) (rec Record, send bool, err error) {
	send = old.resend(now)
	rec = old
	if send && old.Sends >= maxSends {
		return rec, false, refuse(TooOften, "phone", nil)
	}
	if old.ConfirmedMS > 0 {
		return rec, send, nil
	}
	if !send && old.Institution != fresh.Institution {
		return rec, false, refuse(TooOften, "institution", nil) // the code out there was for another choice
	}
	rec.Institution, rec.Stratum, rec.Sealed = fresh.Institution, fresh.Stratum, fresh.Sealed
	if old.Place != fence.Inside {
		rec.Place = fresh.Place
	}
	return rec, send, rec.judge(k, e.request.Signals, e.request.Fix, old.before(k), now)
}

// arm makes the code the one that is good, for its hours and never beyond the close.
func (d *Desk) arm(k *keys, r *Record, code string, now time.Time) {
	until := now.Add(time.Duration(d.rules.Registration.CodeHours) * time.Hour)
	if until.After(d.rules.Register.Until) {
		until = d.rules.Register.Until
	}
	r.Code, r.CodeUntilMS = codeOf(k, r.Ref, code), until.UnixMilli()
	r.SentMS, r.Sends, r.Tries = now.UnixMilli(), r.Sends+1, 0
}

func codeOf(k *keys, ref [32]byte, code string) [32]byte { return keyed(k.code, string(ref[:]), code) }

// newCode is six random digits.
func newCode() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", fmt.Errorf("code: %w", err)
	}
	return fmt.Sprintf("%06d", n.Int64()), nil
}

// send tells the phone, and the choice with it: nobody confirms another's unseen. If it
// cannot, the next submission may send at once.
func (d *Desk) send(ctx context.Context, r Record, e entrant, code string, now time.Time) error {
	if !d.limits.Allow("phone "+string(r.Phone[:]), phonePerDay, 24*time.Hour, now) {
		return refuse(TooOften, "phone", nil)
	}
	until := time.UnixMilli(r.CodeUntilMS).In(pos.Shanghai()).Format("01-02 15:04:05")
	err := d.cfg.SMS.Send(ctx, e.Phone, pos.Text{
		ZH: fmt.Sprintf("%s:确认码 %s,%s 前有效。您选择的运营机构:%s。请勿告知他人。", d.rules.Title.ZH, code, until, r.Institution),
		EN: fmt.Sprintf("%s: code %s, good before %s. Institution chosen: %s. Tell nobody.", d.rules.Title.EN, code, until, r.Institution),
	})
	if err == nil {
		return nil
	}
	again := d.cfg.Store.Change(ctx, r.Campaign, r.Ref, func(s Sheet) (*Record, error) {
		if !s.Found || s.Record.Code != r.Code {
			return nil, nil //nolint:nilnil // nothing is to be kept
		}
		s.Record.SentMS = 0
		return &s.Record, nil
	})
	if again != nil {
		return fmt.Errorf("keep registration: %w", again)
	}
	return refuse(NoSMS, "phone", fmt.Errorf("send message: %w", err))
}
