package nfc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/moov-io/bertlv"

	"dcpos/drivers"
	"dcpos/drivers/nfc/apdu"
)

// directory is the name of the Proximity Payment System Environment (EMV Contactless
// Book B, 3.3.1).
const directory = "2PAY.SYS.DDF01"

// Lengths of an AID (ISO/IEC 7816-4, 8.2.1.2).
const minAID, maxAID = 5, 16

// maxEntries bounds how many applications of a card are looked at.
const maxEntries = 32

// Candidate is an application that the caller can talk to.
type Candidate struct {
	// AID is its name, 5 to 16 bytes.
	AID []byte
	// Partial takes every application whose name begins with AID (EMV Book 1, 12.3.1).
	Partial bool
}

func (c Candidate) fits(aid []byte) bool {
	return bytes.Equal(c.AID, aid) || c.Partial && bytes.HasPrefix(aid, c.AID)
}

// Application is the application that was selected.
type Application struct {
	AID      []byte
	Label    string // as the card tells it; bytes that are not printable ASCII are left out
	Priority int    // 1 first … 15 last, as the card tells it; 0: it tells none
	Kernel   []byte // the kernel identifier (tag 9F2A); empty: none told
	FCI      []byte // the answer to SELECT, without status
}

// SelectApplication asks the card's directory (PPSE), takes what fits a candidate, by the
// card's priority and then its order, and selects the first that lets itself be selected. A
// card without a readable directory is asked for each candidate in turn.
//
// Errors: drivers.ErrNoExist when the card has none of them; drivers.ErrIllegal for a
// candidate that is no AID (nothing was sent); else those of Card.Transmit.
func SelectApplication(ctx context.Context, card drivers.Card, candidates []Candidate) (Application, error) {
	const operation = "select application"
	for _, c := range candidates {
		if len(c.AID) < minAID || len(c.AID) > maxAID {
			return Application{}, drivers.Trouble(drivers.CategorySmartCardRW, operation, drivers.ErrIllegal,
				fmt.Errorf("aid %x: %d to %d bytes", c.AID, minAID, maxAID))
		}
	}
	fci, status, err := selectName(ctx, card, []byte(directory))
	if err != nil {
		return Application{}, err
	}
	offered := direct(candidates)
	if status == apdu.OK {
		if entries, ok := parseDirectory(fci); ok {
			offered = choose(entries, candidates)
		}
	}
	for _, a := range offered {
		fci, status, err := selectName(ctx, card, a.AID)
		if err != nil {
			return Application{}, err
		}
		if status == apdu.OK {
			return selected(a, fci), nil
		}
	}
	return Application{}, drivers.Trouble(drivers.CategorySmartCardRW, operation, drivers.ErrNoExist,
		errors.New("the card has none of the applications that are known here"))
}

func selectName(ctx context.Context, card drivers.Card, name []byte) (fci []byte, status apdu.Status, err error) {
	command, err := apdu.Select(name).Bytes()
	if err != nil {
		return nil, 0, err
	}
	response, err := card.Transmit(ctx, command)
	if err != nil {
		return nil, 0, err
	}
	return apdu.Split(response)
}

// direct are the candidates as they are, for a card without a directory.
func direct(candidates []Candidate) []Application {
	out := make([]Application, len(candidates))
	for i, c := range candidates {
		out[i] = Application{AID: c.AID}
	}
	return out
}

// choose keeps what fits, best first: priority 1 before 15 before none, then the card's order.
func choose(entries []Application, candidates []Candidate) []Application {
	out := slices.DeleteFunc(slices.Clone(entries), func(a Application) bool {
		return !slices.ContainsFunc(candidates, func(c Candidate) bool { return c.fits(a.AID) })
	})
	rank := func(a Application) int {
		if a.Priority == 0 {
			return 16
		}
		return a.Priority
	}
	slices.SortStableFunc(out, func(a, b Application) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// selected fills in what the card tells in its answer: the whole name where it was
// selected by a part of it (tag 84), and the label (tag 50).
func selected(a Application, fci []byte) Application {
	a.FCI = fci
	tree, err := decode(fci)
	if err != nil {
		return a // the card answered with success; what it says beside is for the kernel
	}
	if name, ok := bertlv.FindTagByPath(tree, "6F.84"); ok && bytes.HasPrefix(name.Value, a.AID) {
		a.AID = slices.Clone(name.Value)
	}
	if label, ok := bertlv.FindTagByPath(tree, "6F.A5.50"); ok && a.Label == "" {
		a.Label = printable(label.Value)
	}
	return a
}

// parseDirectory reads the entries of a PPSE answer: 6F { 84, A5 { BF0C { 61 { 4F aid, 50
// label, 87 priority, 9F2A kernel } … } } } (EMV Contactless Book B, table 3-2). ok is
// false when it is no directory; an entry without a proper AID is passed over.
func parseDirectory(fci []byte) (entries []Application, ok bool) {
	tree, err := decode(fci)
	if err != nil {
		return nil, false
	}
	list, ok := bertlv.FindTagByPath(tree, "6F.A5.BF0C")
	if !ok {
		return nil, false
	}
	for _, e := range list.TLVs {
		if a, fits := entry(e); fits && len(entries) < maxEntries {
			entries = append(entries, a)
		}
	}
	return entries, true
}

func entry(e bertlv.TLV) (a Application, ok bool) {
	if e.Tag != "61" {
		return a, false
	}
	for _, f := range e.TLVs {
		switch f.Tag {
		case "4F":
			a.AID = slices.Clone(f.Value)
		case "50":
			a.Label = printable(f.Value)
		case "87":
			if len(f.Value) == 1 {
				a.Priority = int(f.Value[0] & 0x0F) // the high bit asks for the cardholder's confirmation
			}
		case "9F2A":
			a.Kernel = slices.Clone(f.Value)
		}
	}
	return a, len(a.AID) >= minAID && len(a.AID) <= maxAID
}

// maxTemplate bounds what is decoded, and with it how deep templates nest.
const maxTemplate = 4096

var errNotTLV = errors.New("not BER-TLV")

// decode guards the library: a length of eight bytes turns negative in it and panics.
func decode(b []byte) (tree []bertlv.TLV, err error) {
	defer func() {
		if r := recover(); r != nil {
			tree, err = nil, fmt.Errorf("%w: %v", errNotTLV, r)
		}
	}()
	if len(b) > maxTemplate {
		return nil, fmt.Errorf("%w: %d bytes", errNotTLV, len(b))
	}
	return bertlv.Decode(b)
}
