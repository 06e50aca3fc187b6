package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dcpos/lab/drill"
	"dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// patience bounds every wait for something that must come.
const patience = 60 * time.Second

// plenty is more than any bench spends from one wallet.
const plenty pos.Money = 1_000_000_00

// site opens a shop with one till, its centre and six institutions, all real programs.
func (r *run) site(ctx context.Context) (*drill.Site, error) {
	return drill.Open(ctx, drill.SiteOptions{Bin: r.Bin, Dir: r.path("site"), Tills: 1})
}

// until asks again and again until ok, an error, or the patience is over.
func until(ctx context.Context, step time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		done, err := ok()
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s", what, patience)
		case <-tick.C:
		}
	}
}

// cut pulls the cable and waits until the till knows.
func cut(ctx context.Context, s *drill.Site, t *drill.Till) error {
	if err := s.Link.Cut(); err != nil {
		return err
	}
	return connected(ctx, t, false)
}

func connected(ctx context.Context, t *drill.Till, want bool) error {
	return until(ctx, 2*time.Millisecond, fmt.Sprintf("till's connection is %v", want), func() (bool, error) {
		status, err := t.Status(ctx)
		return status.Connected == want, err
	})
}

// walletPayments is how often one wallet pays offline: the till's guard allows ten.
const walletPayments = 10

// offlineDecision measures what a customer without a network waits for.
func offlineDecision(ctx context.Context, r *run) (err error) {
	site, err := r.site(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	var wallets []*wallet.Wallet
	for range (r.Sizes.Offline + walletPayments - 1) / walletPayments {
		w, err := site.Wallet(ctx, "ICBC", plenty)
		if err != nil {
			return err
		}
		wallets = append(wallets, w)
	}
	disk, err := newFloor(r.path("floor"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.close()) }()
	memory, err := newBook(ctx, r.root, dcep.SM2SM3)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, memory.Close()) }()
	till := site.Tills[0]
	if err := cut(ctx, site, till); err != nil {
		return err
	}
	var whole, decision, commit samples
	for i := range r.Sizes.Offline {
		took, last, err := acceptance(ctx, till, wallets[i/walletPayments], i)
		if err != nil {
			return fmt.Errorf("acceptance %d: %w", i, err)
		}
		whole, decision = append(whole, took), append(decision, last)
		if err := disk.sync(); err != nil { // beside every acceptance: the disk's mood is the same
			return err
		}
		d := memory.created(memory.id(), 1, pos.Evidence)
		if err := commit.time(func() error { return memory.write(ctx, d) }); err != nil {
			return err
		}
	}
	r.decided(whole, decision, commit, disk)
	return nil
}

func (r *run) decided(whole, decision, commit samples, disk *floor) {
	for _, f := range []struct {
		name  string
		s     samples
		means pos.Text
	}{
		{"decision", decision, pos.Text{
			ZH: "扫到钱包应答码 → 已受理(验证、限额、签名、落盘)",
			EN: "wallet's answer scanned → accepted: verify, guards, sign, on the disk",
		}},
		{"whole", whole, pos.Text{
			ZH: "整笔离线收款:建单、挑战码、受理,三次本地接口调用(不含钱包签名)",
			EN: "whole offline sale: start, challenge, answer; three calls, without the wallet's signing",
		}},
		{"commit", commit, pos.Text{
			ZH: "其中账簿提交一条(offline.Store.Update)",
			EN: "of this the journal's commit of one entry (offline.Store.Update)",
		}},
	} {
		r.latency(f.name, f.s, f.means, disk.fsync)
	}
	r.latency("fsync-floor", disk.samples, pos.Text{
		ZH: "磁盘下限:写一页并 fdatasync", EN: "the disk's floor: a page written and fdatasynced",
	}, func(int) *Peer { return nil })
}

// latency reports p50, p99 and the maximum.
func (r *run) latency(name string, s samples, means pos.Text, peer func(percentile int) *Peer) {
	for _, p := range []struct {
		suffix string
		at     int
	}{{"p50", 50}, {"p99", 99}, {"max", 100}} {
		r.report(Figure{
			Name: name + "." + p.suffix, Value: s.at(p.at), Unit: "ms", Count: len(s), Means: means, Peer: peer(p.at),
		})
	}
}

// acceptance is one offline sale of one fen; signing is not part of the times.
func acceptance(ctx context.Context, t *drill.Till, w *wallet.Wallet, n int) (whole, decision time.Duration, err error) {
	key := fmt.Sprintf("offline-%d", n)
	began := time.Now()
	p, err := t.Pay(ctx, drill.Start{Key: key, OrderID: key, Amount: 1, Mode: pos.Evidence})
	if err != nil {
		return 0, 0, err
	}
	challenge, err := t.Challenge(ctx, p.ID)
	if err != nil {
		return 0, 0, err
	}
	whole = time.Since(began)
	answer, err := w.Answer(challenge, time.Now())
	if err != nil {
		return 0, 0, err
	}
	began = time.Now()
	p, err = t.Do(ctx, p.ID, "evidence", map[string]string{"evidence": answer})
	decision = time.Since(began)
	if err == nil && p.State != pos.AcceptedEvidence {
		err = fmt.Errorf("payment is %s", p.State)
	}
	return whole + decision, decision, err
}

// onlineSale measures what a customer who shows a payment code waits for, beside the
// institution asked directly.
func onlineSale(ctx context.Context, r *run) (err error) {
	site, err := r.site(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	w, err := site.Wallet(ctx, "ICBC", plenty)
	if err != nil {
		return err
	}
	bank, err := r.bank("ICBC")
	if err != nil {
		return err
	}
	disk, err := newFloor(r.path("floor"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.close()) }()
	var sale, direct samples
	for i := range r.Sizes.Online {
		took, err := sell(ctx, site.Tills[0], w, fmt.Sprintf("online-%d", i))
		if err != nil {
			return fmt.Errorf("sale %d: %w", i, err)
		}
		sale = append(sale, took)
		code, err := w.Code(ctx)
		if err != nil {
			return err
		}
		if err := direct.time(func() error { return bank.pay(ctx, i, code) }); err != nil {
			return fmt.Errorf("ask the institution directly: %w", err)
		}
		if err := disk.sync(); err != nil {
			return err
		}
	}
	r.latency("sale", sale, pos.Text{
		ZH: "付款码整笔:建单、提交付款码 → 已支付(终端、NATS、中心、机构)",
		EN: "whole sale by payment code: start, code → paid, through agent, NATS, centre and institution",
	}, func(p int) *Peer {
		return &Peer{Name: fmt.Sprintf("the institution asked directly by HTTP, p%d", p), Value: direct.at(p)}
	})
	r.report(Figure{
		Name: "sale.in-fsyncs", Value: sale.at(50), Unit: "ms", Count: len(sale),
		Means: pos.Text{ZH: "同一中位数,以磁盘下限为单位", EN: "the same median, counted in the disk's floor"},
		Peer:  disk.fsync(50),
	})
	return nil
}

// sell is one online sale of one fen; getting the customer's code is not part of the time.
func sell(ctx context.Context, t *drill.Till, w *wallet.Wallet, key string) (time.Duration, error) {
	code, err := w.Code(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	p, err := t.Pay(ctx, drill.Start{Key: key, OrderID: key, Amount: 1, Mode: pos.BScanC})
	if err != nil {
		return 0, err
	}
	p, err = t.Do(ctx, p.ID, "code", map[string]string{"code": code})
	took := time.Since(began)
	if err == nil && p.State != pos.Paid {
		err = fmt.Errorf("payment is %s %s", p.State, p.Reason)
	}
	return took, err
}

// sellMany makes sales, several at once, as several clients of one till.
func sellMany(ctx context.Context, s *drill.Site, t *drill.Till, count, clients int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var next atomic.Int64
	errs := make([]error, clients)
	var all sync.WaitGroup
	for c := range clients {
		w, err := s.Wallet(ctx, "ICBC", plenty)
		if err != nil {
			return err
		}
		all.Go(func() {
			for n := next.Add(1); n <= int64(count); n = next.Add(1) {
				if _, errs[c] = sell(ctx, t, w, fmt.Sprintf("many-%d", n)); errs[c] != nil {
					stop()
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// bank is one simulated institution, asked as the centre asks it.
type bank struct{ base, key string }

func (r *run) bank(code string) (bank, error) {
	url, err := os.ReadFile(r.path("site", "lab.addr"))
	if err != nil {
		return bank{}, err
	}
	keys, err := institution.ReadKeys(r.path("site", "lab", institution.KeysFile))
	return bank{base: strings.TrimSpace(string(url)) + "/" + code + "/v1", key: keys[code]}, err
}

func (b bank) pay(ctx context.Context, n int, code string) error {
	id := pos.NewPaymentID(time.Now(), [10]byte{1, 8: byte(n >> 8), 9: byte(n)})
	body, err := json.Marshal(api.Payment{
		RequestID: id.String(), Merchant: merchant, Terminal: "BENCH", Amount: 1, Code: code,
		ExpiresMS: time.Now().Add(patience).UnixMilli(),
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.base+"/payments", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set(api.KeyHeader, b.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return err
	}
	var result api.Result
	if err := json.Unmarshal(answer, &result); err != nil || result.Status != api.Success {
		return errors.Join(err, fmt.Errorf("%s: %s", resp.Status, answer))
	}
	return nil
}
