package wallet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// AID names the lab's application on a card (docs/PROTOCOL.md §5.2).
const AID = "\xF0dcpos\x01"

// Fault is how a card wallet misbehaves, on demand.
type Fault string

// The faults. A card that tears or is slow is lab/device's to model.
const (
	NoFault     Fault = ""
	PaysLess    Fault = "pays-less"    // signs one fen less than is asked for
	PaysOther   Fault = "pays-other"   // signs for another payment
	ForOther    Fault = "for-other"    // signs for another terminal
	Replays     Fault = "replays"      // answers with the promise of its first payment
	Repeats     Fault = "repeats"      // signs a second promise for a challenge that it signed before
	Clones      Fault = "clones"       // has the certificate, and a key of its own
	Rewinds     Fault = "rewinds"      // uses the counter of its last payment once more
	Refuses     Fault = "refuses"      // has too little money
	Alters      Fault = "alters"       // changes a bit of the signature
	Garbles     Fault = "garbles"      // answers with what is no evidence
	Swells      Fault = "swells"       // answers with far more than a promise
	Unversioned Fault = "unversioned"  // does not know the command to sign
	OwnPapers   Fault = "own-papers"   // puts the certificate into the promise again
	Silent      Fault = "silent"       // answers without a status
	Hides       Fault = "hides"        // denies that it has kept promises
	Postpones   Fault = "postpones"    // signs, and answers only when it is asked for what it kept
	Unreadable  Fault = "unreadable"   // its certificate is no certificate
	Suites      Fault = "other-suite"  // names the other suite
	Undated     Fault = "other-expiry" // signs a later expiry than was asked for
	Smuggles    Fault = "smuggles"     // names envelopes though the till offered none
	Crosses     Fault = "crosses"      // of the lab, signs for a live till
)

// keptAnswers is how many promises a card remembers; a tap is torn and repeated within
// minutes, and a card pays seldom more often.
const keptAnswers = 8

// kept is a promise that may not have been heard.
type kept struct {
	Nonce []byte `json:"nonce"`
	Bare  []byte `json:"bare"` // evidence without certificate, canonical
}

// Of makes a wallet in memory of a key and a certificate that somebody else issued.
func Of(key dcep.Signer, certificate []byte) *Wallet {
	return &Wallet{key: key, state: state{Suite: key.Suite().Name(), Certificate: certificate}}
}

// Card is the wallet as the applet of a contactless card: it answers the commands of
// docs/PROTOCOL.md §5.2. It is safe for concurrent use.
type Card struct {
	wallet *Wallet
	now    func() time.Time

	mu    sync.Mutex
	fault Fault
	chain []byte // data of a chain so far
	rest  []byte // of an answer that is fetched in parts
}

// Card makes the wallet's applet; now is its clock.
func (w *Wallet) Card(now func() time.Time) *Card { return &Card{wallet: w, now: now} }

// Misbehave chooses a fault; NoFault ends it.
func (c *Card) Misbehave(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
}

// Status words of ISO/IEC 7816-4, 5.6.
const (
	swOK        = 0x9000
	swLength    = 0x6700
	swCondition = 0x6985
	swData      = 0x6A80
	swReference = 0x6A88
	swP1P2      = 0x6A86
	swINS       = 0x6D00
	swCLA       = 0x6E00
	swInternal  = 0x6F00
)

func word(sw uint16, data ...byte) []byte { return binary.BigEndian.AppendUint16(data, sw) }

// Process answers one command APDU.
func (c *Card) Process(command []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	in, ok := split(command)
	if !ok {
		return word(swLength)
	}
	if in.ins != insGetResponse {
		c.rest = nil
	}
	if in.ins != insSign {
		c.chain = nil
	}
	switch {
	case in.ins == insSelect && in.cla == 0x00 && len(in.data) > 0:
		return nil // the card tells its own name
	case in.ins == insGetResponse:
		return c.part(in)
	case in.ins == insGetData && in.cla == 0x00:
		return c.papers(in)
	case in.ins == insGetData && in.cla == 0x80:
		return c.remembered(in)
	case in.ins == insSign && in.cla&^0x10 == 0x00 && c.fault != Unversioned:
		return c.sign(in)
	case in.cla != 0x00 && in.cla != 0x80:
		return word(swCLA)
	}
	return word(swINS)
}

// The instructions that the card knows.
const (
	insSelect      = 0xA4
	insGetResponse = 0xC0
	insGetData     = 0xCA
	insSign        = 0x2A
)

// command is an APDU taken apart.
type command struct {
	cla, ins, p1, p2 byte
	data             []byte
	most             int // bytes that are wanted back
}

// split reads the short and extended forms of ISO/IEC 7816-4, 5.1.
func split(b []byte) (c command, ok bool) {
	if len(b) < 4 {
		return c, false
	}
	c = command{cla: b[0], ins: b[1], p1: b[2], p2: b[3]}
	b = b[4:]
	wide := len(b) >= 3 && b[0] == 0
	length := func() int {
		n := int(b[0])
		if b = b[1:]; wide {
			n = n<<8 | int(b[0])
			b = b[1:]
		}
		return n
	}
	if wide {
		b = b[1:]
	}
	size := 1
	if wide {
		size = 2
	}
	if len(b) > size { // Lc and data
		n := length()
		if len(b) < n {
			return c, false
		}
		c.data, b = b[:n], b[n:]
	}
	if len(b) == 0 {
		return c, true
	}
	if len(b) != size {
		return c, false
	}
	if c.most = length(); c.most == 0 {
		c.most = 1 << (8 * size)
	}
	return c, true
}

// part gives the next part of an answer, with 61xx while more is to come.
func (c *Card) part(in command) []byte {
	if len(c.rest) == 0 {
		return word(swCondition)
	}
	n := min(len(c.rest), in.most)
	out := slices.Clone(c.rest[:n])
	c.rest = c.rest[n:]
	if more := len(c.rest); more > 0 {
		return word(0x6100|uint16(min(more, 0x100)&0xFF), out...) //nolint:gosec // 256 is 00
	}
	return word(swOK, out...)
}

func (c *Card) answer(in command, data []byte) []byte {
	c.rest = data
	return c.part(in)
}

// papers is GET CERTIFICATE.
func (c *Card) papers(in command) []byte {
	if in.p1 != 0x7F || in.p2 != 0x21 {
		return word(swReference)
	}
	if c.fault == Unreadable {
		return c.answer(in, []byte("no certificate"))
	}
	return c.answer(in, c.wallet.Certificate())
}

// remembered is GET EVIDENCE: it never signs.
func (c *Card) remembered(in command) []byte {
	if in.p1 != 0 || in.p2 != 0 {
		return word(swP1P2)
	}
	if len(in.data) != dcep.NonceSize {
		return word(swData)
	}
	bare := c.wallet.kept(in.data)
	if bare == nil || c.fault == Hides || c.fault == Repeats {
		return word(swReference)
	}
	return c.answer(in, bare)
}

// sign is PRESENT: one promise for one challenge, however often it is presented.
func (c *Card) sign(in command) []byte {
	if in.p1 != 0x9E || in.p2 != 0x9A {
		return word(swP1P2)
	}
	if c.chain = append(c.chain, in.data...); len(c.chain) > maxChallenge {
		c.chain = nil
		return word(swLength)
	}
	if in.cla&0x10 != 0 {
		return word(swOK)
	}
	text := c.chain
	c.chain = nil
	challenge, err := dcep.ParseChallenge(text)
	if err != nil || challenge.Env != pos.Lab && c.fault != Crosses {
		return word(swData)
	}
	if c.fault == Refuses {
		return word(swCondition)
	}
	bare, err := c.promise(challenge)
	if err != nil {
		return word(swInternal)
	}
	if c.fault == Silent {
		return nil
	}
	if c.fault == Postpones {
		return word(swInternal)
	}
	if c.fault == Garbles {
		bare = []byte("no evidence at all")
	}
	if c.fault == Swells {
		bare = bytes.Repeat([]byte{0xA5}, 4000)
	}
	return c.answer(in, bare)
}

// maxChallenge bounds what a card takes for a challenge.
const maxChallenge = 512

func (c *Card) promise(asked dcep.Challenge) ([]byte, error) {
	w := c.wallet
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.fault == Replays && len(w.state.Answers) > 0 {
		return w.state.Answers[0].Bare, nil
	}
	if bare := w.find(asked.Nonce); bare != nil && c.fault != Repeats {
		return bare, nil
	}
	e, err := c.statement(asked)
	if err != nil {
		return nil, err
	}
	bare, err := e.Bare()
	if c.fault == OwnPapers {
		bare, err = dcep.Marshal(e)
	}
	if err != nil {
		return nil, err
	}
	w.state.Counter = max(w.state.Counter, e.Counter)
	w.spent(e.Envelopes)
	w.state.Answers = append(w.state.Answers, kept{Nonce: asked.Nonce, Bare: bare})
	if n := len(w.state.Answers); n > keptAnswers {
		w.state.Answers = slices.Clone(w.state.Answers[n-keptAnswers:])
	}
	return bare, w.saveState() // the counter and the promise are kept before anybody hears it
}

// lie is what a faulty card signs instead of what it was asked.
func (c *Card) lie(asked dcep.Challenge) dcep.Challenge {
	says := asked
	if c.fault == PaysLess {
		says.Amount--
	}
	if c.fault == PaysOther {
		says.Payment = pos.NewPaymentID(c.now(), [10]byte{0xEE})
	}
	if c.fault == ForOther {
		says.Terminal += "-2"
	}
	if c.fault == Undated {
		says.ExpiresMS += time.Hour.Milliseconds()
	}
	return says
}

// envelopes are what the card names beside its own money; the wallet's lock is held.
func (c *Card) envelopes(says dcep.Challenge) []pos.EnvelopeUse {
	if c.fault == Smuggles {
		return c.wallet.envelopes
	}
	return c.wallet.uses(says, c.now())
}

// statement signs what the fault has it sign.
func (c *Card) statement(asked dcep.Challenge) (dcep.Evidence, error) {
	w, key, counter := c.wallet, c.wallet.key, c.wallet.state.Counter+1
	says := c.lie(asked)
	if says.Amount <= 0 {
		return dcep.Evidence{}, errors.New("nothing to sign")
	}
	if c.fault == Rewinds {
		counter = max(1, w.state.Counter)
	}
	if c.fault == Clones {
		other, err := key.Suite().Generate()
		if err != nil {
			return dcep.Evidence{}, err
		}
		key = other
	}
	e, err := dcep.SignEvidence(key, w.state.Certificate, says, counter, c.now(), c.envelopes(says)...)
	if err != nil {
		return dcep.Evidence{}, fmt.Errorf("sign promise: %w", err)
	}
	if c.fault == Alters {
		e.Sig[40] ^= 1
	}
	if c.fault == Suites && e.Suite == dcep.SM2SM3 {
		e.Suite = dcep.Ed25519SHA256
	} else if c.fault == Suites {
		e.Suite = dcep.SM2SM3
	}
	return e, nil
}

// kept gives the promise for a challenge of this nonce; nil when there is none.
func (w *Wallet) kept(nonce []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.find(nonce)
}

// find is kept with the lock held.
func (w *Wallet) find(nonce []byte) []byte {
	for _, a := range slices.Backward(w.state.Answers) {
		if bytes.Equal(a.Nonce, nonce) {
			return a.Bare
		}
	}
	return nil
}
