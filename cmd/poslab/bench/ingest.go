package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"dcpos/central/fleet"
	"dcpos/central/link"
	"dcpos/central/store"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// ingest measures what one centre takes in from many tills at once, into each database.
func ingest(ctx context.Context, r *run) error {
	bare, err := r.bareRows(ctx, r.path("bare.db"), 3*r.Sizes.Tills*r.Sizes.Each)
	if err != nil {
		return err
	}
	lite, entries, err := r.takeIn(ctx, "sqlite", "sqlite:"+r.path("centre.db"))
	if err != nil {
		return fmt.Errorf("SQLite: %w", err)
	}
	many := fmt.Sprintf("%d", r.Sizes.Tills)
	r.report(Figure{
		Name: "sqlite", Value: lite, Unit: "entries/s", Count: entries, Peer: bare,
		Means: pos.Text{
			ZH: many + " 台终端同时上传 → 验签、账簿、投影、复式记账已提交(SQLite)",
			EN: many + " tills at once → verified, journal, projection and ledger committed (SQLite)",
		},
	})
	if r.Postgres == "none" {
		return nil
	}
	url := r.Postgres
	if url == "" || url == "auto" {
		server, err := startPostgres(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = server.stop() }() // its folder goes with it; nothing in it is of use
		url = server.url()
	}
	full, _, err := r.takeIn(ctx, "postgres", url)
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	r.report(Figure{
		Name: "postgres", Value: full, Unit: "entries/s", Count: entries, Peer: &Peer{Name: "sqlite", Value: lite},
		Means: pos.Text{ZH: "同上(PostgreSQL,fsync 开启)", EN: "the same (PostgreSQL, fsync on)"},
	})
	return nil
}

// sender is a till's end of the road with its journal in memory.
type sender struct {
	id      string
	epoch   uint32
	signer  dcep.Signer
	user    nkeys.KeyPair
	entries []pos.Entry
	batches [][]byte
	conn    *nats.Conn
}

// takeIn sends every till's journal to a new centre and waits until all is committed.
func (r *run) takeIn(ctx context.Context, name, url string) (rate float64, entries int, err error) {
	quiet := slog.New(slog.DiscardHandler)
	db, err := store.Open(ctx, store.Config{URL: url, Env: pos.Lab, Log: quiet})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	centre, _, err := pair(dcep.SM2SM3)
	if err != nil {
		return 0, 0, err
	}
	road, err := link.Start(ctx, link.Config{
		Store: db.Link(), Env: pos.Lab, Signer: centre, Log: quiet, Now: time.Now, Asks: nobody{},
		Conveyor: link.Conveyor{
			Listen: "127.0.0.1:0", StoreDir: filepath.Join(r.root, "nats-"+name), MaxStore: 1 << 30,
		},
	})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, road.Close()) }()
	senders, err := r.senders(ctx, db, road)
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		for _, s := range senders {
			s.conn.Close()
		}
	}()
	began := time.Now()
	if err := publish(senders); err != nil {
		return 0, 0, err
	}
	for _, s := range senders {
		entries += len(s.entries)
		if err := committed(ctx, db, s); err != nil {
			return 0, 0, err
		}
	}
	return perSecond(entries, time.Since(began)), entries, nil
}

// publish sends the tills' batches by turns.
func publish(senders []*sender) error {
	for i := range senders[0].batches {
		for _, s := range senders {
			if err := s.conn.Publish(wire.JournalSubject(s.id), s.batches[i]); err != nil {
				return err
			}
		}
	}
	for _, s := range senders {
		if err := s.conn.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func committed(ctx context.Context, db *store.Store, s *sender) error {
	want := uint64(len(s.entries))
	return until(ctx, 2*time.Millisecond, s.id+" is taken in", func() (done bool, err error) {
		err = db.Link().Read(ctx, func(reader link.Reader) error {
			heads, err := reader.Heads(ctx, s.id, s.epoch)
			done = len(heads) > 0 && heads[0].Seq == want
			return err
		})
		return done, err
	})
}

// senders enrols the tills, writes their journals and connects them.
func (r *run) senders(ctx context.Context, db *store.Store, road *link.Link) ([]*sender, error) {
	registry := fleet.New(fleet.Config{Store: db.Fleet(), Env: pos.Lab, Changed: road.Changed})
	if err := registry.AddMerchant(ctx, fleet.Merchant{ID: merchant}, "bench"); err != nil {
		return nil, err
	}
	if err := registry.AddShop(ctx, fleet.Shop{ID: "B01", Merchant: merchant}, "bench"); err != nil {
		return nil, err
	}
	var all []*sender
	for range r.Sizes.Tills {
		s, err := enrol(ctx, registry)
		if err != nil {
			return nil, fmt.Errorf("enrol: %w", err)
		}
		if err := s.keepJournal(r.Sizes.Each); err != nil {
			return nil, fmt.Errorf("journal of %s: %w", s.id, err)
		}
		public, err := s.user.PublicKey()
		if err != nil {
			return nil, err
		}
		s.conn, err = nats.Connect(road.URL(), nats.Nkey(public, s.user.Sign), nats.NoReconnect(),
			nats.CustomInboxPrefix(wire.InboxPrefix(s.id)))
		if err != nil {
			return nil, fmt.Errorf("connect %s: %w", s.id, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func enrol(ctx context.Context, registry *fleet.Fleet) (*sender, error) {
	signer, _, err := pair(dcep.SM2SM3)
	if err != nil {
		return nil, err
	}
	s := &sender{signer: signer}
	if s.user, err = nkeys.CreateUser(); err != nil {
		return nil, err
	}
	code, _, err := registry.IssueCode(ctx, fleet.CodeRequest{Shop: "B01", By: "bench"})
	if err != nil {
		return nil, err
	}
	public, err := s.user.PublicKey()
	if err != nil {
		return nil, err
	}
	proof, err := signer.Sign(wire.DomainEnrol, append([]byte(code+"\x00"), signer.Public()...))
	if err != nil {
		return nil, err
	}
	answer, err := registry.Enrol(ctx, wire.EnrolRequest{
		Code: code, Env: pos.Lab, Class: "counter", Suite: signer.Suite().Name(), PublicKey: signer.Public(),
		NATSKey: public, Proof: proof,
	})
	s.id, s.epoch = answer.Terminal, answer.Epoch
	return s, err
}

// keepJournal writes payments of three entries and cuts them into the road's batches.
func (s *sender) keepJournal(payments int) error {
	err := s.append(pos.Draft{Kind: pos.KindEpochOpened, Operator: pos.OperatorSystem, At: now(), BusinessDate: today(), Body: pos.EpochOpened{
		Reason: pos.EpochEnrolled, Suite: s.signer.Suite().Name(), PublicKey: s.signer.Public(), Merchant: merchant, Store: "B01",
	}})
	b := &book{}
	for range payments {
		for _, d := range b.sale() {
			err = errors.Join(err, s.append(d))
		}
	}
	if err != nil {
		return err
	}
	for rest := s.entries; len(rest) > 0; {
		n := min(wire.BatchEntries, len(rest))
		batch, err := wire.NewBatch(s.signer, rest[:n], time.Now().UnixMilli())
		if err != nil {
			return err
		}
		data, err := dcep.Marshal(batch)
		if err != nil {
			return err
		}
		s.batches, rest = append(s.batches, data), rest[n:]
	}
	return nil
}

func (s *sender) append(d pos.Draft) error {
	body, err := dcep.Marshal(d.Body)
	if err != nil {
		return err
	}
	var prev []byte
	if n := len(s.entries); n > 0 {
		prev = s.entries[n-1].Hash
	}
	e := pos.Entry{
		Position: pos.Position{Terminal: s.id, Epoch: s.epoch, Seq: uint64(len(s.entries)) + 1}, Env: pos.Lab,
		Kind: d.Kind, Payment: d.Payment, Operator: d.Operator, At: d.At, BusinessDate: d.BusinessDate, Body: body,
	}
	if err := dcep.Seal(s.signer, prev, &e); err != nil {
		return err
	}
	s.entries = append(s.entries, e)
	return nil
}

// nobody answers no question: only journals are sent here.
type nobody struct{}

func refuse(id pos.PaymentID) pos.Answer {
	return pos.Answer{Payment: id, Outcome: pos.OutcomeRejected}
}

func (nobody) Pay(_ context.Context, _ string, a pos.AskPay) pos.Answer { return refuse(a.Payment) }
func (nobody) Present(_ context.Context, _ string, a pos.AskPresent) pos.Answer {
	return refuse(a.Payment)
}

func (nobody) Query(_ context.Context, _ string, a pos.AskQuery) pos.Answer { return refuse(a.Payment) }

func (nobody) Abandon(_ context.Context, _ string, a pos.AskAbandon) pos.Answer {
	return refuse(a.Payment)
}

func (nobody) Refund(_ context.Context, _ string, a pos.AskRefund) pos.Answer {
	return refuse(a.Payment)
}
