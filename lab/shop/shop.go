package shop

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skip2/go-qrcode"

	"dcpos/lab/institution"
	"dcpos/pos"
)

//go:embed pages
var pages embed.FS

// Bounds of what a browser may send and of what is remembered.
const (
	maxForm     = 16 << 10
	maxOrders   = 10_000
	maxQuantity = 99
)

// Order is what a customer has ordered, and its payments, the newest last.
type Order struct {
	ID      string
	Lines   []Line
	Amount  pos.Money
	Bank    string // institution of the customer's wallet; empty: the shop's own
	At      time.Time
	Payment Payment
	Attempt int
	Heard   []Event // by webhook
}

// Left is what can still be given back.
func (o Order) Left() pos.Money {
	left := o.Payment.Amount
	for _, r := range o.Payment.Refunds {
		if r.Status != "declined" {
			left -= r.Amount // never below zero: the centre lets no refund exceed the payment
		}
	}
	return left
}

// Shop sells. It is safe for concurrent use.
type Shop struct {
	Client *Client
	Log    *slog.Logger

	mux       *http.ServeMux
	templates map[string]*template.Template
	receiver  *Receiver

	mu     sync.Mutex
	orders map[string]*Order
	run    string // makes orders of this run differ from those of others
	count  int
}

// Open asks the centre for its key and builds the pages.
func Open(ctx context.Context, client *Client, log *slog.Logger) (*Shop, error) {
	id, key, err := client.HookKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the centre for its key: %w", err)
	}
	var random [3]byte
	_, _ = rand.Read(random[:]) // never returns an error (crypto/rand)
	s := &Shop{Client: client, Log: log, mux: http.NewServeMux(), templates: map[string]*template.Template{}, orders: map[string]*Order{}, run: hex.EncodeToString(random[:])}
	s.receiver = &Receiver{KeyID: id, Key: key, Handle: s.hear}
	for _, lang := range []string{"zh", "en"} {
		for _, name := range []string{"shelves", "order", "problem"} {
			t, err := template.New("layout.html").Funcs(words(lang)).ParseFS(pages, "pages/layout.html", "pages/"+name+".html")
			if err != nil {
				return nil, fmt.Errorf("page %s: %w", name, err)
			}
			s.templates[lang+" "+name] = t
		}
	}
	s.mux.HandleFunc("GET /{$}", s.shelves)
	s.mux.HandleFunc("POST /orders", s.place)
	s.mux.HandleFunc("GET /orders/{id}", s.order)
	s.mux.HandleFunc("GET /orders/{id}/qr.png", s.picture)
	s.mux.HandleFunc("POST /orders/{id}/{what}", s.change)
	s.mux.Handle("GET /pages/", http.FileServerFS(pages))
	s.mux.Handle("POST /hook", s.receiver)
	return s, nil
}

// ServeHTTP serves customers, and the centre at /hook.
func (s *Shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
	h.Set("Referrer-Policy", "no-referrer")
	if r.URL.Path == "/hook" {
		s.mux.ServeHTTP(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	http.NewCrossOriginProtection().Handler(s.mux).ServeHTTP(w, r)
}

// hear takes an event: the centre is asked for the truth when the page is next looked at.
func (s *Shop) hear(e Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.orders[e.Order]; o != nil {
		o.Heard = append(o.Heard, e)
	}
	return nil
}

func words(lang string) template.FuncMap {
	return template.FuncMap{
		"lang": func() string { return lang },
		"t":    func(zh, en string) string { return pos.Text{ZH: zh, EN: en}.In(lang) },
		"in":   func(t pos.Text) string { return t.In(lang) },
		"yuan": func(m pos.Money) string { return "¥" + m.String() },
		"link": func(qr string) template.URL { return template.URL(qr) }, //nolint:gosec // the centre's own link, over a signed API
		"clock": func(ms int64) string {
			return time.UnixMilli(ms).In(pos.Shanghai()).Format("15:04:05")
		},
	}
}

func language(w http.ResponseWriter, r *http.Request) string {
	if lang := r.URL.Query().Get("lang"); lang == "zh" || lang == "en" {
		http.SetCookie(w, &http.Cookie{Name: "lang", Value: lang, Path: "/", SameSite: http.SameSiteStrictMode, HttpOnly: true})
		return lang
	}
	if c, err := r.Cookie("lang"); err == nil && c.Value == "en" {
		return "en"
	} else if err == nil {
		return "zh"
	}
	if strings.HasPrefix(r.Header.Get("Accept-Language"), "en") {
		return "en"
	}
	return "zh"
}

func (s *Shop) show(w http.ResponseWriter, r *http.Request, status int, name string, body any) {
	var b bytes.Buffer
	if err := s.templates[language(w, r)+" "+name].Execute(&b, body); err != nil {
		s.Log.ErrorContext(r.Context(), "page not rendered", "page", name, "err", err)
		http.Error(w, pos.ErrInternal.Text().Both(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser may be gone: nobody to tell
}

// problem shows what the centre, or this shop, has against it.
func (s *Shop) problem(w http.ResponseWriter, r *http.Request, err error) {
	p := &Problem{}
	if !errors.As(err, &p) {
		s.Log.ErrorContext(r.Context(), "centre not reached", "err", err)
		p = &Problem{Code: string(pos.ErrOffline), Text: pos.ErrOffline.Text(), Hint: pos.Text{ZH: "请稍后再试,订单已保留", EN: "try again in a moment; the order is kept"}}
	}
	s.show(w, r, http.StatusBadGateway, "problem", p)
}

type shelf struct {
	Category

	Goods []Good
}

func (s *Shop) shelves(w http.ResponseWriter, r *http.Request) {
	only := r.URL.Query().Get("category")
	var all []shelf
	for _, c := range Categories() {
		if only != "" && only != c.ID {
			continue
		}
		x := shelf{Category: c}
		for _, g := range Goods() {
			if g.Category == c.ID {
				x.Goods = append(x.Goods, g)
			}
		}
		all = append(all, x)
	}
	s.show(w, r, http.StatusOK, "shelves", map[string]any{"Shelves": all, "Categories": Categories(), "Only": only, "Banks": institution.Institutions()})
}

// place makes an order of the basket, asks for its QR, and shows it.
func (s *Shop) place(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "want a form", http.StatusBadRequest)
		return
	}
	o := Order{At: time.Now(), Bank: r.PostForm.Get("bank")}
	for _, g := range Goods() {
		n, err := strconv.Atoi(r.PostForm.Get(g.ID))
		if err != nil || n < 1 || n > maxQuantity {
			continue
		}
		amount := g.Price * pos.Money(n) // at most 99 of a price far below any overflow
		o.Lines = append(o.Lines, Line{Name: g.Name.Both(), Category: g.Category, Quantity: n, Amount: amount})
		o.Amount += amount
	}
	if o.Amount == 0 {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.mu.Lock()
	s.count++
	o.ID = fmt.Sprintf("W%s-%d", s.run, s.count)
	full := len(s.orders) >= maxOrders
	if !full {
		s.orders[o.ID] = &o
	}
	s.mu.Unlock()
	if full {
		s.problem(w, r, &Problem{Text: pos.ErrTooMany.Text(), Hint: pos.ErrTooMany.Hint()})
		return
	}
	if err := s.pay(r.Context(), o.ID); err != nil {
		s.problem(w, r, err)
		return
	}
	http.Redirect(w, r, "/orders/"+o.ID, http.StatusSeeOther)
}

// pay asks for the QR of the order's present attempt. The key is made of the order and
// the attempt, so a lost answer is asked for again without a second payment.
func (s *Shop) pay(ctx context.Context, id string) error {
	s.mu.Lock()
	o := s.orders[id]
	request, key := PayRequest{Order: o.ID, Amount: o.Amount, Lines: o.Lines, Institution: o.Bank}, fmt.Sprintf("%s.%d", o.ID, o.Attempt)
	s.mu.Unlock()
	p, err := s.Client.Pay(ctx, key, request)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Payment = p
	return nil
}

// look gives a copy of the order, its payment as the centre says now.
func (s *Shop) look(ctx context.Context, id string) (Order, bool, error) {
	s.mu.Lock()
	o, ok := s.orders[id]
	var copied Order
	if ok {
		copied = *o
	}
	s.mu.Unlock()
	if !ok || copied.Payment.ID == "" {
		return copied, ok, nil
	}
	p, err := s.Client.Find(ctx, copied.Payment.ID)
	if err != nil {
		return copied, true, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Payment.ID == p.ID {
		o.Payment = p
	}
	return *o, true, nil
}

func (s *Shop) order(w http.ResponseWriter, r *http.Request) {
	o, ok, err := s.look(r.Context(), r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		s.problem(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "order", o)
}

func (s *Shop) picture(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	o, ok := s.orders[r.PathValue("id")]
	text := ""
	if ok {
		text = o.Payment.QR
	}
	s.mu.Unlock()
	png, err := qrcode.Encode(text, qrcode.Medium, 360)
	if text == "" || err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(png) // the browser may be gone: nobody to tell
}

// change cancels, tries again, or gives money back.
func (s *Shop) change(w http.ResponseWriter, r *http.Request) {
	o, ok, err := s.look(r.Context(), r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	if err == nil {
		switch r.PathValue("what") {
		case "cancel":
			_, err = s.Client.Cancel(r.Context(), o.Payment.ID)
		case "again":
			if o.Payment.Status == "declined" || o.Payment.Status == "closed" || o.Payment.Status == "abandoned" {
				s.mu.Lock()
				if at := s.orders[o.ID]; at.Attempt == o.Attempt {
					at.Attempt++
				}
				s.mu.Unlock()
			}
			err = s.pay(r.Context(), o.ID)
		case "refund":
			var amount pos.Money
			if amount, err = pos.ParseMoney(strings.TrimSpace(r.PostFormValue("amount"))); err != nil {
				err = &Problem{Field: "amount", Text: pos.ErrBadRequest.Text(), Hint: pos.ErrBadRequest.Hint()}
				break
			}
			_, _, err = s.Client.Refund(r.Context(), fmt.Sprintf("%s.r%d", o.ID, len(o.Payment.Refunds)+1), o.Payment.ID, amount)
		default:
			http.NotFound(w, r)
			return
		}
	}
	if err != nil {
		s.problem(w, r, err)
		return
	}
	http.Redirect(w, r, "/orders/"+o.ID, http.StatusSeeOther)
}
