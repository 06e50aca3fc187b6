// Package checkouttest has what a test of the checkout needs: a journal in memory
// that folds entries as the real one does, a centre with books of its own whose
// answers can be spoiled, a wallet, a printer, and a till made of them.
package checkouttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"dcpos/agent/checkout"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Journal is a checkout.Journal in memory. It outlives a till, as a file does.
type Journal struct {
	// Terminal and Env stand in every entry.
	Terminal string
	Env      pos.Environment

	mu       sync.Mutex
	entries  []pos.Entry
	payments map[pos.PaymentID]pos.Payment
	prints   map[string]pos.PrintJob
	printed  []string // ids of prints, oldest first
	meta     map[string]string
	attached map[string][]byte
	secrets  map[pos.PaymentID][]byte
	broken   error
	misfits  []error
	receipt  uint64
}

var _ checkout.Journal = (*Journal)(nil)

// NewJournal makes an empty journal of the lab.
func NewJournal(terminal string) *Journal {
	return &Journal{Terminal: terminal, Env: pos.Lab, payments: map[pos.PaymentID]pos.Payment{}, prints: map[string]pos.PrintJob{}, meta: map[string]string{}, attached: map[string][]byte{}, secrets: map[pos.PaymentID][]byte{}}
}

// Break makes every write fail with the error; nil mends it.
func (j *Journal) Break(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = err
}

// Acknowledge says that the centre keeps everything.
func (j *Journal) Acknowledge() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.receipt = uint64(len(j.entries))
}

// Entries is a copy of all entries.
func (j *Journal) Entries() []pos.Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// Misfits are the drafts that did not fit the payment they named: the till's mistakes.
func (j *Journal) Misfits() []error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.misfits)
}

// All is every payment, oldest first.
func (j *Journal) All() []pos.Payment {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all()
}

func (j *Journal) all() []pos.Payment {
	var list []pos.Payment
	for _, e := range j.entries {
		if e.Kind == pos.KindPaymentCreated {
			list = append(list, j.payments[e.Payment])
		}
	}
	return list
}

// Update implements checkout.Journal.
func (j *Journal) Update(ctx context.Context, decide func(pos.JournalView) ([]pos.Draft, error)) ([]pos.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	drafts, err := decide(view{j})
	if err != nil || len(drafts) == 0 {
		return nil, err
	}
	if j.broken != nil {
		return nil, pos.NewError(pos.ErrStorage, j.broken)
	}
	folded, prints, printed := maps.Clone(j.payments), maps.Clone(j.prints), slices.Clone(j.printed)
	var entries []pos.Entry
	for i, d := range drafts {
		e := pos.Entry{
			Position: pos.Position{Terminal: j.Terminal, Epoch: 1, Seq: uint64(len(j.entries) + i + 1)},
			Env:      j.Env, Kind: d.Kind, Payment: d.Payment, Operator: d.Operator, At: d.At, BusinessDate: d.BusinessDate,
		}
		if e.Operator == "" {
			return nil, pos.NewError(pos.ErrNoOperator, errors.New("draft without operator"))
		}
		if e.Body, err = dcep.Marshal(d.Body); err != nil {
			return nil, err
		}
		p, known := folded[e.Payment]
		next, changed, err := dcep.Apply(p, known, e)
		if err != nil {
			j.misfits = append(j.misfits, err)
			return nil, fmt.Errorf("append entry %d: %w", e.Seq, err)
		}
		if changed {
			folded[e.Payment] = next
		}
		job, changed, err := dcep.ApplyPrint(e, func(id string) (pos.PrintJob, error) { return prints[id], nil })
		if err != nil {
			j.misfits = append(j.misfits, err)
			return nil, fmt.Errorf("append entry %d: %w", e.Seq, err)
		}
		if changed {
			if _, known := prints[job.ID]; !known {
				printed = append(printed, job.ID)
			}
			prints[job.ID] = job
		}
		entries = append(entries, e)
	}
	j.payments, j.prints, j.printed = folded, prints, printed
	j.entries = append(j.entries, entries...)
	for _, d := range drafts {
		if len(d.Attachment) > 0 {
			sum := sha256.Sum256(d.Attachment)
			j.attached[hex.EncodeToString(sum[:])] = slices.Clone(d.Attachment)
		}
	}
	for id := range j.secrets { // erased with the entry that ends its payment
		if j.payments[id].State != pos.Stored {
			delete(j.secrets, id)
		}
	}
	for _, d := range drafts {
		if len(d.Secret) > 0 {
			j.secrets[d.Payment] = slices.Clone(d.Secret)
		}
	}
	return entries, nil
}

// Secrets are the sealed codes that the journal keeps.
func (j *Journal) Secrets() map[pos.PaymentID][]byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.secrets)
}

// View implements checkout.Journal.
func (j *Journal) View(_ context.Context, look func(pos.JournalView) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return look(view{j})
}

// Payments implements checkout.Journal.
func (j *Journal) Payments(_ context.Context, q checkout.Query) ([]pos.Payment, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := slices.DeleteFunc(j.all(), func(p pos.Payment) bool {
		return (q.Date != "" && p.BusinessDate != q.Date) || (len(q.States) > 0 && !slices.Contains(q.States, p.State)) ||
			(!strings.Contains(p.OrderID, q.Text) && !strings.Contains(p.ID.String(), q.Text))
	})
	slices.Reverse(list)
	if q.Limit > 0 && len(list) > q.Limit {
		list = list[:q.Limit]
	}
	return list, nil
}

// Outbox implements checkout.Journal.
func (j *Journal) Outbox(context.Context) (pos.Outbox, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := uint64(len(j.entries))
	return pos.Outbox{Epoch: 1, Seq: n, Receipted: j.receipt, Unsent: n - j.receipt, Money: j.stored(pos.AcceptedEvidence, ""), Forwarded: j.stored(pos.Stored, "")}, nil
}

// Meta implements checkout.Journal.
func (j *Journal) Meta(_ context.Context, key string) (string, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	v, ok := j.meta[key]
	return v, ok, nil
}

// SetMeta implements checkout.Journal.
func (j *Journal) SetMeta(ctx context.Context, key, value string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return pos.NewError(pos.ErrStorage, j.broken)
	}
	j.meta[key] = value
	return nil
}

func (j *Journal) stored(state pos.State, wallet string) pos.StoredMoney {
	var m pos.StoredMoney
	for _, p := range j.payments {
		if p.State != state || (p.LastSeq <= j.receipt && state != pos.Stored) || (wallet != "" && p.Wallet != wallet) {
			continue
		}
		m.Total += p.Amount
		if m.Count++; m.OldestMS == 0 || p.UpdatedMS < m.OldestMS {
			m.OldestMS = p.UpdatedMS
		}
	}
	return m
}

// view is a pos.JournalView; the journal's lock is held.
type view struct{ j *Journal }

func (v view) Payment(id pos.PaymentID) (pos.Payment, bool, error) {
	p, ok := v.j.payments[id]
	return p, ok, nil
}

func (v view) find(is func(pos.Payment) bool) (pos.Payment, bool) {
	for _, p := range v.j.payments {
		if is(p) {
			return p, true
		}
	}
	return pos.Payment{}, false
}

func (v view) PaymentByKey(caller, key string) (pos.Payment, bool, error) {
	p, ok := v.find(func(p pos.Payment) bool { return p.Caller == caller && p.Key == key })
	return p, ok, nil
}

func (v view) RefundByKey(caller, key string) (pos.Payment, pos.RefundID, bool, error) {
	for _, p := range v.j.payments {
		for _, r := range p.Refunds {
			if r.Caller == caller && r.Key == key {
				return p, r.ID, true, nil
			}
		}
	}
	return pos.Payment{}, pos.RefundID{}, false, nil
}

func (v view) Order(caller string, date pos.Date, orderID string) (pos.Order, error) {
	o := pos.Order{ID: orderID}
	for _, p := range v.j.all() {
		if p.Caller == caller && p.BusinessDate == date && p.OrderID == orderID {
			o.Attempts, o.Amount = append(o.Attempts, p), p.OrderAmount
		}
	}
	return o, nil
}

func (v view) Stored() (pos.StoredMoney, error) { return v.j.stored(pos.AcceptedEvidence, ""), nil }

func (v view) Secret(id pos.PaymentID) ([]byte, bool, error) {
	b, ok := v.j.secrets[id]
	return b, ok, nil
}

func (v view) Forwarded() (pos.StoredMoney, error) { return v.j.stored(pos.Stored, ""), nil }

func (v view) WalletStored(wallet string) (pos.StoredMoney, error) {
	return v.j.stored(pos.AcceptedEvidence, wallet), nil
}

func (v view) WalletSince(wallet string, sinceMS int64) (m pos.StoredMoney, err error) {
	for _, p := range v.j.payments {
		taken := p.State == pos.AcceptedEvidence || p.State == pos.Credited || p.State == pos.Refused || p.State == pos.Conflict
		if taken && p.Wallet == wallet && p.UpdatedMS >= sinceMS {
			m.Total += p.Amount
			m.Count++
		}
	}
	return m, nil
}

func (v view) EvidenceSeen(wallet string, counter uint64) (pos.PaymentID, bool, error) {
	p, ok := v.find(func(p pos.Payment) bool { return p.Wallet == wallet && p.Counter == counter })
	return p.ID, ok, nil
}

func (v view) CodeSeen(hash []byte) (pos.PaymentID, bool, error) {
	p, ok := v.find(func(p pos.Payment) bool { return len(hash) > 0 && bytes.Equal(p.CodeHash, hash) })
	return p.ID, ok, nil
}

func (v view) PrintJob(id string) (pos.PrintJob, bool, error) {
	j, ok := v.j.prints[id]
	return j, ok, nil
}

// Attachment implements pos.JournalView.
func (v view) Attachment(hash string) ([]byte, bool, error) {
	b, ok := v.j.attached[hash]
	return b, ok, nil
}

// LoseAttachments forgets everything that is kept beside the entries.
func (j *Journal) LoseAttachments() {
	j.mu.Lock()
	defer j.mu.Unlock()
	clear(j.attached)
}

func (v view) jobs(is func(pos.PrintJob) bool) []pos.PrintJob {
	var list []pos.PrintJob
	for _, id := range v.j.printed {
		if job := v.j.prints[id]; is(job) {
			list = append(list, job)
		}
	}
	return list
}

func (v view) PrintJobByKey(caller, key string) (pos.PrintJob, bool, error) {
	list := v.jobs(func(j pos.PrintJob) bool { return j.Key != "" && j.Caller == caller && j.Key == key })
	if len(list) == 0 {
		return pos.PrintJob{}, false, nil
	}
	return list[0], true, nil
}

func (v view) PrintJobsOf(id pos.PaymentID) ([]pos.PrintJob, error) {
	return v.jobs(func(j pos.PrintJob) bool { return j.Payment == id }), nil
}

func (v view) OpenPrintJobs() ([]pos.PrintJob, error) { return v.jobs(pos.PrintJob.Open), nil }

func (v view) PrintJobs(limit int) ([]pos.PrintJob, error) {
	list := v.jobs(func(pos.PrintJob) bool { return true })
	slices.Reverse(list)
	return list[:min(len(list), max(limit, 0))], nil
}

// SpoilSecrets flips a bit of every sealed code.
func (j *Journal) SpoilSecrets() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, b := range j.secrets {
		b[len(b)-1] ^= 1
	}
}
