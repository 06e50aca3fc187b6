package register_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/fence"
	"dcpos/central/campaign/register"
	"dcpos/central/store"
	"dcpos/pos"
)

// phones remembers the last message to each.
type phones struct {
	mu    sync.Mutex
	last  map[string]string
	count int
	err   error
}

func (p *phones) Send(_ context.Context, phone string, text pos.Text) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	p.last[phone] = text.ZH
	p.count++
	return nil
}

func (p *phones) code(phone string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return regexp.MustCompile(`[0-9]{6}`).FindString(p.last[phone])
}

// residents is an authority that knows some by name.
type residents map[string]register.Known

func (r residents) Look(_ context.Context, p register.Personal) (register.Known, error) {
	if p.Name == "down" {
		return register.Known{}, errors.New("no answer")
	}
	return r[p.Name], nil
}

// stage is a desk and what is around it.
type stage struct {
	*register.Desk
	cfg    register.Config
	now    time.Time
	phones *phones
	terms  draw.Terms
	file   string
}

const witnessKey = "witness.example+bbcc5ca9+BAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"

// newStage opens a shipped campaign, changed by change, an hour after registration began.
func newStage(t *testing.T, name string, change func(*campaign.Definition)) *stage {
	t.Helper()
	all, err := campaign.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	var d campaign.Definition
	for _, c := range all {
		if c.Name == name {
			d = c
		}
	}
	if change != nil {
		change(&d)
	}
	var area []byte
	if d.Fence != "" {
		if area, err = campaign.ShippedArea(d.Fence); err != nil {
			t.Fatal(err)
		}
	}
	p, err := campaign.Publish(d, 1, area)
	if err != nil {
		t.Fatal(err)
	}
	private, public, err := note.GenerateKey(nil, "publisher.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{now: d.Register.From.Add(time.Hour), phones: &phones{last: map[string]string{}}, file: filepath.Join(t.TempDir(), "c.db")}
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + s.file, Env: pos.Lab})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s.cfg = register.Config{
		Campaign: p, Store: db.Registrations(), Publisher: signer, SMS: s.phones, Master: bytes.Repeat([]byte{7}, 32),
		Now: func() time.Time { return s.now },
		Authority: residents{
			"张三": {Real: true, Resident: true}, "李四": {Real: true}, "Alexei": {Real: true},
		},
	}
	if s.Desk, err = register.Open(s.cfg); err != nil {
		t.Fatal(err)
	}
	round, err := draw.RoundAfter(draw.PracticeChain, d.Register.Until.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s.terms, err = p.Terms(campaign.Conduct{Beacon: draw.Beacon{Chain: draw.PracticeChain, Round: round}, Practice: true, Publisher: public, Witness: witnessKey})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// idNumber is the n-th resident identity card, born 1 January 1990.
func idNumber(n int) string {
	s := fmt.Sprintf("11010519900101%03d", n)
	sum := 0
	for i, w := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += int(s[i]-'0') * w
	}
	return s + string("10X98765432"[sum%11])
}

func phoneNumber(n int) string { return fmt.Sprintf("138%08d", n) }

// request is of the n-th person, at Wangfujing.
func request(n int) register.Request {
	return register.Request{
		Name: "张三", Document: campaign.ResidentID, Number: idNumber(n), Phone: phoneNumber(n), Institution: "ICBC",
		Fix: &fence.Fix{Datum: fence.GCJ02, Lat: 39.9164, Lon: 116.4174, Accuracy: 20}, Source: fmt.Sprint(n),
	}
}

// enter registers and confirms.
func (s *stage) enter(t *testing.T, r register.Request) register.Entry {
	t.Helper()
	a, err := s.Register(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Confirm(t.Context(), a.Ref, s.phones.code(r.Phone))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *stage) list(t *testing.T) string {
	t.Helper()
	s.now = s.cfg.Campaign.Definition.Register.Until
	var b bytes.Buffer
	if err := s.Freeze(t.Context(), &b, "operator"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func refused(t *testing.T, what string, err error, want register.Reason) {
	t.Helper()
	r, ok := errors.AsType[*register.Refusal](err)
	if !ok || r.Reason != want {
		t.Errorf("%s: got %v, want %s", what, err, want)
		return
	}
	e := pos.AsError(err)
	if e.Text.ZH == "" || e.Text.EN == "" || e.Hint.ZH == "" || e.Hint.EN == "" {
		t.Errorf("%s: %s says nothing to people", what, want)
	}
}

func TestFromSubmissionToList(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	var entries []register.Entry
	for n := range 20 {
		e := s.enter(t, request(n))
		r, err := register.OpenReceipt(e.Signed, s.terms)
		if err != nil || r != e.Receipt || r.Standing != register.Entered {
			t.Fatalf("receipt %+v, %v", r, err)
		}
		if draw.NewTicket(r.Campaign, e.Salt, e.Person, e.Phone) != r.Entry.Ticket {
			t.Error("the entrant cannot show that the ticket is hers")
		}
		found, err := s.Find(t.Context(), e.Query)
		if err != nil || found != r {
			t.Errorf("found %+v, %v", found, err)
		}
		entries = append(entries, e)
	}
	var b bytes.Buffer
	if err := s.Freeze(t.Context(), &b, "operator"); pos.CodeOf(err) != pos.ErrIllegalMove {
		t.Errorf("frozen before the close: %v", err)
	}
	text := s.list(t)
	list, err := draw.ReadList(strings.NewReader(text), s.terms)
	if err != nil || list.Size != 20 {
		t.Fatalf("the list has %d, %v", list.Size, err)
	}
	for _, e := range entries {
		if kept, err := e.Receipt.Kept(strings.NewReader(text)); !kept || err != nil {
			t.Errorf("%s is not kept, %v", e.Receipt.Entry.Ticket, err)
		}
		without := strings.Replace(text, e.Receipt.Entry.Line()+"\n", "", 1)
		if kept, err := e.Receipt.Kept(strings.NewReader(without)); kept || err != nil {
			t.Errorf("a list without her is no proof, %v", err)
		}
	}
	if again := s.list(t); again != text {
		t.Error("frozen again, the list is another")
	}
	s.now = s.now.Add(-time.Hour) // a clock that goes back reopens nothing
	_, err = s.Register(t.Context(), request(21))
	refused(t, "after the freeze", err, register.Closed)
}

func TestEdgesOfTheWindow(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	w := s.cfg.Campaign.Definition.Register
	for i, c := range []struct {
		at   time.Time
		want register.Reason
	}{
		{w.From.Add(-time.Millisecond), register.NotOpen},
		{w.From, ""},
		{time.Date(2021, 2, 8, 23, 59, 59, 999_000_000, pos.Shanghai()), ""},
		{time.Date(2021, 2, 9, 0, 0, 0, 0, pos.Shanghai()), register.Closed},
		{w.Until.Add(-1), ""},
	} {
		s.now = c.at
		a, err := s.Register(t.Context(), request(i))
		if c.want != "" {
			refused(t, c.at.String(), err, c.want)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.at, err)
			continue
		}
		if _, err := s.Confirm(t.Context(), a.Ref, s.phones.code(phoneNumber(i))); (err == nil) != (c.at.UnixMilli() < a.CodeUntil.UnixMilli()) {
			t.Errorf("%s: confirm: %v", c.at, err)
		}
	}
}

func TestCodes(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	w := s.cfg.Campaign.Definition.Register
	for i, c := range []struct {
		sent, entered time.Time
		want          register.Reason
	}{
		{w.From, w.From.Add(6*time.Hour - time.Millisecond), ""},
		{w.From, w.From.Add(6 * time.Hour), register.WrongCode},
		{w.Until.Add(-time.Hour), w.Until.Add(-time.Millisecond), ""},
		{w.Until.Add(-time.Hour), w.Until, register.Closed},
	} {
		s.now = c.sent
		a, err := s.Register(t.Context(), request(i))
		if err != nil {
			t.Fatal(err)
		}
		if a.CodeUntil.After(w.Until) || a.CodeUntil.After(c.sent.Add(6*time.Hour)) {
			t.Errorf("code until %s", a.CodeUntil)
		}
		s.now = c.entered
		_, err = s.Confirm(t.Context(), a.Ref, s.phones.code(phoneNumber(i)))
		if c.want == "" && err != nil {
			t.Errorf("%d: %v", i, err)
		} else if c.want != "" {
			refused(t, fmt.Sprint(i), err, c.want)
		}
	}
	s.now = w.From.Add(time.Hour)
	a, err := s.Register(t.Context(), request(10))
	if err != nil {
		t.Fatal(err)
	}
	first := s.phones.code(phoneNumber(10))
	wrong := "000000"
	if first == wrong {
		wrong = "000001"
	}
	for range 5 {
		_, err := s.Confirm(t.Context(), a.Ref, wrong)
		refused(t, "a wrong code", err, register.WrongCode)
	}
	_, err = s.Confirm(t.Context(), a.Ref, first)
	refused(t, "the right code after five wrong ones", err, register.WrongCode)
	s.now = s.now.Add(time.Minute)
	if _, err := s.Register(t.Context(), request(10)); err != nil {
		t.Fatal(err)
	}
	if second := s.phones.code(phoneNumber(10)); second != first {
		_, err = s.Confirm(t.Context(), a.Ref, first)
		refused(t, "an older code", err, register.WrongCode)
	}
	if _, err = s.Confirm(t.Context(), a.Ref, s.phones.code(phoneNumber(10))); err != nil {
		t.Errorf("the new code: %v", err)
	}
	for _, ref := range []string{"", "zz", strings.Repeat("00", 32), a.Ref + "00"} {
		_, err = s.Confirm(t.Context(), ref, first)
		refused(t, "a reference that is none", err, register.WrongCode)
	}
}

func TestOnePersonOnePhoneOneEntry(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	first := s.enter(t, request(1))
	for name, r := range map[string]register.Request{
		"another phone":  func() register.Request { r := request(1); r.Phone = phoneNumber(2); return r }(),
		"another person": func() register.Request { r := request(3); r.Phone = phoneNumber(1); return r }(),
	} {
		a, err := s.Register(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: only the phone's owner may learn that it is taken: %v", name, err)
		}
		_, err = s.Confirm(t.Context(), a.Ref, s.phones.code(r.Phone))
		refused(t, name, err, register.Taken)
	}
	sent := s.phones.count
	other := request(1)
	other.Institution = "ABC" // what is confirmed does not change
	if _, err := s.Register(t.Context(), other); err != nil || s.phones.count != sent {
		t.Errorf("the same again within a minute: %d messages, %v", s.phones.count-sent, err)
	}
	s.now = s.now.Add(time.Hour)
	again := s.enter(t, other)
	if !bytes.Equal(again.Signed, first.Signed) || again.Query != first.Query || again.Salt != first.Salt {
		t.Error("the same person again has another entry")
	}
	if text := s.list(t); strings.Count(text, "\n") != 2 || !strings.Contains(text, first.Receipt.Entry.Line()) {
		t.Errorf("the list is %s", text)
	}
}

func TestAnotherChoiceBeforeTheCode(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	if _, err := s.Register(t.Context(), request(1)); err != nil {
		t.Fatal(err)
	}
	other := request(1)
	other.Institution = "ABC"
	_, err := s.Register(t.Context(), other)
	refused(t, "another choice under the old code", err, register.TooOften)
	s.now = s.now.Add(time.Minute)
	if e := s.enter(t, other); e.Receipt.Entry.Institution != "ABC" || !strings.Contains(s.phones.last[phoneNumber(1)], "ABC") {
		t.Errorf("chose ABC, entered %s, was told %s", e.Receipt.Entry.Institution, s.phones.last[phoneNumber(1)])
	}
}

// atBorder is a position on the border of the shipped area, give or take 100 m.
func atBorder(n int) register.Request {
	r := request(n)
	r.Fix = &fence.Fix{Datum: fence.WGS84, Lat: 40, Lon: 115.42, Accuracy: 100}
	return r
}

func TestAmbiguousPlaces(t *testing.T) {
	inside := fence.Fix{Datum: fence.WGS84, Lat: 40.00123, Lon: 115.6, Accuracy: 10}
	outside := fence.Fix{Datum: fence.WGS84, Lat: 40, Lon: 115.1, Accuracy: 10}
	for _, rule := range []campaign.Ambiguous{campaign.RefuseAmbiguous, campaign.AcceptAmbiguous} {
		s := newStage(t, "wangfujing-2021", func(d *campaign.Definition) { d.Registration.Ambiguous = rule })
		open, settled := s.enter(t, atBorder(1)), s.enter(t, atBorder(2))
		if want := map[campaign.Ambiguous]register.Standing{campaign.RefuseAmbiguous: register.PlaceOpen, campaign.AcceptAmbiguous: register.Entered}[rule]; open.Receipt.Standing != want {
			t.Errorf("%s: the receipt promises %s, want %s", rule, open.Receipt.Standing, want)
		}
		s.now = s.now.Add(time.Hour)
		_, err := s.Locate(t.Context(), settled.Query, outside, register.Signals{})
		refused(t, "outside", err, register.OutsideArea)
		got, err := s.Locate(t.Context(), settled.Query, inside, register.Signals{})
		if err != nil || got.Receipt.Standing != register.Entered || got.Query != settled.Query || got.Receipt.Entry != settled.Receipt.Entry {
			t.Errorf("%s: located: %+v, %v", rule, got.Receipt, err)
		}
		_, err = s.Locate(t.Context(), strings.Repeat("A", 26), inside, register.Signals{})
		refused(t, "nobody's query", err, register.NotThere)
		text := s.list(t)
		if !strings.Contains(text, settled.Receipt.Entry.Line()) || strings.Contains(text, open.Receipt.Entry.Line()) != (rule == campaign.AcceptAmbiguous) {
			t.Errorf("%s: the list is %s", rule, text)
		}
		_, err = s.Locate(t.Context(), open.Query, inside, register.Signals{})
		refused(t, "a position after the close", err, register.Closed)
	}
}

func TestRefusals(t *testing.T) {
	s := newStage(t, "wangfujing-2021", func(d *campaign.Definition) {
		d.Registration.MinAge = 18
		d.Registration.Documents = []campaign.Document{campaign.ResidentID}
	})
	for name, c := range map[string]struct {
		change func(*register.Request)
		want   register.Reason
		field  string
	}{
		"document":     {func(r *register.Request) { r.Document = campaign.Passport }, register.BadDocument, "document"},
		"number":       {func(r *register.Request) { r.Number = "110105199001010000" }, register.BadIdentity, "number"},
		"age":          {func(r *register.Request) { r.Number = "110105200501010012" }, register.TooYoung, "number"},
		"phone":        {func(r *register.Request) { r.Phone = "+852 9123 4567" }, register.BadPhone, "phone"},
		"name":         {func(r *register.Request) { r.Name = " " }, register.BadName, "name"},
		"institution":  {func(r *register.Request) { r.Institution = "XXXX" }, register.BadChoice, "institution"},
		"no position":  {func(r *register.Request) { r.Fix = nil }, register.NoPlace, "position"},
		"no datum":     {func(r *register.Request) { r.Fix.Datum = "" }, register.NoPlace, "position"},
		"in Shanghai":  {func(r *register.Request) { r.Fix.Lat, r.Fix.Lon = 31.23, 121.47 }, register.OutsideArea, "position"},
		"nobody's":     {func(r *register.Request) { r.Name = "王五" }, register.Mismatch, "name"},
		"long name":    {func(r *register.Request) { r.Name = strings.Repeat("a", 201) }, register.BadName, "name"},
		"broken UTF-8": {func(r *register.Request) { r.Name = "\xff" }, register.BadName, "name"},
	} {
		r := request(5)
		c.change(&r)
		_, err := s.Register(t.Context(), r)
		refused(t, name, err, c.want)
		if got := pos.AsError(err).Field; got != c.field {
			t.Errorf("%s: field %q, want %q", name, got, c.field)
		}
		if strings.Contains(err.Error(), r.Phone) || strings.Contains(err.Error(), r.Number) {
			t.Errorf("%s: the error names the person: %v", name, err)
		}
	}
	down := request(5)
	down.Name = "down"
	if _, err := s.Register(t.Context(), down); pos.CodeOf(err) != pos.ErrInstitution {
		t.Errorf("an authority that does not answer is no refusal: %v", err)
	}
	if s.phones.count != 0 {
		t.Errorf("%d messages to people who were refused", s.phones.count)
	}
}

// TestAPassportNeedsItsCountry: two countries' passports may have one number.
func TestAPassportNeedsItsCountry(t *testing.T) {
	s := newStage(t, "sanya-2021", nil)
	r := request(1)
	r.Document, r.Number, r.Fix = campaign.Passport, "750123456", nil
	for country, want := range map[string]string{"": "country", "F1": "country", "fra": ""} {
		r.Country = country
		_, err := s.Register(t.Context(), r)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", country, err)
			}
			continue
		}
		refused(t, country, err, register.BadCountry)
		if got := pos.AsError(err).Field; got != want {
			t.Errorf("%q: field %q, want %q", country, got, want)
		}
	}
}

func TestStrata(t *testing.T) {
	s := newStage(t, "sanya-2021", nil)
	foreign := request(1)
	foreign.Name, foreign.Document, foreign.Country, foreign.Number = "Alexei", campaign.Passport, "RUS", "750123456"
	visitor := request(2)
	visitor.Name = "李四"
	for want, r := range map[string]register.Request{"foreigners": foreign, "visitors": visitor, "locals": request(3)} {
		r.Fix = nil // this campaign asks no place
		if e := s.enter(t, r); e.Receipt.Entry.Stratum != want {
			t.Errorf("stratum %s, want %s", e.Receipt.Entry.Stratum, want)
		}
	}
	if list, err := draw.ReadList(strings.NewReader(s.list(t)), s.terms); err != nil || list.Size != 3 {
		t.Errorf("the list has %d, %v", list.Size, err)
	}
	s = newStage(t, "suzhou-2021", nil)
	_, err := s.Register(t.Context(), visitor)
	refused(t, "a visitor where residents register", err, register.NotEligible)
	s.cfg.Authority = nil
	if _, err := register.Open(s.cfg); pos.AsError(err).Field != "authority" {
		t.Errorf("no authority: %v", err)
	}
}

func TestWhatIsKeptNamesNobody(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	r := request(1)
	e := s.enter(t, r)
	ticket := e.Receipt.Entry.Ticket
	s.list(t)
	people, err := s.Reveal(t.Context(), []draw.Ticket{{1}, ticket}, "operator") // one is not in the registration
	if p := people[ticket]; err != nil || len(people) != 1 || p.Phone != r.Phone || p.Name != r.Name || p.Identity.Number != r.Number {
		t.Errorf("revealed %+v, %v", people, err)
	}
	for _, name := range []string{s.file, s.file + "-wal"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{r.Phone, r.Number, r.Name, e.Query, "116.4174", s.phones.code(r.Phone)} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds %q", filepath.Base(name), secret)
			}
		}
	}
	text := s.list(t)
	if err := s.Destroy(t.Context(), "operator"); pos.CodeOf(err) != pos.ErrIllegalMove {
		t.Errorf("destroyed early: %v", err)
	}
	d := s.cfg.Campaign.Definition
	s.now = d.Spend.Until.AddDate(0, 0, d.Registration.KeepDays)
	if err := s.Destroy(t.Context(), "operator"); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Reveal(t.Context(), []draw.Ticket{ticket}, "operator"); err == nil {
		t.Errorf("revealed %+v after the key was destroyed", p)
	}
	if r, err := s.Find(t.Context(), e.Query); err != nil || r != e.Receipt {
		t.Errorf("the ticket is gone: %v", err)
	}
	var b bytes.Buffer
	if err := s.Freeze(t.Context(), &b, "operator"); err != nil || b.String() != text {
		t.Errorf("the list is another, %v", err)
	}
}

func TestQueriesCannotBeEnumerated(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	e := s.enter(t, request(1))
	for i := range e.Query {
		b := []byte(e.Query)
		b[i] = 'A' + (b[i]-'A'+1)%26
		_, err := s.Find(t.Context(), string(b))
		refused(t, "a neighbour", err, register.NotThere)
	}
	for _, q := range []string{"", strings.ToLower(e.Query), e.Query + "A", e.Receipt.Entry.Ticket.String(), phoneNumber(1), s.phones.code(phoneNumber(1))} {
		_, err := s.Find(t.Context(), q)
		refused(t, q, err, register.NotThere)
	}
}

func TestReceiptsCannotBeForged(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	e := s.enter(t, request(1))
	for i := range e.Signed {
		b := bytes.Clone(e.Signed)
		b[i] ^= 1
		if r, err := register.OpenReceipt(b, s.terms); err == nil {
			t.Errorf("byte %d changed: %+v", i, r)
		}
	}
	other := newStage(t, "haikou-2021", nil)
	if _, err := register.OpenReceipt(e.Signed, other.terms); err == nil {
		t.Error("a receipt of another publisher was taken")
	}
	terms := s.terms
	terms.Definition = strings.Repeat("0", 64)
	if _, err := register.OpenReceipt(e.Signed, terms); err == nil {
		t.Error("a receipt of another definition was taken")
	}
}

func TestMessagesThatFail(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	s.phones.err = errors.New("no route")
	_, err := s.Register(t.Context(), request(1))
	refused(t, "no message", err, register.NoSMS)
	s.phones.err = nil
	s.enter(t, request(1)) // at once, not after a minute
}

func TestLimits(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	r := request(1)
	var last error
	for range 61 {
		_, last = s.Register(t.Context(), r)
	}
	refused(t, "61 in a minute", last, register.TooOften)
	r.Source = "elsewhere"
	if _, err := s.Register(t.Context(), r); err != nil {
		t.Errorf("another source: %v", err)
	}
	if s.phones.count != 1 {
		t.Errorf("%d messages, want 1", s.phones.count)
	}
	for i := range 30 { // strangers who give one phone
		r := request(100 + i)
		r.Phone = phoneNumber(7)
		_, last = s.Register(t.Context(), r)
	}
	refused(t, "a phone that is flooded", last, register.TooOften)
	if s.phones.count != 21 {
		t.Errorf("%d messages, want 21", s.phones.count)
	}
}

func TestScoresChangeNoVerdict(t *testing.T) {
	s := newStage(t, "wangfujing-2021", nil)
	r := request(1)
	r.Fix.Accuracy, r.Fix.Lat, r.Fix.Lon = 0.1, 39.9, 116.4
	r.Signals = register.Signals{Mock: true, Rooted: true, Emulator: true}
	if e := s.enter(t, r); e.Receipt.Standing != register.Entered {
		t.Errorf("the entry is %s", e.Receipt.Standing)
	}
	all := []register.Doubt{register.DoubtMock, register.DoubtRooted, register.DoubtEmulator, register.DoubtTooGood, register.DoubtRound, register.DoubtSpeed}
	if register.Score(all) != 100 || register.Score(nil) != 0 || register.Score(all[1:2]) != 10 {
		t.Error("the scores do not add up")
	}
	for _, d := range all {
		if d.Weight() == 0 || d.Text().ZH == "" || d.Text().EN == "" {
			t.Errorf("%s weighs or says nothing", d)
		}
	}
}
