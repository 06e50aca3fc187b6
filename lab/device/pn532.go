package device

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
)

// Commands of the PN532 (UM0701-02, section 7); a response has the next code.
const (
	pnDiagnose   = 0x00
	pnFirmware   = 0x02
	pnParameters = 0x12
	pnSAM        = 0x14
	pnRF         = 0x32
	pnExchange   = 0x40
	pnDeselect   = 0x44
	pnList       = 0x4A
	pnRelease    = 0x52
)

// Status bytes of the PN532 (7.1, table 13).
const (
	pnTimeout     = 0x01
	pnWrongState  = 0x27
	pnMoreInfo    = 0x40
	pnMostPayload = 262 // data bytes of one InDataExchange (7.3.8)
)

// PN532Options say how the chip behaves.
type PN532Options struct {
	// Asleep: the chip hears nothing before the long preamble 55 55 00… that wakes it.
	Asleep bool
}

// PN532 is the model of an NXP PN532 on a high-speed UART (UM0701-02, 6.2).
type PN532 struct {
	Field

	opt PN532Options

	mu       sync.Mutex
	awake    bool
	ready    bool // SAMConfiguration was done
	targets  []*Card
	rest     []byte // of a response
	gather   []byte // of a command
	last     []byte // the last response frame, for NACK
	spoil    int    // spoil so many more response frames on the line
	swallow  int    // answer nothing to so many more commands
	loseACK  int
	chatter  []byte // sent before the next frame
	silent   bool
	commands [][]byte // heard, whole

	// One command is under way, whichever line it came by: a host that opens the line anew
	// talks to the same chip. turn is held from a command's acknowledgement until it is.
	turn     sync.Mutex
	underway *pnCommand
}

// pnCommand is a command that the chip acts on.
type pnCommand struct {
	host *pnHost
	stop context.CancelFunc
	done chan struct{}
}

// NewPN532 makes a chip.
func NewPN532(opt PN532Options) *PN532 { return &PN532{opt: opt, awake: !opt.Asleep} }

// Spoil flips a bit in the next n response frames; their repetition after NACK is good.
func (p *PN532) Spoil(n int) { p.set(func() { p.spoil = n }) }

// Swallow lets the chip miss the next n commands: no acknowledgement, no answer.
func (p *PN532) Swallow(n int) { p.set(func() { p.swallow = n }) }

// LoseACK lets the chip act on the next n commands without an acknowledgement.
func (p *PN532) LoseACK(n int) { p.set(func() { p.loseACK = n }) }

// Chatter sends noise before the next frame.
func (p *PN532) Chatter(noise []byte) { p.set(func() { p.chatter = slices.Clone(noise) }) }

// Silence makes the chip dead, or alive again.
func (p *PN532) Silence(on bool) { p.set(func() { p.silent = on }) }

func (p *PN532) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// Commands are the frames' contents that the chip has acted on: code and parameters.
func (p *PN532) Commands() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.commands)
}

// Serve is connected to one host until the context ends or the host hangs up; it closes rw.
func (p *PN532) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	stop := context.AfterFunc(ctx, func() { _ = rw.Close() }) // ends the read below
	defer stop()
	defer func() { _ = rw.Close() }() // it may be closed already
	host := &pnHost{chip: p, rw: rw}
	defer host.abort()
	var buf []byte
	piece := make([]byte, 512)
	for {
		n, err := rw.Read(piece)
		if err != nil {
			return nil // the only way in which it ends
		}
		buf = append(buf, piece[:n]...)
		for {
			used, whole := host.take(ctx, buf)
			buf = buf[used:]
			if !whole {
				break
			}
		}
	}
}

// pnHost is the line to one host.
type pnHost struct {
	chip *PN532
	rw   io.Writer
}

// take acts on the first frame in buf; whole is false when more bytes are needed.
func (h *pnHost) take(ctx context.Context, buf []byte) (used int, whole bool) {
	h.chip.wake(buf)
	at := bytes.Index(buf, []byte{0x00, 0xFF})
	if at < 0 {
		return max(0, len(buf)-64), false // keeps a preamble that is just coming
	}
	b := buf[at+2:]
	switch {
	case len(b) < 2:
		return at, false
	case b[0] == 0x00 && b[1] == 0xFF: // ACK: abort
		h.abort()
		return at + 4, true
	case b[0] == 0xFF && b[1] == 0x00: // NACK: again
		h.again()
		return at + 4, true
	}
	head, n := 2, int(b[0])
	if b[0] == 0xFF && b[1] == 0xFF {
		if len(b) < 5 {
			return at, false
		}
		head, n = 5, int(b[2])<<8|int(b[3])
		if b[2]+b[3]+b[4] != 0 {
			return at + 2, true
		}
	} else if b[0]+b[1] != 0 {
		return at + 2, true // noise
	}
	if len(b) < head+n+1 {
		return at, false
	}
	content := slices.Clone(b[head : head+n])
	var sum byte
	for _, c := range b[head : head+n+1] {
		sum += c
	}
	if sum == 0 && n >= 2 && content[0] == 0xD4 {
		h.command(ctx, content[1:])
	}
	return at + 2 + head + n + 1, true
}

// wake looks for the long preamble.
func (p *PN532) wake(buf []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Contains(buf, []byte{0x55, 0x55, 0x00, 0x00}) {
		p.awake = true
	}
}

// abort ends the host's command that is under way; it is not answered.
func (h *pnHost) abort() {
	h.chip.turn.Lock()
	defer h.chip.turn.Unlock()
	if u := h.chip.underway; u != nil && u.host == h {
		h.chip.end()
	}
}

// end ends what is under way; turn is held.
func (p *PN532) end() {
	if u := p.underway; u != nil {
		u.stop()
		<-u.done
		p.underway = nil
	}
}

func (h *pnHost) again() {
	h.chip.mu.Lock()
	frame := h.chip.last
	h.chip.mu.Unlock()
	if frame != nil {
		_, _ = h.rw.Write(frame) // a host that is gone ends Serve
	}
}

func (h *pnHost) command(ctx context.Context, command []byte) {
	p := h.chip
	p.turn.Lock()
	defer p.turn.Unlock()
	p.end()
	p.mu.Lock()
	noise := p.chatter
	p.chatter = nil
	missed := p.silent || !p.awake || p.swallow > 0
	if missed {
		p.swallow = max(0, p.swallow-1)
	} else {
		p.commands = append(p.commands, command)
	}
	ack := p.loseACK == 0
	p.loseACK = max(0, p.loseACK-1)
	p.mu.Unlock()
	if missed {
		return
	}
	if ack {
		_, _ = h.rw.Write(append(noise, 0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00)) // a host that is gone ends Serve
	}
	u := &pnCommand{host: h, done: make(chan struct{})}
	ctx, u.stop = context.WithCancel(ctx)
	p.underway = u
	go func() {
		defer close(u.done)
		if response := p.act(ctx, command); response != nil {
			_, _ = h.rw.Write(p.frame(response)) // likewise
		}
	}()
}

// frame wraps a response and, if it is asked to, spoils it.
func (p *PN532) frame(content []byte) []byte {
	var out []byte
	if content[0] == syntaxError()[0] {
		out = []byte{0x00, 0x00, 0xFF, 0x01, 0xFF, content[0], -content[0], 0x00}
	} else {
		content = append([]byte{0xD5}, content...)
		if n := len(content); n > 255 {
			hi, lo := byte(n>>8), byte(n)
			out = append(out, 0x00, 0x00, 0xFF, 0xFF, 0xFF, hi, lo, -(hi + lo))
		} else {
			out = append(out, 0x00, 0x00, 0xFF, byte(n), -byte(n))
		}
		var sum byte
		for _, c := range content {
			sum += c
		}
		out = append(append(out, content...), -sum, 0x00)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = out
	if p.spoil > 0 {
		p.spoil--
		out = slices.Clone(out)
		out[len(out)-3] ^= 0x10
	}
	return out
}

// syntaxError is the content of the error frame (6.2.1.5).
func syntaxError() []byte { return []byte{0x7F} }

// act carries a command out; nil is no answer (aborted).
func (p *PN532) act(ctx context.Context, c []byte) []byte {
	switch c[0] {
	case pnFirmware:
		return []byte{c[0] + 1, 0x32, 0x01, 0x06, 0x07}
	case pnSAM:
		p.set(func() { p.ready = true })
		return []byte{c[0] + 1}
	case pnRF:
		if len(c) == 3 && c[1] == 0x01 && c[2]&1 == 0 { // the field goes off: cards forget
			p.set(func() { p.targets, p.rest, p.gather = nil, nil, nil })
		}
		return []byte{c[0] + 1}
	case pnParameters:
		return []byte{c[0] + 1}
	case pnList:
		return p.list(ctx, c)
	case pnExchange:
		return p.exchange(c)
	case pnRelease, pnDeselect:
		p.set(func() { p.targets, p.rest, p.gather = nil, nil, nil })
		return []byte{c[0] + 1, 0}
	case pnDiagnose:
		return p.diagnose(c)
	}
	return syntaxError()
}

// diagnose is test 06: is the card still there?
func (p *PN532) diagnose(c []byte) []byte {
	if len(c) < 2 || c[1] != 0x06 {
		return syntaxError()
	}
	p.mu.Lock()
	targets := p.targets
	p.mu.Unlock()
	switch {
	case len(targets) == 0:
		return []byte{c[0] + 1, pnWrongState}
	case !p.holds(targets[0]):
		return []byte{c[0] + 1, pnTimeout}
	}
	return []byte{c[0] + 1, 0}
}

// list waits until a card is in the field, for ever if it has to.
func (p *PN532) list(ctx context.Context, c []byte) []byte {
	if len(c) < 3 || c[1] < 1 || c[1] > 2 || c[2] != 0 {
		return syntaxError()
	}
	for {
		cards, changed := p.watch()
		p.mu.Lock()
		ready := p.ready
		p.mu.Unlock()
		cards = slices.DeleteFunc(cards, p.selected)
		if len(cards) > 0 && ready {
			return p.found(c, cards[:min(len(cards), int(c[1]))])
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// selected reports whether the card is active already: such a card hears no call until it
// is released or has lost its power.
func (p *PN532) selected(c *Card) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.active() && slices.Contains(p.targets, c)
}

func (p *PN532) found(c []byte, cards []*Card) []byte {
	p.set(func() { p.targets, p.rest, p.gather = cards, nil, nil })
	out := []byte{c[0] + 1, byte(len(cards))}
	for i, card := range cards {
		uid, ats := card.Activate()
		atqa := byte(0x04)
		if len(uid) == 7 {
			atqa = 0x44
		}
		out = append(out, byte(i+1), 0x00, atqa, 0x20, byte(len(uid)))
		out = append(append(out, uid...), ats...)
	}
	return out
}

func (p *PN532) exchange(c []byte) []byte {
	if len(c) < 2 || len(c)-2 > pnMostPayload {
		return syntaxError()
	}
	p.mu.Lock()
	tg := int(c[1] &^ pnMoreInfo)
	if tg < 1 || tg > len(p.targets) {
		p.mu.Unlock()
		return []byte{c[0] + 1, pnWrongState}
	}
	card := p.targets[tg-1]
	if len(c) == 2 && len(p.rest) > 0 {
		defer p.mu.Unlock()
		return p.piece(c[0])
	}
	p.rest = nil
	p.gather = append(p.gather, c[2:]...)
	if c[1]&pnMoreInfo != 0 {
		p.mu.Unlock()
		return []byte{c[0] + 1, 0}
	}
	command := p.gather
	p.gather = nil
	p.mu.Unlock()
	if !p.holds(card) {
		return []byte{c[0] + 1, pnTimeout}
	}
	response, torn := card.Transmit(command)
	if torn || !p.holds(card) {
		p.Take(card)
		return []byte{c[0] + 1, pnTimeout}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = response
	return p.piece(c[0])
}

// piece is the next part of a response; the lock is held.
func (p *PN532) piece(code byte) []byte {
	part := p.rest[:min(len(p.rest), pnMostPayload)]
	p.rest = p.rest[len(part):]
	status := byte(0)
	if len(p.rest) > 0 {
		status = pnMoreInfo
	}
	return append([]byte{code + 1, status}, part...)
}
