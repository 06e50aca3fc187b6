package bench

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// accepted is an offline payment in two entries.
func (b *book) accepted() []pos.Draft {
	id := b.id()
	return []pos.Draft{
		b.created(id, 1_00, pos.Evidence),
		b.draft(pos.KindPaymentMoved, id, pos.PaymentMoved{
			From: pos.Created, To: pos.AcceptedEvidence, Source: "wallet", Institution: "ICBC", Wallet: "bench", Counter: b.n, Evidence: make([]byte, 700),
		}),
	}
}

// heap is what the process holds after a collection, in MiB.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// storedPayments measures a journal that holds many payments that the centre has not seen:
// what a further one costs, what the process holds, and the verification of it all.
func storedPayments(ctx context.Context, r *run) error {
	b, err := newBook(ctx, r.root, dcep.SM2SM3)
	if err != nil {
		return err
	}
	one := func() (s samples, err error) {
		for range 200 {
			d := b.accepted()
			if err := s.time(func() error { return b.write(ctx, d...) }); err != nil {
				return s, err
			}
		}
		return s, nil
	}
	before, err := one()
	if err != nil {
		return err
	}
	empty := heap()
	began := time.Now()
	entries, err := b.fill(ctx, 2*r.Sizes.Stored, func() ([]pos.Draft, error) { return b.accepted(), nil })
	filling := time.Since(began)
	if err != nil {
		return err
	}
	full := heap()
	after, err := one()
	if err != nil {
		return err
	}
	r.report(Figure{
		Name: "one-more.p50", Value: after.at(50), Unit: "ms", Count: len(after),
		Means: pos.Text{ZH: "再受理一笔:签名两条并落盘", EN: "one more payment: two signed entries, on the disk"},
		Peer:  &Peer{Name: "the same in an empty journal, p50", Value: before.at(50)},
	})
	r.report(Figure{
		Name: "heap", Value: full, Unit: "MiB", Count: r.Sizes.Stored,
		Means: pos.Text{ZH: "存有这些支付时的堆内存", EN: "heap of the process that holds them"},
		Peer:  &Peer{Name: "with an empty journal", Value: empty},
	})
	r.report(Figure{
		Name: "fill", Value: perSecond(entries, filling), Unit: "entries/s", Count: entries,
		Means: pos.Text{ZH: "成批写入", EN: "written in decisions of 768 entries"},
	})
	if err := b.Close(); err != nil {
		return err
	}
	return r.verifyStored(ctx, b.path)
}

func (r *run) verifyStored(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	began := time.Now()
	report, err := offline.Verify(ctx, path, offline.VerifyOptions{})
	took := time.Since(began)
	if err == nil && (!report.OK || report.Payments < r.Sizes.Stored) {
		err = errors.New("the journal does not verify")
	}
	if err != nil {
		return err
	}
	bare, err := verifyRate(ctx, dcep.SM2SM3, r.Repeat/10)
	if err != nil {
		return err
	}
	r.report(Figure{
		Name: "verify", Value: perSecond(report.Entries, took), Unit: "entries/s", Count: report.Entries,
		Means: pos.Text{ZH: "逐条校验链与全部签名", EN: "chain and every signature"}, Peer: bare,
	})
	r.report(Figure{
		Name: "size", Value: float64(info.Size()) / float64(report.Payments), Unit: "B", Count: report.Payments,
		Means: pos.Text{ZH: "每笔支付占用的文件字节", EN: "bytes of the file for each payment"},
	})
	return nil
}
