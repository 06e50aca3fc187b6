package register

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/fence"
)

// Entry is what an entrant takes home.
type Entry struct {
	Receipt Receipt `json:"-"`
	Signed  []byte  `json:"receipt"` // the receipt as signed
	// Salt and the two hashes make the ticket (draw.NewTicket): who shows them shows that
	// the ticket is hers. They lead nobody to a person without the campaign's key.
	Salt   [32]byte `json:"salt"`
	Person [32]byte `json:"person"`
	Phone  [32]byte `json:"phone"`
	// Query looks the entry up: 128 bits that nobody guesses.
	Query string `json:"query"`
}

// Confirm makes the entry. The code is good until its hours are over or registration
// closes, whichever is first; after five wrong tries it is good no more. Confirming again
// gives the same entry.
func (d *Desk) Confirm(ctx context.Context, ref, code string) (Entry, error) {
	now := d.cfg.Now()
	if err := d.open(now); err != nil {
		return Entry{}, err
	}
	var key [32]byte
	b, err := hex.DecodeString(ref)
	if err != nil || len(b) != len(key) || len(code) > 32 {
		return Entry{}, refuse(WrongCode, "code", nil)
	}
	copy(key[:], b)
	k, err := d.secrets(ctx)
	if err != nil {
		return Entry{}, err
	}
	var salt [32]byte
	rand.Read(salt[:])
	var rec Record
	var no error
	err = d.cfg.Store.Change(ctx, d.rules.Name, key, func(s Sheet) (*Record, error) {
		no, rec = nil, s.Record
		if s.FrozenMS > 0 {
			return nil, refuse(Closed, "", nil)
		}
		if !s.Found || rec.Tries >= maxTries || now.UnixMilli() >= rec.CodeUntilMS {
			return nil, refuse(WrongCode, "code", nil)
		}
		if want := codeOf(k, key, strings.TrimSpace(code)); subtle.ConstantTimeCompare(want[:], rec.Code[:]) != 1 {
			no = refuse(WrongCode, "code", nil)
			rec.Tries++
			return &rec, nil // the try counts: this is committed
		}
		if rec.ConfirmedMS > 0 {
			return nil, nil //nolint:nilnil // nothing is to be kept
		}
		if s.Taken {
			return nil, refuse(Taken, "", nil)
		}
		rec.enter(k, salt, now)
		return &rec, nil
	})
	if err != nil {
		return Entry{}, fmt.Errorf("confirm: %w", err)
	}
	if no != nil {
		return Entry{}, no
	}
	return d.entry(k, rec)
}

// enter turns a registration into an entry.
func (r *Record) enter(k *keys, salt [32]byte, now time.Time) {
	r.ConfirmedMS, r.Salt = now.UnixMilli(), salt
	r.Ticket = draw.NewTicket(r.Campaign, salt, r.Person, r.Phone)
	r.Query = sha256.Sum256([]byte(queryOf(k, *r)))
}

// queryOf is the entrant's query code, 26 characters.
func queryOf(k *keys, r Record) string {
	b := keyed(k.query, string(r.Ref[:]), string(r.Salt[:]))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:16])
}

func (d *Desk) entry(k *keys, r Record) (Entry, error) {
	receipt := d.receipt(r)
	signed, err := receipt.Sign(d.cfg.Publisher)
	return Entry{receipt, signed, r.Salt, r.Person, r.Phone, queryOf(k, r)}, err
}

// receipt has the same bytes each time, until the place becomes clear.
func (d *Desk) receipt(r Record) Receipt {
	standing := Entered
	if !d.counts(r.Place) {
		standing = PlaceOpen
	}
	return Receipt{
		Campaign: r.Campaign, Definition: d.cfg.Campaign.Hash, Standing: standing,
		Entry: draw.Entry{Ticket: r.Ticket, Stratum: r.Stratum, Institution: r.Institution},
		At:    time.UnixMilli(max(r.ConfirmedMS, r.PlacedMS)).Truncate(time.Second).UTC(),
	}
}

// counts reports that an entry of the place would be in the list as things stand.
func (d *Desk) counts(place fence.Verdict) bool {
	return place == fence.Inside || d.rules.Registration.Ambiguous == campaign.AcceptAmbiguous
}

// find reads a confirmed record by its query code.
func (d *Desk) find(ctx context.Context, query string) (Record, error) {
	if len(query) != 26 {
		return Record{}, refuse(NotThere, "query", nil)
	}
	r, found, err := d.cfg.Store.ByQuery(ctx, d.rules.Name, sha256.Sum256([]byte(query)))
	if err == nil && !found {
		err = refuse(NotThere, "query", nil)
	}
	return r, err
}

// Find looks an entry up, at any time. Other codes tell nothing.
func (d *Desk) Find(ctx context.Context, query string) (Receipt, error) {
	r, err := d.find(ctx, query)
	if err != nil {
		return Receipt{}, err
	}
	return d.receipt(r), nil
}

// Locate takes another position for an entry whose place is open, until the close. Once
// inside, the place is settled and the receipt promises the list.
func (d *Desk) Locate(ctx context.Context, query string, fix fence.Fix, signals Signals) (Entry, error) {
	now := d.cfg.Now()
	if err := d.open(now); err != nil {
		return Entry{}, err
	}
	known, err := d.find(ctx, query)
	if err != nil {
		return Entry{}, err
	}
	if !d.limits.Allow("ticket "+string(known.Ticket[:]), d.cfg.PerSource, time.Minute, now) {
		return Entry{}, refuse(TooOften, "", nil)
	}
	k, err := d.secrets(ctx)
	if err != nil {
		return Entry{}, err
	}
	place, err := d.place(&fix)
	if err != nil {
		return Entry{}, err
	}
	var rec Record
	err = d.cfg.Store.Change(ctx, d.rules.Name, known.Ref, func(s Sheet) (*Record, error) {
		rec = s.Record
		switch {
		case s.FrozenMS > 0:
			return nil, refuse(Closed, "", nil)
		case !s.Found:
			return nil, refuse(NotThere, "query", nil)
		case rec.Place == fence.Inside:
			return nil, nil //nolint:nilnil // nothing is to be kept
		}
		if err := rec.judge(k, signals, &fix, rec.before(k), now); err != nil {
			return nil, err
		}
		if place == fence.Inside {
			rec.Place, rec.PlacedMS = place, now.UnixMilli()
		}
		return &rec, nil
	})
	if err != nil {
		return Entry{}, fmt.Errorf("locate: %w", err)
	}
	return d.entry(k, rec)
}
