package device

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"time"
)

// Applet is what answers on a card once its application is selected.
type Applet interface {
	// Process answers one command APDU with a response APDU.
	Process(command []byte) []byte
}

// AppletFunc is a func as an Applet.
type AppletFunc func(command []byte) []byte

// Process implements Applet.
func (f AppletFunc) Process(command []byte) []byte { return f(command) }

// Application is one application of a card.
type Application struct {
	AID      []byte
	Label    string
	Priority byte // 1 first … 15 last; 0 none (EMV Book 1, 12.2.3, tag 87)
	Kernel   byte // tag 9F2A; 0 none
	Applet   Applet
}

// CardOptions say what kind of card is modelled.
type CardOptions struct {
	// UID is 4, 7 or 10 bytes; default 04 11 22 33 44 55 66.
	UID []byte
	// RandomUID makes a new UID of 4 bytes beginning with 08 for each activation, as phones
	// do (ISO/IEC 14443-3, 6.5.4).
	RandomUID bool
	// ATS is the answer to select without CRC; default 05 78 80 70 02: frames of 256 bytes.
	ATS []byte
	// Applications are told by the PPSE in this order. Without any there is no PPSE.
	Applications []Application
	// NoPPSE hides the directory; the applications can be selected all the same.
	NoPPSE bool
	// Slow is how long the card takes for each APDU; the reader sees waiting time extensions.
	Slow time.Duration
}

// Card is the model of a contactless card that speaks ISO/IEC 14443-4.
type Card struct {
	opt CardOptions

	mu        sync.Mutex
	uid       []byte
	powered   bool // activated, and in the field ever since
	selected  Applet
	apdus     int // processed since made
	tearAPDUs int // leave after so many more; negative: never
	tearBytes int // leave after so many more bytes over the air; negative: never
}

// NewCard makes a card.
func NewCard(opt CardOptions) *Card {
	if opt.UID == nil {
		opt.UID = []byte{0x04, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66}
	}
	if opt.ATS == nil {
		opt.ATS = []byte{0x05, 0x78, 0x80, 0x70, 0x02}
	}
	return &Card{opt: opt, uid: opt.UID, tearAPDUs: -1, tearBytes: -1}
}

// TearAfterAPDUs takes the card out of the field after n more APDUs: the n-th is acted on
// and its answer is not heard. Negative: never.
func (c *Card) TearAfterAPDUs(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tearAPDUs = n
}

// TearAfterBytes takes the card out of the field after n more bytes over the air, commands
// and answers counted together. A command that is cut is not acted on; an answer that is cut
// is not heard. Negative: never.
func (c *Card) TearAfterBytes(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tearBytes = n
}

// APDUs is how many commands the card has acted on since it was made.
func (c *Card) APDUs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apdus
}

// UID is what the card told last.
func (c *Card) UID() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.uid)
}

// Activate puts the card into its state after the answer to select: nothing is selected.
func (c *Card) Activate() (uid, ats []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.selected, c.powered = nil, true
	if c.opt.RandomUID {
		c.uid = make([]byte, 4)
		_, _ = rand.Read(c.uid) // never fails (crypto/rand)
		c.uid[0] = 0x08
	}
	return slices.Clone(c.uid), slices.Clone(c.opt.ATS)
}

// Transmit carries one APDU to the card over the air; torn means that the card has left
// and no answer was heard.
func (c *Card) Transmit(command []byte) (response []byte, torn bool) {
	if c.opt.Slow > 0 {
		timer := time.NewTimer(c.opt.Slow)
		defer timer.Stop()
		<-timer.C
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.powered || c.cut(len(command)) || c.tearAPDUs == 0 {
		return nil, true
	}
	c.apdus++
	response = c.process(command)
	if c.tearAPDUs > 0 {
		c.tearAPDUs--
		if c.tearAPDUs == 0 {
			return nil, true
		}
	}
	return response, c.cut(len(response))
}

// cut counts bytes over the air and reports whether the card left before the last of them.
func (c *Card) cut(n int) bool {
	if c.tearBytes < 0 {
		return false
	}
	if c.tearBytes < n {
		c.tearBytes = 0
		return true
	}
	c.tearBytes -= n
	return false
}

// leave takes the card's power: it is active no more, also when it comes back.
func (c *Card) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.powered, c.selected = false, nil
}

// active reports whether the card has been in the field since it was activated.
func (c *Card) active() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.powered
}

// forget makes a torn card whole again, for when it comes back.
func (c *Card) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tearAPDUs, c.tearBytes = -1, -1
}

// ppse is the name of the directory (EMV Contactless Book B, 3.3.1).
const ppse = "2PAY.SYS.DDF01"

func (c *Card) process(command []byte) []byte {
	if len(command) >= 5 && bytes.Equal(command[:4], []byte{0x00, 0xA4, 0x04, 0x00}) {
		if n := int(command[4]); len(command) >= 5+n {
			return c.selectName(command, command[5:5+n])
		}
		return []byte{0x67, 0x00}
	}
	if c.selected == nil {
		return []byte{0x69, 0x85}
	}
	return c.selected.Process(command)
}

func (c *Card) selectName(command, name []byte) []byte {
	if string(name) == ppse && len(c.opt.Applications) > 0 && !c.opt.NoPPSE {
		c.selected = nil
		return append(c.directory(), 0x90, 0x00)
	}
	for _, a := range c.opt.Applications {
		if len(name) > 0 && bytes.HasPrefix(a.AID, name) { // by a part of the name (ISO/IEC 7816-4, 11.2.2)
			c.selected = a.Applet
			if answer := a.Applet.Process(command); answer != nil {
				return answer
			}
			return append(tlv(0x6F, slices.Concat(tlv(0x84, a.AID), tlv(0xA5, tlv(0x50, []byte(a.Label))))), 0x90, 0x00)
		}
	}
	return []byte{0x6A, 0x82}
}

func (c *Card) directory() []byte {
	var entries []byte
	for _, a := range c.opt.Applications {
		entry := slices.Concat(tlv(0x4F, a.AID), tlv(0x50, []byte(a.Label)))
		if a.Priority != 0 {
			entry = append(entry, tlv(0x87, []byte{a.Priority})...)
		}
		if a.Kernel != 0 {
			entry = append(entry, tlv(0x9F2A, []byte{a.Kernel})...)
		}
		entries = append(entries, tlv(0x61, entry)...)
	}
	return tlv(0x6F, slices.Concat(tlv(0x84, []byte(ppse)), tlv(0xA5, tlv(0xBF0C, entries))))
}

// tlv encodes one BER-TLV object (ISO/IEC 8825-1) of a tag of one or two bytes.
func tlv(tag int, value []byte) []byte {
	var out []byte
	if tag > 0xFF {
		out = append(out, byte(tag>>8))
	}
	out = append(out, byte(tag))
	switch n := len(value); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, value...)
}

// String names the card for people.
func (c *Card) String() string { return "card " + hex.EncodeToString(c.UID()) }

// Field is the radio field of a modelled reader: the cards that lie in it.
type Field struct {
	mu      sync.Mutex
	cards   []*Card
	changed chan struct{} // closed at the next change
}

// Tap puts a card into the field.
func (f *Field) Tap(c *Card) {
	c.forget()
	f.put(c)
}

// TapTorn puts a card into the field that keeps its order to leave early.
func (f *Field) TapTorn(c *Card) { f.put(c) }

func (f *Field) put(c *Card) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.cards, c) {
		f.cards = append(f.cards, c)
		f.wake()
	}
}

// Take takes a card out of the field, nil all of them.
func (f *Field) Take(c *Card) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.cards)
	f.cards = slices.DeleteFunc(f.cards, func(o *Card) bool {
		leaves := c == nil || o == c
		if leaves {
			o.leave()
		}
		return leaves
	})
	if len(f.cards) != before {
		f.wake()
	}
}

func (f *Field) wake() {
	if f.changed != nil {
		close(f.changed)
	}
	f.changed = make(chan struct{})
}

// Cards are those in the field, in the order in which they came.
func (f *Field) Cards() []*Card {
	cards, _ := f.watch()
	return cards
}

// watch returns the cards and a channel that closes at the next change.
func (f *Field) watch() ([]*Card, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return slices.Clone(f.cards), f.changed
}

// holds reports whether the card is in the field and has been since it was activated.
func (f *Field) holds(c *Card) bool { return c != nil && c.active() && slices.Contains(f.Cards(), c) }
