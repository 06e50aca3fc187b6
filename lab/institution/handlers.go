package institution

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/lab/institution/authority"
	"dcpos/lab/institution/books"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Handler is the HTTP interface of all six institutions, the lab's trust, and a page for people.
func (s *Simulator) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", s.page)
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusOK, map[string]string{"status": "ok", "environment": string(pos.Lab)})
	})
	m.HandleFunc("GET /lab/trust", func(w http.ResponseWriter, r *http.Request) { answer(w, r, http.StatusOK, s.Trust()) })
	for pattern, h := range map[string]func(*house, http.ResponseWriter, *http.Request){
		"POST /{inst}/v1/payments":            s.payments,
		"POST /{inst}/v1/orders":              s.orders,
		"POST /{inst}/v1/refunds":             s.refunds,
		"POST /{inst}/v1/evidence":            s.evidence,
		"GET /{inst}/v1/payments/{id}":        s.query,
		"GET /{inst}/v1/refunds/{id}":         s.queryRefund,
		"GET /{inst}/v1/statements/{date}":    s.statement,
		"GET /{inst}/v1/account/{date}":       s.accountStatement,
		"GET /{inst}/v1/books":                s.totals,
		"POST /{inst}/v1/wallets":             s.newWallet,
		"GET /{inst}/v1/wallets/{id}":         s.balance,
		"POST /{inst}/v1/wallets/{id}/code":   s.code,
		"POST /{inst}/v1/wallets/{id}/pass":   s.pass,
		"POST /{inst}/v1/wallets/{id}/scan":   s.scan,
		"POST /{inst}/v1/wallets/{id}/revoke": s.revoke,
		"POST /{inst}/v1/wallets/{id}/claim":  s.claimEnvelopes,
		"POST /{inst}/v1/campaigns":           s.envelopeRules,
		"POST /{inst}/v1/envelopes":           s.orderEnvelopes,
		"POST /{inst}/v1/envelopes/recall":    s.recallEnvelopes,
		"POST /{inst}/v1/envelopes/restore":   s.restoreEnvelope,
		"GET /{inst}/v1/claims":               s.envelopeClaims,
		"POST /{inst}/v1/faults":              s.addFault,
		"GET /{inst}/v1/faults":               s.listFaults,
		"DELETE /{inst}/v1/faults":            s.clearFaults,
	} {
		m.HandleFunc(pattern, s.keyed(h))
	}
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, pos.NewError(pos.ErrNotFound, fmt.Errorf("no %s %s here", r.Method, clip(r.URL.Path))))
	})
	return m
}

// keyed finds the institution and lets only its key through.
func (s *Simulator) keyed(next func(*house, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h, ok := s.houses[r.PathValue("inst")]
		if !ok {
			refuse(w, r, pos.NewError(pos.ErrNotFound, fmt.Errorf("no institution %q", clip(r.PathValue("inst")))))
			return
		}
		if !sameKey(r.Header.Get(KeyHeader), h.key) {
			answer(w, r, http.StatusUnauthorized, api.Problem{
				Code: api.CodeUnauthorized, Message: KeyHeader + " is not the key of " + h.Code,
			})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, api.MaxBody+1)
		next(h, w, r)
	}
}

func (s *Simulator) payments(h *house, w http.ResponseWriter, r *http.Request) {
	var q api.Payment
	if !read(w, r, &q) {
		return
	}
	h.booked(w, r, api.OpPayments, q.Amount, func(t books.Twist) (any, bool, error) { return result3(h.books.Pay(q, t)) })
}

func (s *Simulator) orders(h *house, w http.ResponseWriter, r *http.Request) {
	var q api.Order
	if !read(w, r, &q) {
		return
	}
	h.booked(w, r, api.OpOrders, q.Amount, func(t books.Twist) (any, bool, error) { return result3(h.books.Order(q, t)) })
}

func (s *Simulator) refunds(h *house, w http.ResponseWriter, r *http.Request) {
	var q api.Refund
	if !read(w, r, &q) {
		return
	}
	h.booked(w, r, api.OpRefunds, q.Amount, func(t books.Twist) (any, bool, error) { return result3(h.books.Refund(q, t)) })
}

func (s *Simulator) evidence(h *house, w http.ResponseWriter, r *http.Request) {
	var q api.Evidence
	if !read(w, r, &q) {
		return
	}
	claim := s.claim(h, q.Parsed())
	h.booked(w, r, api.OpEvidence, q.Parsed().Challenge.Amount, func(t books.Twist) (any, bool, error) {
		return result3(h.books.Evidence(q, claim, t))
	})
}

// claim verifies evidence against the lab's certificates, as of now.
func (s *Simulator) claim(h *house, e dcep.Evidence) books.Claim {
	c, err := dcep.VerifyEvidence(s.authority.Trust(), e, s.opts.Now())
	if err != nil {
		return books.Claim{Reason: api.ReasonBadSignature}
	}
	w, ok := h.books.WalletOfSerial(c.Serial)
	switch {
	case !ok || c.Institution != h.Code:
		return books.Claim{Reason: api.ReasonUnknown}
	case w.Revoked:
		return books.Claim{Reason: api.ReasonRevoked}
	}
	return books.Claim{Serial: c.Serial}
}

// result3 lets a typed booking answer through as any.
func result3[T any](v T, repeat bool, err error) (any, bool, error) { return v, repeat, err }

// booked runs one booking with the fault that was ordered for it, if any.
func (h *house) booked(w http.ResponseWriter, r *http.Request, op api.Op, amount pos.Money,
	book func(books.Twist) (any, bool, error),
) {
	f := h.faults.take(op, amount)
	if f.Kind == api.Unavailable {
		unavailable(w, r)
		return
	}
	v, repeat, err := book(twist(f))
	if (repeat || err != nil) && (f.Kind == api.Decline || f.Kind == api.Duplicate || f.Kind == api.ExpiredCode) {
		h.faults.giveBack(f)
	}
	if err != nil {
		refuse(w, r, err)
		return
	}
	deliver(w, r, f, func() { answer(w, r, http.StatusOK, v) })
}

func twist(f api.Fault) books.Twist {
	t := books.Twist{ExpiredCode: f.Kind == api.ExpiredCode, Twice: f.Kind == api.Duplicate}
	if f.Kind == api.Decline {
		t.Decline = f.Reason
		if f.Op == api.OpEvidence {
			t.Decline = cmp.Or(t.Decline, string(pos.ErrInsufficient))
		}
		t.Decline = cmp.Or(t.Decline, string(pos.ErrDeclinedGeneral))
	}
	return t
}

// deliver answers by send, late or not at all if the fault says so.
func deliver(w http.ResponseWriter, r *http.Request, f api.Fault, send func()) {
	if f.Kind == api.LostAnswer || !waited(r.Context(), f) {
		cut(w)
		return
	}
	send()
}

// waited waits as a slow fault says; false when the caller or this server is going away.
func waited(ctx context.Context, f api.Fault) bool {
	if f.Kind != api.Slow {
		return true
	}
	select {
	case <-time.After(time.Duration(f.DelayMS) * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// cut closes the connection without a byte: returning from the handler would say 200.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to cut a connection that cannot be hijacked (HTTP/2)
	}
	_ = conn.Close() // cutting is the purpose: there is nobody to tell
}

func (s *Simulator) query(h *house, w http.ResponseWriter, r *http.Request) {
	h.queried(w, r, func(id string) (any, error) { return h.books.Query(id) })
}

func (s *Simulator) queryRefund(h *house, w http.ResponseWriter, r *http.Request) {
	h.queried(w, r, func(id string) (any, error) { return h.books.QueryRefund(id) })
}

func (h *house) queried(w http.ResponseWriter, r *http.Request, find func(string) (any, error)) {
	id := r.PathValue("id")
	if _, err := pos.ParsePaymentID(id); err != nil {
		refuse(w, r, pos.FieldError(pos.ErrBadRequest, "request_id", err))
		return
	}
	f := h.faults.take(api.OpQuery, 0)
	if f.Kind == api.Unavailable {
		unavailable(w, r)
		return
	}
	v, err := find(id)
	if err != nil {
		refuse(w, r, err)
		return
	}
	deliver(w, r, f, func() { answer(w, r, http.StatusOK, v) })
}

// statement delivers the day's lines as the institution writes them; DATE.csv gives them in
// the columns of books.Header, for those who judge.
func (s *Simulator) statement(h *house, w http.ResponseWriter, r *http.Request) {
	day, judge := strings.CutSuffix(r.PathValue("date"), ".csv")
	date, f, ok := s.ready(h, w, r, day)
	if !ok {
		return
	}
	file, csv, err := s.deliverStatement(h, date)
	if err == nil && f.Kind == api.Damaged {
		file, err = s.damaged(h, date, f.Reason, file)
	}
	if err != nil {
		refuse(w, r, err)
		return
	}
	kind := "text/plain"
	if judge {
		file, kind = csv, "text/csv; charset=utf-8"
	}
	deliver(w, r, f, func() {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(file) // a caller that went away asks again
	})
}

// accountStatement delivers the statement of the account to which the day's net is credited.
func (s *Simulator) accountStatement(h *house, w http.ResponseWriter, r *http.Request) {
	date, f, ok := s.ready(h, w, r, r.PathValue("date"))
	if !ok {
		return
	}
	var less pos.Money
	if f.Kind == api.ShortCredit {
		less = max(f.Amount, 1)
	}
	file, err := s.account(h, date, less)
	if err != nil {
		refuse(w, r, err)
		return
	}
	deliver(w, r, f, func() {
		w.Header().Set("Content-Type", "text/plain; charset=us-ascii")
		_, _ = w.Write(file) // a caller that went away asks again
	})
}

// ready reads the day that is asked for and takes the fault that was ordered; false when
// the answer was given.
func (s *Simulator) ready(h *house, w http.ResponseWriter, r *http.Request, day string) (pos.Date, api.Fault, bool) {
	date, err := pos.ParseDate(day)
	if err != nil {
		refuse(w, r, pos.FieldError(pos.ErrBadRequest, "date", err))
		return "", api.Fault{}, false
	}
	op := api.OpStatements
	if strings.Contains(r.URL.Path, "/account/") {
		op = api.OpAccount
	}
	f := h.faults.take(op, 0)
	if f.Kind == api.Unavailable {
		unavailable(w, r)
		return "", f, false
	}
	if f.Kind == api.Late || date > pos.DateOf(s.opts.Now(), max(s.opts.CutOver, 0)) {
		answer(w, r, http.StatusNotFound, api.Problem{
			Code: api.CodeNotReady, Message: "the statement of " + string(date) + " is not ready 对账单尚未生成",
		})
		return "", f, false
	}
	return date, f, true
}

// deliverStatement plants what was ordered, and leaves the statement as it should arrive in
// DIR/statements/<INST>-<date>.txt, and in the columns of books.Header beside it.
func (s *Simulator) deliverStatement(h *house, date pos.Date) (file, csv []byte, err error) {
	for _, f := range h.faults.planting() {
		for f.Count > 0 {
			done, err := h.books.Plant(date, cmp.Or(f.Reason, api.ChangeDrop), f.Amount)
			if err != nil {
				return nil, nil, err
			}
			if !done {
				h.faults.add(f) // the rest waits for a statement that has a line to spoil
				break
			}
			f.Count--
		}
	}
	lines, err := h.books.Statement(date)
	if err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	if err := books.WriteCSV(&b, lines); err != nil {
		return nil, nil, err
	}
	if file, err = s.bankFile(h, date, lines); err != nil {
		return nil, nil, fmt.Errorf("write statement of %s: %w", h.Code, err)
	}
	dir := filepath.Join(s.opts.Dir, "statements")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make folder: %w", err)
	}
	name := filepath.Join(dir, h.Code+"-"+string(date))
	return file, b.Bytes(), errors.Join(authority.WriteFile(name+".txt", file, 0o644), authority.WriteFile(name+".csv", b.Bytes(), 0o644))
}

func (s *Simulator) totals(h *house, w http.ResponseWriter, r *http.Request) {
	answer(w, r, http.StatusOK, h.books.Totals())
}

func (s *Simulator) newWallet(h *house, w http.ResponseWriter, r *http.Request) {
	var q api.NewWallet
	if !read(w, r, &q) {
		return
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // never returns an error (crypto/rand)
	id := strings.ToLower(h.Code) + "-" + hex.EncodeToString(random[:])
	der, serial, err := s.authority.Certify(h.Code, id, q.Tier, q.Valid(), q.PublicKey)
	if err == nil {
		err = h.books.OpenWallet(books.Wallet{
			ID: id, Name: q.Name, Serial: serial, Certificate: der, Own: q.Balance, Envelope: q.Envelope, Phone: q.Phone,
		})
	}
	reply(w, r, api.WalletOpened{WalletID: id, Certificate: der}, err)
}

func (s *Simulator) balance(h *house, w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	x, ok := h.books.Wallet(id)
	if !ok {
		refuse(w, r, pos.FieldError(pos.ErrNotFound, "wallet", fmt.Errorf("no wallet %q here", clip(id))))
		return
	}
	b := api.Balance{Balance: x.Own, Envelope: x.Envelope, Envelopes: h.books.Held(id)}
	for _, e := range b.Envelopes {
		b.Envelope += e.Left
	}
	answer(w, r, http.StatusOK, b)
}

func (s *Simulator) code(h *house, w http.ResponseWriter, r *http.Request) {
	c, err := h.books.Code(r.PathValue("id"))
	reply(w, r, api.CodeIssued{Code: c}, err)
}

func (s *Simulator) pass(h *house, w http.ResponseWriter, r *http.Request) {
	c, err := h.books.Pass(r.PathValue("id"))
	reply(w, r, api.CodeIssued{Code: c}, err)
}

func (s *Simulator) scan(h *house, w http.ResponseWriter, r *http.Request) {
	var q api.Scan
	if !read(w, r, &q) {
		return
	}
	v, err := h.books.Scan(r.PathValue("id"), q.QR)
	reply(w, r, v, err)
}

func (s *Simulator) revoke(h *house, w http.ResponseWriter, r *http.Request) {
	reply(w, r, struct{}{}, h.books.Revoke(r.PathValue("id")))
}

func (s *Simulator) addFault(h *house, w http.ResponseWriter, r *http.Request) {
	var f api.Fault
	if !read(w, r, &f) {
		return
	}
	h.faults.add(f)
	answer(w, r, http.StatusOK, f)
}

func (s *Simulator) listFaults(h *house, w http.ResponseWriter, r *http.Request) {
	planted := append([]api.PlantedLine{}, h.books.Planted()...)
	answer(w, r, http.StatusOK, api.Faults{Faults: h.faults.all(), Planted: planted})
}

func (s *Simulator) clearFaults(h *house, w http.ResponseWriter, r *http.Request) {
	h.faults.clear()
	reply(w, r, struct{}{}, h.books.ClearPlanted())
}

func read(w http.ResponseWriter, r *http.Request, v api.Checker) bool {
	if err := api.Decode(r.Body, v); err != nil {
		refuse(w, r, err)
		return false
	}
	return true
}

func reply(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		refuse(w, r, err)
		return
	}
	answer(w, r, http.StatusOK, v)
}

func unavailable(w http.ResponseWriter, r *http.Request) {
	answer(w, r, http.StatusServiceUnavailable, api.Problem{
		Code: api.CodeUnavailable, Message: "out of service as ordered 按测试要求暂停服务",
	})
}

// refuse answers an error; what is not the caller's to know is logged instead.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*pos.Error](err)
	if !ok {
		slog.ErrorContext(r.Context(), "request not answered", "path", r.URL.Path, "err", err)
		answer(w, r, http.StatusInternalServerError, api.Problem{Code: string(pos.ErrInternal), Message: pos.ErrInternal.Text().Both()})
		return
	}
	status, ok := map[pos.Code]int{
		pos.ErrNotFound:    http.StatusNotFound,
		pos.ErrKeyConflict: http.StatusConflict,
		pos.ErrTooLarge:    http.StatusRequestEntityTooLarge,
	}[e.Code]
	if !ok {
		status = http.StatusBadRequest
	}
	answer(w, r, status, api.Problem{Code: string(e.Code), Message: e.Error() + " " + e.Text.ZH})
}

func answer(w http.ResponseWriter, r *http.Request, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		slog.ErrorContext(r.Context(), "answer not encoded", "path", r.URL.Path, "err", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a caller that went away queries
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
