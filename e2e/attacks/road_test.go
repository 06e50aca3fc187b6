package attacks_test

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"dcpos/central/fleet"
	"dcpos/central/ledger"
	"dcpos/central/link"
	"dcpos/central/store"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// road is a centre's end of the road with its database.
type road struct {
	t     *testing.T
	store *store.Store
	fleet *fleet.Fleet
	link  *link.Link
	key   dcep.Signer
	tills int
}

func openRoad(t *testing.T) *road {
	t.Helper()
	r := &road{t: t, key: newBank(t, dcep.SM2SM3, pos.Lab).key()}
	r.store = must[*store.Store](t)(store.Open(t.Context(), store.Config{URL: "sqlite:" + t.TempDir() + "/centre.db", Env: pos.Lab}))
	t.Cleanup(func() { _ = r.store.Close() })
	r.fleet = fleet.New(fleet.Config{Store: r.store.Fleet(), Env: pos.Lab, Changed: func(terminal string) { r.link.Changed(terminal) }})
	ok(t, r.fleet.AddMerchant(t.Context(), fleet.Merchant{ID: "m1"}, "op"))
	ok(t, r.fleet.AddShop(t.Context(), fleet.Shop{ID: "wfj", Merchant: "m1"}, "op"))
	r.link = must[*link.Link](t)(link.Start(t.Context(), link.Config{
		Store: r.store.Link(), Env: pos.Lab, Signer: r.key, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Conveyor: link.Conveyor{Listen: "127.0.0.1:0", StoreDir: t.TempDir(), MaxStore: 256 << 20},
	}))
	t.Cleanup(func() { ok(t, r.link.Close()) })
	return r
}

// sender is an enrolled terminal that speaks for itself.
type sender struct {
	road    *road
	id      string
	signer  dcep.Signer
	user    nkeys.KeyPair
	conn    *nats.Conn
	entries []pos.Entry
}

func (r *road) enrol() *sender {
	r.t.Helper()
	s := &sender{road: r, signer: newBank(r.t, dcep.SM2SM3, pos.Lab).key(), user: must[nkeys.KeyPair](r.t)(nkeys.CreateUser())}
	code, _, err := r.fleet.IssueCode(r.t.Context(), fleet.CodeRequest{Shop: "wfj", By: "op"})
	ok(r.t, err)
	a, err := r.fleet.Enrol(r.t.Context(), wire.EnrolRequest{
		Code: code, Env: pos.Lab, Class: "counter", Suite: s.signer.Suite().Name(), PublicKey: s.signer.Public(),
		NATSKey: must[string](r.t)(s.user.PublicKey()), Proof: must[[]byte](r.t)(s.signer.Sign(wire.DomainEnrol, append([]byte(code+"\x00"), s.signer.Public()...))),
	})
	ok(r.t, err)
	s.id = a.Terminal
	s.write(pos.KindEpochOpened, pos.PaymentID{}, pos.EpochOpened{Reason: pos.EpochEnrolled, Suite: s.signer.Suite().Name(), PublicKey: s.signer.Public(), Merchant: "m1", Store: "wfj"})
	s.sale(1000)
	return s
}

// dial connects as the terminal.
func (s *sender) dial() (*nats.Conn, error) {
	return nats.Connect(s.road.link.URL(), nats.Nkey(must[string](s.road.t)(s.user.PublicKey()), s.user.Sign),
		nats.CustomInboxPrefix(wire.InboxPrefix(s.id)), nats.Timeout(10*time.Second), nats.NoReconnect())
}

func (s *sender) write(kind pos.Kind, id pos.PaymentID, body any) {
	s.road.t.Helper()
	e := pos.Entry{
		Position: pos.Position{Terminal: s.id, Epoch: 1, Seq: uint64(len(s.entries) + 1)}, Env: pos.Lab, Kind: kind, Payment: id,
		Operator: "1001", At: pos.Instant{WallMS: 1, BootID: "b"}, BusinessDate: "2026-11-26", Body: must[[]byte](s.road.t)(dcep.Marshal(body)),
	}
	var prev []byte
	if n := len(s.entries); n > 0 {
		prev = s.entries[n-1].Hash
	}
	ok(s.road.t, dcep.Seal(s.signer, prev, &e))
	s.entries = append(s.entries, e)
}

func (s *sender) sale(fen pos.Money) {
	s.road.t.Helper()
	s.road.tills++
	id := pos.NewPaymentID(time.Now(), [10]byte{byte(s.road.tills)})
	s.write(pos.KindPaymentCreated, id, pos.PaymentCreated{
		OrderID: "o", OrderAmount: fen, Amount: fen, Mode: pos.BScanC, Caller: "screen", Key: id.String(), BodyHash: "h", Attempt: 1,
	})
	s.write(pos.KindPaymentMoved, id, pos.PaymentMoved{From: pos.Created, To: pos.Asking, Source: "till"})
	s.write(pos.KindPaymentMoved, id, pos.PaymentMoved{From: pos.Asking, To: pos.Paid, Source: "institution", Institution: "ICBC", SettlementDate: "2026-11-26"})
}

func (s *sender) batch(entries []pos.Entry) wire.Batch {
	s.road.t.Helper()
	return must[wire.Batch](s.road.t)(wire.NewBatch(s.signer, entries, 1))
}

// send publishes a message as the terminal's journal.
func (s *sender) send(message []byte) {
	s.road.t.Helper()
	if s.conn == nil {
		s.conn = must[*nats.Conn](s.road.t)(s.dial())
		s.road.t.Cleanup(s.conn.Close)
	}
	ok(s.road.t, s.conn.Publish(wire.JournalSubject(s.id), message))
	ok(s.road.t, s.conn.Flush())
}

// eventually waits until f gives a reason.
func eventually(t *testing.T, what string, f func() error) error {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err := f(); err != nil {
			return err
		}
	}
	t.Errorf("not within %s: %s", patience, what)
	return nil
}

// rejected waits for the reason why the centre took nothing of a message.
func (s *sender) rejected() error {
	t := s.road.t
	return eventually(t, "a message is rejected", func() error {
		list := must[[]store.Reject](t)(s.road.store.Rejects(t.Context(), s.id, 1))
		if len(list) == 0 {
			return nil
		}
		if n := s.owed(); n != 0 {
			t.Errorf("the merchant is owed %d", n)
		}
		return found(list[0].Reason)
	})
}

// owed is what the ledger owes the merchant more than before this terminal spoke.
func (s *sender) owed() pos.Money {
	s.road.t.Helper()
	trial := must[ledger.Trial](s.road.t)(s.road.store.Ledger().Trial(s.road.t.Context(), "merchant:"))
	var sum pos.Money
	for _, a := range trial.Accounts {
		sum -= a.Amount
	}
	return sum
}

// roads are attacks between till and centre.
func roads(t *testing.T) []attack {
	t.Helper()
	r := openRoad(t)
	spoiled := func(threat, name, want string, spoil func(s *sender, b wire.Batch) []byte) attack {
		return attack{threat, name, want, func(t *testing.T) error {
			t.Helper()
			s := r.enrol()
			s.send(spoil(s, s.batch(s.entries)))
			return s.rejected()
		}}
	}
	bytesOf := func(b wire.Batch) []byte { return must[[]byte](t)(dcep.Marshal(b)) }
	return []attack{
		spoiled("T8", "an amount changed on the way", "bad_signature", func(s *sender, b wire.Batch) []byte {
			b.Entries = slices.Clone(b.Entries)
			b.Entries[1].Body = must[[]byte](t)(dcep.Marshal(pos.PaymentCreated{OrderID: "o", OrderAmount: 9, Amount: 9, Mode: pos.BScanC, Caller: "screen", Key: "k", Attempt: 1}))
			return bytesOf(b)
		}),
		spoiled("T8", "a batch cut off in the middle", "undecodable", func(_ *sender, b wire.Batch) []byte {
			m := bytesOf(b)
			return m[:len(m)/2]
		}),
		spoiled("T8", "entries in another order, signed by the terminal itself", "bad_chain", func(s *sender, b wire.Batch) []byte {
			e := slices.Clone(b.Entries)
			e[1], e[2] = e[2], e[1]
			return bytesOf(s.batch(e))
		}),
		spoiled("T8", "a batch of live in the lab", "wrong_env", func(_ *sender, b wire.Batch) []byte {
			b.Env = pos.Live
			return bytesOf(b)
		}),
		spoiled("T9", "a batch signed by a key that is not the terminal's", "bad_signature", func(s *sender, b wire.Batch) []byte {
			s.signer = newBank(t, dcep.SM2SM3, pos.Lab).key()
			return bytesOf(s.batch(b.Entries))
		}),
		spoiled("T4", "another terminal's batch sent as one's own", "other_terminal", func(*sender, wire.Batch) []byte {
			other := r.enrol()
			return bytesOf(other.batch(other.entries))
		}),
		{"T9", "a stolen key after its terminal was suspended", "not let in", func(t *testing.T) error {
			t.Helper()
			s := r.enrol()
			ok(t, r.fleet.Suspend(t.Context(), s.id, "stolen", "op"))
			nc, err := s.dial()
			if err == nil {
				nc.Close()
				return nil
			}
			return found("not let in")
		}},
		{"T10", "guards and trust that somebody else than the centre signed", "signature", func(t *testing.T) error {
			t.Helper()
			generous := pos.Policy{Env: pos.Lab, Version: 1 << 40, Limits: pos.DefaultLimits()}
			generous.Limits.PerPayment, generous.Limits.SplitTotal = pos.MaxAmount, pos.MaxAmount
			forger, centre := newBank(t, dcep.SM2SM3, pos.Lab).key(), must[dcep.Verifier](t)(r.key.Suite().Verifier(r.key.Public()))
			policy := must[dcep.Sealed](t)(dcep.SealPolicy(forger, generous))
			forged := must[[]byte](t)(wire.SealMark(forger, wire.Mark{Env: pos.Lab, Terminal: "T1", Policies: []dcep.Sealed{policy}}))
			if _, err := wire.OpenMark(centre, forged); err == nil {
				return nil
			}
			if _, err := dcep.OpenPolicy(centre, policy); pos.CodeOf(err) != pos.ErrPolicyForged {
				return err
			}
			return found("signature")
		}},
		{"T8", "one batch sent again and again", "kept once", func(t *testing.T) error {
			t.Helper()
			s := r.enrol()
			before := s.owed()
			b := bytesOf(s.batch(s.entries))
			for range 20 {
				s.send(b)
			}
			s.sale(1) // behind them on the same road: when it is booked they were looked at
			s.send(bytesOf(s.batch(s.entries[4:])))
			return eventually(t, "the next sale is booked", func() error {
				n := s.owed() - before
				if n == 0 || n == 1000 {
					return nil
				}
				if n == 1001 {
					return found("kept once")
				}
				return found(fmt.Sprintf("owed %d", n))
			})
		}},
	}
}
