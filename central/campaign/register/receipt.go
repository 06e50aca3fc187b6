package register

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign/draw"
)

// Standing is what a receipt promises.
type Standing string

// The standings.
const (
	Entered   Standing = "entered"    // the entry must be in the list
	PlaceOpen Standing = "place_open" // only if the place becomes clear before the close
)

// Receipt is the publisher's promise. It says nothing about who the entrant is.
type Receipt struct {
	Campaign   string
	Definition string // its hash as published
	Entry      draw.Entry
	Standing   Standing
	At         time.Time // to the second
}

const receiptHead = "dcpos.receipt-v1"

func (r Receipt) text() string {
	return fmt.Sprintf("%s\n%s\n%s\n%s\n%s\n%s\n", receiptHead, r.Campaign, r.Definition, r.Entry.Line(), r.Standing,
		r.At.UTC().Format(time.RFC3339))
}

// Sign writes the receipt as a note (golang.org/x/mod/sumdb/note) of the publisher.
func (r Receipt) Sign(publisher note.Signer) ([]byte, error) {
	b, err := note.Sign(&note.Note{Text: r.text()}, publisher)
	if err != nil {
		return nil, fmt.Errorf("sign receipt: %w", err)
	}
	return b, nil
}

// OpenReceipt reads a receipt that the publisher of the terms signed.
func OpenReceipt(b []byte, t draw.Terms) (Receipt, error) {
	var r Receipt
	if len(b) > 4096 {
		return r, errors.New("receipt: too long")
	}
	publisher, err := note.NewVerifier(t.Publisher)
	if err != nil {
		return r, fmt.Errorf("receipt: publisher key: %w", err)
	}
	n, err := note.Open(b, note.VerifierList(publisher))
	if err != nil {
		return r, fmt.Errorf("receipt: %w", err)
	}
	for _, sig := range slices.Concat(n.Sigs, n.UnverifiedSigs) { // note takes spare bits for any: one receipt has one text
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return r, errors.New("receipt: not in canonical form")
		}
	}
	l := strings.Split(n.Text, "\n")
	if len(l) != 7 || l[0] != receiptHead {
		return r, errors.New("receipt: not of the form " + receiptHead)
	}
	fields := strings.Split(l[3], ",")
	if len(fields) != 3 {
		return r, errors.New("receipt: want ticket, stratum and institution")
	}
	r = Receipt{Campaign: l[1], Definition: l[2], Standing: Standing(l[4])}
	r.Entry.Stratum, r.Entry.Institution = fields[1], fields[2]
	if r.Entry.Ticket, err = draw.ParseTicket(fields[0]); err != nil {
		return r, fmt.Errorf("receipt: %w", err)
	}
	if r.At, err = time.Parse(time.RFC3339, l[5]); err != nil {
		return r, fmt.Errorf("receipt: %w", err)
	}
	if r.text() != n.Text || (r.Standing != Entered && r.Standing != PlaceOpen) {
		return r, errors.New("receipt: not in canonical form")
	}
	if r.Campaign != t.Campaign || r.Definition != t.Definition {
		return r, errors.New("receipt: of another campaign, or another version of it")
	}
	return r, nil
}

// Kept reports whether the published list has the entry exactly as promised. A receipt
// that says entered, and a list without it, are together a proof against the publisher.
func (r Receipt) Kept(list io.Reader) (bool, error) {
	want := r.Entry.Line()
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		if lines.Text() == want {
			return true, nil
		}
	}
	return false, lines.Err()
}
