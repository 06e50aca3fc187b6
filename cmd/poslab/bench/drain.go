package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dcpos/agent/identity"
	"dcpos/lab/drill"
	"dcpos/lab/proxy"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// delay is what a byte takes each way over the bad network.
const delay = 300 * time.Millisecond

// drain measures how fast a till that was offline for days is heard out: the centre
// verifies and keeps every entry and meanwhile asks the institution for every payment.
func drain(ctx context.Context, r *run) error {
	bare, err := r.bareRows(ctx, r.path("bare.db"), r.Sizes.Backlog)
	if err != nil {
		return err
	}
	var direct, credited, slow float64
	few := max(2, r.Sizes.Backlog/20)
	err = r.far(ctx, "near", 0, func(b *backlog) (err error) {
		if credited, err = b.credited(ctx, few); err != nil {
			return err
		}
		direct, err = b.receipted(ctx, r.Sizes.Backlog)
		return err
	})
	if err != nil {
		return fmt.Errorf("direct: %w", err)
	}
	err = r.far(ctx, "far", delay, func(b *backlog) (err error) {
		slow, err = b.receipted(ctx, r.Sizes.Backlog)
		return err
	})
	if err != nil {
		return fmt.Errorf("over %s: %w", 2*delay, err)
	}
	r.report(Figure{
		Name: "direct", Value: direct, Unit: "entries/s", Count: r.Sizes.Backlog, Peer: bare,
		Means: pos.Text{
			ZH: "积压上传:恢复连接到全部取得中心签名回执",
			EN: "backlog: from the connection to the centre's signed receipt for all of it",
		},
	})
	r.report(Figure{
		Name: "rtt-600ms", Value: slow, Unit: "entries/s", Count: r.Sizes.Backlog, Peer: &Peer{Name: "direct", Value: direct},
		Means: pos.Text{ZH: "同上,经过往返 600 毫秒的网络", EN: "the same over a network with a round trip of 600 ms"},
	})
	r.report(Figure{
		Name: "credited", Value: credited, Unit: "sales/s", Count: few / 2,
		Means: pos.Text{
			ZH: "从恢复连接到机构入账结果写回终端账簿(同一家机构、同一钱包)",
			EN: "from the connection until the till has journaled the institution's crediting (one institution, one wallet)",
		},
	})
	return nil
}

// backlog is a till that will meet its centre again.
type backlog struct {
	site     *drill.Site
	till     *drill.Till
	customer *wallet.Wallet
	detour   string // where the till is to find its centre; "" is where it does
}

// far opens a site over a network of the delay and hands its till to measure.
func (r *run) far(ctx context.Context, name string, each time.Duration, measure func(*backlog) error) (err error) {
	s, err := drill.Open(ctx, drill.SiteOptions{Bin: r.Bin, Dir: r.path(name), Tills: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b := &backlog{site: s, till: s.Tills[0]}
	if b.customer, err = s.Wallet(ctx, "ICBC", plenty); err != nil {
		return err
	}
	if each == 0 {
		return measure(b)
	}
	// In front of the site's own proxy, which can only cut.
	network, err := proxy.New(context.WithoutCancel(ctx), s.Link.Addr(), proxy.Options{Delay: each})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	b.detour = "nats://" + network.Addr()
	return measure(b)
}

// receipted cuts the link, gives the till its backlog, and tells how many entries a second
// are receipted from the connection on.
func (b *backlog) receipted(ctx context.Context, size int) (rate float64, err error) {
	entries, last, began, err := b.reconnect(ctx, size)
	if err != nil {
		return 0, err
	}
	err = b.reached(ctx, "everything is receipted", func(o pos.Outbox) bool { return o.Receipted >= last })
	return perSecond(entries, time.Since(began)), err
}

// credited does the same and tells how many sales a second come back as credited: each is
// one more entry of the till's journal.
func (b *backlog) credited(ctx context.Context, size int) (rate float64, err error) {
	entries, last, began, err := b.reconnect(ctx, size)
	if err != nil {
		return 0, err
	}
	sales := entries / 2
	last += uint64(sales) //nolint:gosec // not negative
	err = b.reached(ctx, "everything is credited", func(o pos.Outbox) bool { return o.Seq >= last && o.Receipted >= last })
	return perSecond(sales, time.Since(began)), err
}

// reconnect returns at the moment of the connection.
func (b *backlog) reconnect(ctx context.Context, size int) (entries int, last uint64, began time.Time, err error) {
	if err := errors.Join(b.site.Link.Cut(), b.till.Stop()); err != nil {
		return 0, 0, began, err
	}
	if b.detour != "" { // while the till does not run: it would write its own address again
		if err := redirect(b.till, b.detour); err != nil {
			return 0, 0, began, err
		}
	}
	if entries, last, err = b.write(ctx, size); err != nil {
		return 0, 0, began, fmt.Errorf("make the backlog: %w", err)
	}
	if err := errors.Join(b.till.Restart(ctx), b.site.Link.Restore(), connected(ctx, b.till, true)); err != nil {
		return 0, 0, began, err
	}
	return entries, last, time.Now(), nil
}

func (b *backlog) reached(ctx context.Context, what string, ok func(pos.Outbox) bool) error {
	return until(ctx, 100*time.Millisecond, what, func() (bool, error) {
		status, err := b.till.Status(ctx)
		return ok(status.Outbox), err
	})
}

// redirect lets the till go to another address of the same centre.
func redirect(t *drill.Till, url string) error {
	folder := identity.Folder(t.Data)
	id, err := folder.Load()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(id.NATSURL, "nats://") {
		return fmt.Errorf("till goes to %q", id.NATSURL)
	}
	id.NATSURL = url
	return folder.Save(context.Background(), id)
}

// write puts offline sales with a wallet's real signatures into the till's journal.
func (b *backlog) write(ctx context.Context, size int) (entries int, last uint64, err error) {
	journal, err := openBook(ctx, b.till)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	id, err := identity.Folder(b.till.Data).Load()
	if err != nil {
		return 0, 0, err
	}
	certificate, err := id.Trust.VerifyWallet(b.customer.Certificate(), time.Now())
	if err != nil {
		return 0, 0, err
	}
	entries, err = journal.fill(ctx, size, func() ([]pos.Draft, error) {
		return journal.offlineSale(b.till.ID, b.customer, certificate.Serial)
	})
	if err != nil {
		return entries, 0, err
	}
	box, err := journal.Outbox(ctx)
	return entries, box.Seq, err
}

// offlineSale is a payment of one fen by wallet evidence, as checkout writes it.
func (b *book) offlineSale(terminal string, w *wallet.Wallet, serial string) ([]pos.Draft, error) {
	id, at := b.id(), time.Now()
	text, err := dcep.EncodeChallenge(dcep.Challenge{
		Env: pos.Lab, Terminal: terminal, Merchant: merchant, Payment: id, Amount: 1,
		Nonce: append(make([]byte, dcep.NonceSize-10), id[6:]...), AtMS: at.UnixMilli(), ExpiresMS: at.Add(time.Minute).UnixMilli(),
	})
	if err != nil {
		return nil, err
	}
	answer, err := w.Answer(text, at)
	if err != nil {
		return nil, err
	}
	evidence, err := dcep.DecodeEvidence(answer)
	if err != nil {
		return nil, err
	}
	whole, err := dcep.Marshal(evidence)
	if err != nil {
		return nil, err
	}
	return []pos.Draft{
		b.created(id, 1, pos.Evidence),
		b.draft(pos.KindPaymentMoved, id, pos.PaymentMoved{
			From: pos.Created, To: pos.AcceptedEvidence, Source: "wallet", Institution: w.Institution(),
			Evidence: whole, Wallet: serial, Counter: evidence.Counter,
		}),
	}, nil
}
