package webshop

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dcpos/pos"
)

// Shop is a web shop of a merchant and what it may do.
type Shop struct {
	ID          string
	Merchant    string
	Name        pos.Text
	Institution string    // of its QRs; empty: the centre's default
	Categories  []string  // that its lines may name; "*" alone: any
	PerPayment  pos.Money // the most of one payment
	PerDay      pos.Money // the most of a business date, all that is paid or may still be
	PerMinute   int       // requests
	Hook        string    // where events go; empty: they wait to be fetched
	HookOn      bool      // false: events wait
	Suspended   bool      // takes no more money; queries and refunds go on
	CreatedMS   int64
}

// Limits of a new shop where nothing else is said.
const (
	DefaultPerPayment pos.Money = 50_000_00
	DefaultPerDay     pos.Money = 5_000_000_00
	DefaultPerMinute            = 600
)

var (
	shopForm     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,23}$`)
	categoryForm = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)
)

// Terminal is the name under which the payment room knows the shop.
func (s Shop) Terminal() string { return "web:" + s.ID }

// Sells reports that the shop may sell goods of the category.
func (s Shop) Sells(category string) bool {
	return slices.Contains(s.Categories, category) || slices.Equal(s.Categories, []string{"*"})
}

// Check refuses a shop that cannot be, naming the field.
func (s Shop) Check(env pos.Environment) error {
	bad := func(field, format string, args ...any) error {
		return pos.FieldError(pos.ErrBadRequest, field, fmt.Errorf(format, args...))
	}
	switch {
	case !shopForm.MatchString(s.ID):
		return bad("id", "%.40q: want 2 to 24 of a-z, 0-9 and -", s.ID)
	case s.Merchant == "":
		return bad("merchant", "want the merchant that is paid")
	case s.Name.ZH == "" || s.Name.EN == "" || len(s.Name.ZH)+len(s.Name.EN) > 400:
		return bad("name", "want a name in Chinese and in English")
	case s.PerPayment <= 0 || s.PerPayment > pos.MaxAmount:
		return bad("per_payment", "%d fen: want 1 to %d", s.PerPayment, pos.MaxAmount)
	case s.PerDay < s.PerPayment:
		return bad("per_day", "%d fen: want at least the limit of one payment", s.PerDay)
	case s.PerMinute < 1 || s.PerMinute > 1_000_000:
		return bad("per_minute", "want 1 to 1000000")
	case len(s.Categories) == 0 || len(s.Categories) > 100:
		return bad("categories", "want 1 to 100, or * alone")
	}
	for _, c := range s.Categories {
		if !categoryForm.MatchString(c) && !slices.Equal(s.Categories, []string{"*"}) {
			return bad("categories", "%.40q: want a-z, 0-9, _ and -, or * alone", c)
		}
	}
	if s.Hook == "" {
		return nil
	}
	if err := CheckURL(s.Hook, env); err != nil {
		return pos.FieldError(pos.ErrBadRequest, "hook", err)
	}
	return nil
}

// Key is the public half of a shop's key.
type Key struct {
	ID        string
	Shop      string
	Public    ed25519.PublicKey
	CreatedMS int64
	RevokedMS int64 // 0: in force
}

// newKeyID is k and 80 random bits.
func newKeyID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never returns an error (crypto/rand)
	return "k" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// Line is a line of an order.
type Line struct {
	Name     string    `json:"name"`
	Category string    `json:"category"`
	Quantity int       `json:"quantity"`
	Amount   pos.Money `json:"amount_fen"` // of the whole line
}

// Order is what a shop asks to be paid.
type Order struct {
	ID          string
	Amount      pos.Money
	Lines       []Line
	Institution string
	ValidMS     int64
}

// Bounds of a QR's life at a web shop, milliseconds.
const (
	minValid     = 30_000
	maxValid     = 15 * 60_000
	defaultValid = 5 * 60_000
)

// check refuses an order that the shop may not ask, and fills in what it left out.
func (o *Order) check(s Shop) error {
	bad := func(field, format string, args ...any) error {
		return pos.FieldError(pos.ErrBadRequest, field, fmt.Errorf(format, args...))
	}
	if o.ValidMS == 0 {
		o.ValidMS = defaultValid
	}
	if o.Institution == "" {
		o.Institution = s.Institution
	}
	switch {
	case !plain(o.ID, pos.MaxOrderID):
		return bad("order_id", "want 1 to %d printable ASCII characters", pos.MaxOrderID)
	case o.Amount <= 0 || o.Amount > pos.MaxAmount:
		return bad("amount_fen", "%d fen: want 1 to %d", o.Amount, pos.MaxAmount)
	case o.Amount > s.PerPayment:
		return pos.FieldError(pos.ErrShopLimit, "amount_fen", fmt.Errorf("%s over %s for one payment", o.Amount, s.PerPayment))
	case o.ValidMS < minValid || o.ValidMS > maxValid:
		return bad("valid_ms", "want %d to %d", minValid, maxValid)
	case len(o.Lines) == 0:
		return bad("lines", "want what is bought, by category")
	}
	for i, l := range o.Lines {
		field := fmt.Sprintf("lines[%d].", i)
		switch {
		case l.Name == "" || len(l.Name) > pos.MaxNote:
			return bad(field+"name", "want 1 to %d bytes", pos.MaxNote)
		case l.Quantity < 1 || l.Quantity > 1_000_000:
			return bad(field+"quantity", "want 1 to 1000000")
		case !s.Sells(l.Category):
			return pos.FieldError(pos.ErrShopCategory, field+"category", fmt.Errorf("%.40q is not registered", l.Category))
		}
	}
	return pos.CheckLines(o.scope(), o.Amount)
}

// scope is what the institution is told of the lines.
func (o *Order) scope() []pos.Line {
	lines := make([]pos.Line, 0, len(o.Lines))
	for _, l := range o.Lines {
		lines = append(lines, pos.Line{Category: l.Category, Amount: l.Amount})
	}
	return lines
}

// plain reports 1 to limit printable ASCII characters without blanks at the ends.
func plain(s string, limit int) bool {
	return s != "" && len(s) <= limit && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// checkKey refuses an idempotency key that is none.
func checkKey(key string) error {
	if !plain(key, pos.MaxKey) {
		return pos.FieldError(pos.ErrBadRequest, "Idempotency-Key", fmt.Errorf("want 1 to %d printable ASCII characters", pos.MaxKey))
	}
	return nil
}

var errSuspended = errors.New("the web shop is suspended")
