package link_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dcpos/central/link"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within 15 s: %s", what)
}

// downs collects the marks that a till is sent.
func downs(t *testing.T, c *centre, nc *nats.Conn, till *till) chan wire.Mark {
	t.Helper()
	v := must(c.signer.Suite().Verifier(c.signer.Public()))(t)
	out := make(chan wire.Mark, 256)
	must(nc.Subscribe(wire.DownSubject(till.id), func(m *nats.Msg) {
		mark, err := wire.OpenMark(v, m.Data)
		if err != nil || mark.Terminal != till.id || mark.Env != pos.Lab {
			t.Errorf("mark %+v: %v", mark, err)
			return
		}
		out <- mark
	}))(t)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return out
}

func askMark(t *testing.T, c *centre, nc *nats.Conn, till *till, req wire.MarkRequest) wire.Mark {
	t.Helper()
	req.Env = pos.Lab
	m := must(nc.Request(wire.MarkSubject(till.id), must(dcep.Marshal(req))(t), 5*time.Second))(t)
	v := must(c.signer.Suite().Verifier(c.signer.Public()))(t)
	return must(wire.OpenMark(v, m.Data))(t)
}

func waitReceipt(t *testing.T, marks chan wire.Mark, epoch uint32, seq uint64) dcep.Receipt {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case m := <-marks:
			if m.Receipt != nil && m.Receipt.Epoch == epoch && m.Receipt.Seq >= seq {
				return *m.Receipt
			}
		case <-timeout:
			t.Fatalf("no receipt for epoch %d up to %d", epoch, seq)
		}
	}
}

type observed struct {
	mu      sync.Mutex
	entries []pos.Entry
}

func (o *observed) Ingested(_ string, entries []pos.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries = append(o.entries, entries...)
}

func TestJournalToReceipt(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c, seen := newCentre(t, url), &observed{}
		c.cfg.Observer = seen
		c.start(t)
		till := c.enrol(t, dcep.SM2SM3)
		till.open(t, pos.EpochEnrolled, nil)
		for range 20 {
			till.payment(t, 100, pos.Asking, pos.Paid)
		}
		nc := c.connect(t, till)
		marks := downs(t, c, nc, till)
		for _, b := range till.batches(t, 8) {
			if err := nc.Publish(wire.JournalSubject(till.id), b); err != nil {
				t.Fatal(err)
			}
		}
		seq, head := till.head()
		receipt := waitReceipt(t, marks, 1, seq)
		if err := receipt.Verify(must(c.signer.Suite().Verifier(c.signer.Public()))(t)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(receipt.Head, head) || receipt.Terminal != till.id || receipt.Generation != 1 {
			t.Fatalf("%+v", receipt)
		}
		if diff := cmp.Diff(map[string]pos.Money{"receivable:ICBC": 2000, "merchant:m1": -2000}, c.balances(t)); diff != "" {
			t.Fatal(diff)
		}
		seen.mu.Lock()
		if diff := cmp.Diff(till.entries, seen.entries); diff != "" {
			t.Error(diff)
		}
		seen.mu.Unlock()
		mark := askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1, Seq: seq, Unsent: seq})
		if mark.Receipt == nil || mark.Receipt.Seq != seq || len(mark.Policies) != 1 || mark.Trust == nil || mark.ResendFrom != 0 {
			t.Fatalf("%+v", mark)
		}
		mark = askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1, Seq: seq, Receipt: seq, ReceiptEpoch: 1, Policies: 1})
		if mark.Policies != nil || mark.Trust != nil {
			t.Fatalf("the policy in force is sent again: %+v", mark)
		}
		eventually(t, "the contact is listed", func() bool {
			list := must(c.fleet.List(t.Context(), "", 10))(t)
			return len(list) == 1 && list[0].Contact.Seq == seq && list[0].Kept == seq
		})
	})
}

// TestLostMessageIsAskedFor: the till has written more than the centre keeps and nothing
// is on its way.
func TestLostMessageIsAskedFor(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db").start(t)
	till := c.enrol(t, dcep.Ed25519SHA256)
	till.open(t, pos.EpochEnrolled, nil)
	till.payment(t, 1, pos.Asking, pos.Paid)
	nc := c.connect(t, till)
	eventually(t, "the centre asks from the beginning", func() bool {
		m := askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1, Seq: 4, Unsent: 4})
		return m.ResendEpoch == 1 && m.ResendFrom == 1 && m.Receipt == nil
	})
	marks := downs(t, c, nc, till)
	batches := till.batches(t, 2)
	if err := nc.Publish(wire.JournalSubject(till.id), batches[1]); err != nil { // a gap
		t.Fatal(err)
	}
	select {
	case m := <-marks:
		if m.ResendFrom != 1 || m.ResendEpoch != 1 || m.Receipt != nil {
			t.Fatalf("%+v", m)
		}
	case <-time.After(time.Minute):
		t.Fatal("no mark after a gap")
	}
}

// TestReceiptNeverSkipsAnEpoch: a receipt for the new epoch would let the till forget
// the old one's rest.
func TestReceiptNeverSkipsAnEpoch(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db").start(t)
	till := c.enrol(t, dcep.Ed25519SHA256)
	till.open(t, pos.EpochEnrolled, nil)
	till.payment(t, 1, pos.Asking, pos.Paid)
	old := till.batches(t, 2)
	last := till.entries[len(till.entries)-1]
	if _, err := c.fleet.Terminal(t.Context(), till.id); err != nil {
		t.Fatal(err)
	}
	c.enrolAs(t, till, codeFor(till, pos.EpochRestored))
	n := len(till.entries)
	till.open(t, pos.EpochRestored, &last)
	nc := c.connect(t, till)
	marks := downs(t, c, nc, till)
	for _, b := range [][]byte{old[0], till.batchesOf(t, till.entries[n:], 10)[0]} {
		if err := nc.Publish(wire.JournalSubject(till.id), b); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the second epoch is kept", func() bool { return len(c.kept(t, till.id, 2)) == 1 })
	m := askMark(t, c, nc, till, wire.MarkRequest{Epoch: 2, Seq: 1, ReceiptEpoch: 1, Receipt: 2, Unsent: 3})
	if m.Receipt == nil || m.Receipt.Epoch != 1 || m.Receipt.Seq != 2 {
		t.Fatalf("%+v", m.Receipt)
	}
	if err := nc.Publish(wire.JournalSubject(till.id), old[1]); err != nil {
		t.Fatal(err)
	}
	waitReceipt(t, marks, 1, 4)
	m = askMark(t, c, nc, till, wire.MarkRequest{Epoch: 2, Seq: 1, ReceiptEpoch: 1, Receipt: 4, Unsent: 1})
	if m.Receipt == nil || m.Receipt.Epoch != 2 || m.Receipt.Seq != 1 {
		t.Fatalf("%+v", m.Receipt)
	}
	close(marks)
	for m := range marks {
		if m.Receipt != nil && m.Receipt.Epoch == 2 {
			t.Fatalf("a receipt for epoch 2 before epoch 1 was whole: %+v", m.Receipt)
		}
	}
}

// TestNoTillIsAnother tries to be another till over a real connection.
func TestNoTillIsAnother(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db").start(t)
	a, b := c.enrol(t, dcep.Ed25519SHA256), c.enrol(t, dcep.Ed25519SHA256)
	denied := make(chan string, 64)
	nc := must(c.dial(t, a, a.id, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		denied <- strings.ToLower(err.Error())
	})))(t)
	for _, subject := range []string{
		wire.JournalSubject(b.id), wire.MarkSubject(b.id), wire.AskSubject(b.id, wire.VerbPay), wire.DownSubject(b.id),
		wire.DownSubject(a.id), wire.InboxPrefix(b.id) + ".x", "$JS.API.STREAM.INFO." + wire.JournalStream,
		"$JS.API.STREAM.PURGE." + wire.JournalStream, "$SYS.REQ.USER.AUTH", "dcpos.v1.changed." + b.id,
	} {
		if err := nc.Publish(subject, []byte("x")); err != nil {
			t.Fatal(err)
		}
		expectDenied(t, denied, subject)
	}
	for _, subject := range []string{
		wire.DownSubject(b.id), wire.InboxPrefix(b.id) + ".>", ">", wire.JournalSubject(a.id), "_INBOX.>", "dcpos.v1.down.*",
		wire.AskFilter, "$SYS.>",
	} {
		must(nc.SubscribeSync(subject))(t)
		expectDenied(t, denied, subject)
	}
	// A reply subject that is another's makes the centre say nothing there.
	other := c.connect(t, b)
	heard := must(other.SubscribeSync(wire.DownSubject(b.id)))(t)
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	for subject, body := range map[string]any{
		wire.MarkSubject(a.id):                wire.MarkRequest{Env: pos.Lab, Epoch: 1},
		wire.AskSubject(a.id, wire.VerbQuery): pos.AskQuery{Env: pos.Lab, Payment: pos.PaymentID{1}},
	} {
		if err := nc.PublishRequest(subject, wire.DownSubject(b.id), must(dcep.Marshal(body))(t)); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := heard.NextMsg(500 * time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Fatalf("another till heard %q: %v", m.Data, err)
	}
	// What a till may do, it can.
	askMark(t, c, nc, a, wire.MarkRequest{Epoch: 1})
}

func expectDenied(t *testing.T, denied chan string, subject string) {
	t.Helper()
	select {
	case text := <-denied:
		if !strings.Contains(text, "permissions violation") || !strings.Contains(text, strings.ToLower(subject)) {
			t.Fatalf("%s: %s", subject, text)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%s: not denied", subject)
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db").start(t)
	known := c.enrol(t, dcep.Ed25519SHA256)
	stranger := &till{id: known.id, user: must(newUser())(t)}
	if _, err := c.dial(t, stranger, known.id); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("an unknown key: %v", err)
	}
	// The right key, signed by another.
	_, err := nats.Connect(c.link.URL(), nats.Nkey(known.natsKey, stranger.user.Sign), nats.NoReconnect(), nats.Timeout(30*time.Second))
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a key without its secret: %v", err)
	}
	for name, option := range map[string]nats.Option{
		"nobody":   nats.NoReconnect(),
		"password": nats.UserInfo(known.id, known.natsKey),
		"token":    nats.Token(known.natsKey),
	} {
		if _, err := nats.Connect(c.link.URL(), option, nats.NoReconnect(), nats.Timeout(30*time.Second)); err == nil {
			t.Errorf("%s was let in", name)
		}
	}
}

func TestSuspendedTillIsCutOff(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db").start(t)
	a, b := c.enrol(t, dcep.Ed25519SHA256), c.enrol(t, dcep.Ed25519SHA256)
	first, second, other := c.connect(t, a), c.connect(t, a), c.connect(t, b)
	begin := time.Now()
	if err := c.fleet.Suspend(t.Context(), a.id, "stolen", "op"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both connections are cut", func() bool { return first.IsClosed() && second.IsClosed() })
	t.Logf("cut after %s", time.Since(begin).Round(time.Millisecond))
	if _, err := c.dial(t, a, a.id); !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("a suspended till is let in: %v", err)
	}
	if !other.IsConnected() {
		t.Fatal("another till was cut off too")
	}
	if err := c.fleet.Release(t.Context(), a.id, "found", "op"); err != nil {
		t.Fatal(err)
	}
	c.connect(t, a)
	// New keys end the connection of the old ones.
	nc := c.connect(t, b)
	b.user = must(newUser())(t)
	c.enrolAs(t, b, codeFor(b, pos.EpochKey))
	eventually(t, "the old key's connection is cut", func() bool { return nc.IsClosed() })
}

func TestAsks(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db")
	room := &asks{}
	c.cfg.Asks = room
	c.start(t)
	till := c.enrol(t, dcep.Ed25519SHA256)
	nc := c.connect(t, till)
	now, id := time.Now(), pos.PaymentID{7}
	soon, past := now.Add(time.Minute).UnixMilli(), now.Add(-time.Second).UnixMilli()
	for name, q := range map[string]struct {
		verb   wire.Verb
		body   any
		want   pos.Outcome
		reason pos.Code
	}{
		"pay":              {wire.VerbPay, pos.AskPay{Env: pos.Lab, Payment: id, ExpiresMS: soon}, pos.OutcomePaid, ""},
		"present":          {wire.VerbPresent, pos.AskPresent{Env: pos.Lab, Payment: id, ExpiresMS: soon}, pos.OutcomePending, ""},
		"query":            {wire.VerbQuery, pos.AskQuery{Env: pos.Lab, Payment: id}, pos.OutcomeUnknown, ""},
		"abandon":          {wire.VerbAbandon, pos.AskAbandon{Env: pos.Lab, Payment: id}, pos.OutcomePending, ""},
		"refund":           {wire.VerbRefund, pos.AskRefund{Env: pos.Lab, Payment: id, ExpiresMS: soon}, pos.OutcomeRefunded, ""},
		"expired":          {wire.VerbPay, pos.AskPay{Env: pos.Lab, Payment: id, ExpiresMS: past}, pos.OutcomeRejected, pos.ErrExpired},
		"without expiry":   {wire.VerbPay, pos.AskPay{Env: pos.Lab, Payment: id}, pos.OutcomeRejected, pos.ErrExpired},
		"expired present":  {wire.VerbPresent, pos.AskPresent{Env: pos.Lab, Payment: id, ExpiresMS: past}, pos.OutcomeRejected, pos.ErrExpired},
		"expired refund":   {wire.VerbRefund, pos.AskRefund{Env: pos.Lab, Payment: id, ExpiresMS: past}, pos.OutcomeRejected, pos.ErrExpired},
		"live till":        {wire.VerbPay, pos.AskPay{Env: pos.Live, Payment: id, ExpiresMS: soon}, pos.OutcomeRejected, pos.ErrEnvironment},
		"no payment":       {wire.VerbPay, pos.AskPay{Env: pos.Lab, ExpiresMS: soon}, pos.OutcomeRejected, pos.ErrBadRequest},
		"unknown verb":     {"steal", pos.AskQuery{Env: pos.Lab, Payment: id}, pos.OutcomeRejected, pos.ErrBadRequest},
		"not a question":   {wire.VerbPay, "x", pos.OutcomeRejected, pos.ErrBadRequest},
		"a large question": {wire.VerbPay, pos.AskPay{Env: pos.Lab, Payment: id, Code: strings.Repeat("1", 20_000)}, pos.OutcomeRejected, pos.ErrTooLarge},
	} {
		a := ask(t, nc, till, q.verb, q.body)
		if a.Outcome != q.want || a.Reason != q.reason || a.CentreMS == 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	room.mu.Lock()
	if len(room.calls) != 5 {
		t.Errorf("started: %v", room.calls)
	}
	for _, call := range room.calls {
		if !strings.HasSuffix(call, " "+till.id) {
			t.Errorf("terminal is not the subject's: %s", call)
		}
	}
	room.mu.Unlock()
	if err := c.fleet.Quarantine(t.Context(), till.id, "x", "op"); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, nc, till, wire.VerbPay, pos.AskPay{Env: pos.Lab, Payment: id, ExpiresMS: soon}); a.Reason != pos.ErrQuarantined {
		t.Errorf("quarantined: %+v", a)
	}
	if m := askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1}); !m.Quarantine {
		t.Errorf("the mark does not tell of the quarantine: %+v", m)
	}
}

func ask(t *testing.T, nc *nats.Conn, till *till, verb wire.Verb, body any) pos.Answer {
	t.Helper()
	m := must(nc.Request(wire.AskSubject(till.id, verb), must(dcep.Marshal(body))(t), 5*time.Second))(t)
	var a pos.Answer
	if err := dcep.Unmarshal(m.Data, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAsksAreBounded: one question more than there are places is refused at once, and
// Close lets those under way be answered.
func TestAsksAreBounded(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db")
	room := &asks{hold: make(chan struct{})}
	c.cfg.Asks, c.cfg.InFlight = room, 4
	c.start(t)
	till := c.enrol(t, dcep.Ed25519SHA256)
	nc := c.connect(t, till)
	q := pos.AskPay{Env: pos.Lab, Payment: pos.PaymentID{7}, ExpiresMS: time.Now().Add(time.Minute).UnixMilli()}
	answers := make(chan pos.Answer, 4)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { answers <- ask(t, nc, till, wire.VerbPay, q) })
	}
	eventually(t, "four are under way", func() bool {
		room.mu.Lock()
		defer room.mu.Unlock()
		return len(room.calls) == 4
	})
	if a := ask(t, nc, till, wire.VerbPay, q); a.Outcome != pos.OutcomeRejected || a.Reason != pos.ErrTooMany || a.Payment != q.Payment {
		t.Fatalf("%+v", a)
	}
	closed := make(chan error, 1)
	go func() { closed <- c.link.Close() }()
	time.Sleep(100 * time.Millisecond)
	close(room.hold)
	group.Wait()
	for range 4 {
		if a := <-answers; a.Outcome != pos.OutcomePaid {
			t.Errorf("%+v", a)
		}
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}

func TestNudgeCarriesVerdicts(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db").start(t)
	till := c.enrol(t, dcep.Ed25519SHA256)
	nc := c.connect(t, till)
	marks := downs(t, c, nc, till)
	for range 3 {
		if _, err := c.store.AppendVerdict(t.Context(), till.id, pos.Verdict{Payment: pos.PaymentID{1}}); err != nil {
			t.Fatal(err)
		}
	}
	askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1, Verdict: 1, Policies: 1})
	c.link.Nudge(till.id)
	c.link.Nudge("no.such.>")
	select {
	case m := <-marks:
		if len(m.Verdicts) != 2 || m.Verdicts[0].Number != 2 || m.Verdicts[1].Number != 3 {
			t.Fatalf("%+v", m)
		}
	case <-time.After(time.Minute):
		t.Fatal("no nudge")
	}
}

// TestAuditRefusesWeakStreams: money does not flow over a stream that is not as required.
func TestAuditRefusesWeakStreams(t *testing.T) {
	want := link.Wanted(link.Conveyor{Replicas: 3})
	if f := link.AuditStream(want, want); len(f) != 0 {
		t.Fatalf("%v", f)
	}
	for setting, weaken := range map[string]func(*jetstream.StreamConfig){
		"storage":              func(s *jetstream.StreamConfig) { s.Storage = jetstream.MemoryStorage },
		"discard":              func(s *jetstream.StreamConfig) { s.Discard = jetstream.DiscardOld },
		"retention":            func(s *jetstream.StreamConfig) { s.Retention = jetstream.InterestPolicy },
		"subjects":             func(s *jetstream.StreamConfig) { s.Subjects = []string{"x"} },
		"deny_delete":          func(s *jetstream.StreamConfig) { s.DenyDelete = false },
		"deny_purge":           func(s *jetstream.StreamConfig) { s.DenyPurge = false },
		"no_ack":               func(s *jetstream.StreamConfig) { s.NoAck = true },
		"persist_mode":         func(s *jetstream.StreamConfig) { s.PersistMode = jetstream.AsyncPersistMode },
		"compression":          func(s *jetstream.StreamConfig) { s.Compression = jetstream.S2Compression },
		"replicas":             func(s *jetstream.StreamConfig) { s.Replicas = 1 },
		"max_age":              func(s *jetstream.StreamConfig) { s.MaxAge = time.Hour },
		"max_msgs":             func(s *jetstream.StreamConfig) { s.MaxMsgs = 10 },
		"max_msgs_per_subject": func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject = 1 },
		"max_msg_size":         func(s *jetstream.StreamConfig) { s.MaxMsgSize = 1000 },
		"mirror":               func(s *jetstream.StreamConfig) { s.Mirror = &jetstream.StreamSource{} },
	} {
		have := want
		weaken(&have)
		if f := link.AuditStream(have, want); len(f) != 1 || f[0].Setting != setting {
			t.Errorf("%s: %v", setting, f)
		}
	}
}

// TestStartRefusesWeakStream starts over a directory in which the stream is a weak one.
func TestStartRefusesWeakStream(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db")
	dir := t.TempDir()
	weakStream(t, dir)
	c.cfg.Conveyor.Listen, c.cfg.Conveyor.StoreDir = "127.0.0.1:0", dir
	_, err := link.Start(t.Context(), c.cfg)
	if pos.CodeOf(err) != pos.ErrConfig || !strings.Contains(err.Error(), "discard is DiscardOld, want DiscardNew") ||
		!strings.Contains(err.Error(), "deny_purge is false, want true") {
		t.Fatalf("got %v", err)
	}
}

// TestRestartGoesOn: what was in the stream when the centre ended is taken in afterwards.
func TestRestartGoesOn(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db").start(t)
	till := c.enrol(t, dcep.Ed25519SHA256)
	till.open(t, pos.EpochEnrolled, nil)
	for range 30 {
		till.payment(t, 3, pos.Asking, pos.Paid)
	}
	nc := c.connect(t, till)
	for _, b := range till.batches(t, 3) {
		must(nc.Request(wire.JournalSubject(till.id), b, 5*time.Second))(t) // the stream's word that it has it
	}
	if err := c.link.Close(); err != nil {
		t.Fatal(err)
	}
	again := must(link.Start(context.WithoutCancel(t.Context()), c.cfg))(t)
	defer func() { _ = again.Close() }()
	eventually(t, "everything is kept", func() bool { return len(c.kept(t, till.id, 1)) == len(till.entries) })
	if diff := cmp.Diff(map[string]pos.Money{"receivable:ICBC": 90, "merchant:m1": -90}, c.balances(t)); diff != "" {
		t.Fatal(diff)
	}
}
