package device

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// Messages of USB CCID Rev 1.1, sections 6.1 to 6.3.
const (
	ccidPowerOn   = 0x62
	ccidPowerOff  = 0x63
	ccidStatus    = 0x65
	ccidEscape    = 0x6B
	ccidXfr       = 0x6F
	ccidAbort     = 0x72
	ccidHeader    = 10
	ccidDataBlock = 0x80
	ccidSlot      = 0x81
	ccidEscaped   = 0x83
	ccidNotify    = 0x50
)

// What a status byte says (6.2.6), and errors (table 6.2-2).
const (
	iccActive   = 0
	iccInactive = 1
	iccAbsent   = 2

	ccidFailed     = 0x40
	ccidMoreTime   = 0x80
	errMute        = 0xFE
	errNoSlot      = 0x05
	errUnsupported = 0x00
	errBadLength   = 0x01
)

// CCIDOptions say what kind of reader is modelled.
type CCIDOptions struct {
	// Extended: the reader carries extended APDUs (dwFeatures 00040000h), in pieces if they
	// are longer than a message.
	Extended bool
	// MoreTimeEvery is how often a slow card makes the reader ask for more time; default 50 ms.
	MoreTimeEvery time.Duration
	// Firmware is told by FF 00 48; default "ACR122U214".
	Firmware string
	// Light is called for every LED and buzzer command with its P2 and its four data bytes.
	Light func(p2 byte, data [4]byte)
}

// CCID is the model of an ACR122U: one contactless slot behind the USB chip card
// interface class. What it is asked and says are the messages on its endpoints, so that
// it serves in memory and behind a simulated USB device alike.
type CCID struct {
	Field

	opt CCIDOptions

	notify chan []byte

	mu      sync.Mutex
	active  *Card
	uid     []byte
	ats     []byte
	gather  []byte // pieces of a command
	rest    []byte // pieces of a response
	silent  bool
	leds    byte
	quiet   bool // no beep at detection
	stopped chan struct{}
	once    sync.Once
}

// NewCCID makes a reader with no card. Close ends its notifications.
func NewCCID(opt CCIDOptions) *CCID {
	if opt.MoreTimeEvery == 0 {
		opt.MoreTimeEvery = 50 * time.Millisecond
	}
	if opt.Firmware == "" {
		opt.Firmware = "ACR122U214"
	}
	m := &CCID{opt: opt, notify: make(chan []byte, 16), stopped: make(chan struct{})}
	go m.watchField()
	return m
}

// Close ends the model.
func (m *CCID) Close() { m.once.Do(func() { close(m.stopped) }) }

// Silence makes the reader answer nothing any more, or answer again.
func (m *CCID) Silence(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silent = on
}

// LEDs is what FF 00 40 left burning: bit 0 red, bit 1 green.
func (m *CCID) LEDs() byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leds
}

// Quiet reports whether the beep at detection was switched off.
func (m *CCID) Quiet() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.quiet
}

// Notify gives the packets of the interrupt endpoint: RDR_to_PC_NotifySlotChange (6.3.1).
// A packet that nobody fetches is dropped after sixteen others.
func (m *CCID) Notify() <-chan []byte { return m.notify }

func (m *CCID) watchField() {
	present := false
	for {
		cards, changed := m.watch()
		if now := len(cards) > 0; now != present {
			present = now
			state := byte(2) // changed
			if present {
				state |= 1
			}
			select {
			case m.notify <- []byte{ccidNotify, state}:
			default:
			}
		}
		select {
		case <-changed:
		case <-m.stopped:
			return
		}
	}
}

// Command acts on one message of the bulk OUT endpoint and gives what the bulk IN
// endpoint says to reply, which is called once for each message, in order, before Command
// returns. A silent reader says nothing.
func (m *CCID) Command(message []byte, reply func(response []byte)) {
	m.mu.Lock()
	silent := m.silent
	m.mu.Unlock()
	if silent {
		return
	}
	if len(message) < ccidHeader || uint64(binary.LittleEndian.Uint32(message[1:])) != uint64(len(message)-ccidHeader) {
		reply(m.answer(ccidSlot, message, ccidFailed, errBadLength, nil))
		return
	}
	if message[5] != 0 {
		reply(m.answer(ccidSlot, message, ccidFailed, errNoSlot, nil))
		return
	}
	switch message[0] {
	case ccidStatus, ccidAbort:
		reply(m.answer(ccidSlot, message, 0, 0, nil))
	case ccidPowerOn:
		reply(m.powerOn(message))
	case ccidPowerOff:
		m.mu.Lock()
		m.active, m.gather, m.rest = nil, nil, nil
		m.mu.Unlock()
		reply(m.answer(ccidSlot, message, 0, 0, nil))
	case ccidXfr:
		m.transfer(message, reply)
	case ccidEscape:
		reply(m.answer(ccidEscaped, message, 0, 0, m.pseudo(message[ccidHeader:])))
	default:
		reply(m.answer(ccidSlot, message, ccidFailed, errUnsupported, nil))
	}
}

// answer builds a response; the slot's own state goes into its status.
func (m *CCID) answer(kind byte, to []byte, status, fault byte, data []byte) []byte {
	out := make([]byte, ccidHeader, ccidHeader+len(data))
	out[0] = kind
	binary.LittleEndian.PutUint32(out[1:], uint32(len(data))) //nolint:gosec // a message is short
	if len(to) >= 7 {
		out[5], out[6] = to[5], to[6]
	}
	out[7], out[8] = status|m.icc(), fault
	return append(out, data...)
}

func (m *CCID) icc() byte {
	m.mu.Lock()
	active := m.active
	m.mu.Unlock()
	switch cards := m.Cards(); {
	case len(cards) == 0:
		return iccAbsent
	case active != nil && active.active() && slices.Contains(cards, active):
		return iccActive
	default:
		return iccInactive
	}
}

func (m *CCID) powerOn(message []byte) []byte {
	cards := m.Cards()
	if len(cards) == 0 {
		return m.answer(ccidDataBlock, message, ccidFailed, errMute, nil)
	}
	uid, ats := cards[0].Activate()
	m.mu.Lock()
	m.active, m.uid, m.ats, m.gather, m.rest = cards[0], uid, ats, nil, nil
	m.mu.Unlock()
	return m.answer(ccidDataBlock, message, 0, 0, atr(ats))
}

// atr is the answer to reset that stands for a contactless card (PC/SC Part 3, 3.1.3.2.3.1):
// 3B 8n 80 01, the historical bytes, and the sum.
func atr(ats []byte) []byte {
	historical := ats[min(len(ats), 1):]
	if len(ats) > 1 { // T0 says which interface bytes follow
		at := 2
		for bit := byte(0x10); bit <= 0x40; bit <<= 1 {
			if ats[1]&bit != 0 {
				at++
			}
		}
		historical = ats[min(len(ats), at):]
	}
	out := append([]byte{0x3B, 0x80 | byte(len(historical)), 0x80, 0x01}, historical...)
	var sum byte
	for _, b := range out[1:] {
		sum ^= b
	}
	return append(out, sum)
}

// Levels of PC_to_RDR_XfrBlock's wLevelParameter and RDR_to_PC_DataBlock's bChainParameter
// (6.1.4, 6.2.1).
const (
	chainWhole = 0x00
	chainBegin = 0x01
	chainEnd   = 0x02
	chainMid   = 0x03
	chainMore  = 0x10
)

func (m *CCID) transfer(message []byte, reply func([]byte)) {
	level, data := message[8], message[ccidHeader:]
	if level == chainMore {
		reply(m.piece(message))
		return
	}
	m.mu.Lock()
	if level == chainWhole || level == chainBegin {
		m.gather, m.rest = nil, nil
	}
	m.gather = append(m.gather, data...)
	command, card := m.gather, m.active
	m.mu.Unlock()
	if level == chainBegin || level == chainMid {
		out := m.answer(ccidDataBlock, message, 0, 0, nil)
		out[9] = chainMore
		reply(out)
		return
	}
	if len(command) > 1 && command[0] == 0xFF {
		m.mu.Lock()
		m.rest = m.pseudoCard(command)
		m.mu.Unlock()
		reply(m.piece(message))
		return
	}
	if !m.holds(card) {
		reply(m.answer(ccidDataBlock, message, ccidFailed, errMute, nil))
		return
	}
	response, torn := m.wait(card, command, func() { reply(m.answer(ccidDataBlock, message, ccidMoreTime, 1, nil)) })
	if torn {
		m.Take(card)
		reply(m.answer(ccidDataBlock, message, ccidFailed, errMute, nil))
		return
	}
	m.mu.Lock()
	m.rest = response
	m.mu.Unlock()
	reply(m.piece(message))
}

// wait asks the card and calls moreTime as long as it thinks.
func (m *CCID) wait(card *Card, command []byte, moreTime func()) (response []byte, torn bool) {
	type heard struct {
		response []byte
		torn     bool
	}
	done := make(chan heard, 1)
	go func() {
		r, t := card.Transmit(command)
		done <- heard{r, t}
	}()
	ticker := time.NewTicker(m.opt.MoreTimeEvery)
	defer ticker.Stop()
	for {
		select {
		case h := <-done:
			return h.response, h.torn
		case <-ticker.C:
			moreTime()
		}
	}
}

// CCIDMaxMessage is dwMaxCCIDMessageLength of the descriptor.
const CCIDMaxMessage = 271

// piece is the next part of the response.
func (m *CCID) piece(message []byte) []byte {
	m.mu.Lock()
	const most = CCIDMaxMessage - ccidHeader
	part := m.rest
	first := message[8] != chainMore
	if m.opt.Extended && len(part) > most {
		part = part[:most]
	}
	m.rest = m.rest[len(part):]
	last := len(m.rest) == 0
	m.mu.Unlock()
	out := m.answer(ccidDataBlock, message, 0, 0, part)
	switch {
	case first && last:
		out[9] = chainWhole
	case first:
		out[9] = chainBegin
	case last:
		out[9] = chainEnd
	default:
		out[9] = chainMid
	}
	return out
}

// pseudoCard are the reader's commands about the card: FF CA of PC/SC Part 3, 3.2.2.1.3.
func (m *CCID) pseudoCard(command []byte) []byte {
	if len(command) >= 4 && command[1] == 0xCA && m.active != nil {
		if command[2] == 1 {
			return append(slices.Clone(m.ats), 0x90, 0x00)
		}
		return append(slices.Clone(m.uid), 0x90, 0x00)
	}
	return []byte{0x63, 0x00}
}

// pseudo are the reader's own commands (ACR122U API 2.04, section 6).
func (m *CCID) pseudo(command []byte) []byte {
	if len(command) < 5 || command[0] != 0xFF || command[1] != 0 {
		return []byte{0x63, 0x00}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch command[2] {
	case 0x48:
		return []byte(m.opt.Firmware)
	case 0x52:
		m.quiet = command[3] == 0
		return []byte{0x90, 0x00}
	case 0x51:
		return []byte{0x90, command[3]}
	case 0x40:
		if len(command) != 9 || command[4] != 4 {
			return []byte{0x63, 0x00}
		}
		p2 := command[3]
		m.leds = m.leds&^(p2>>2&3) | p2&(p2>>2)&3
		if m.opt.Light != nil {
			m.opt.Light(p2, [4]byte(command[5:9]))
		}
		return []byte{0x90, m.leds}
	}
	return []byte{0x63, 0x00}
}

// CCIDDevice is the device descriptor: ACS ACR122U, 072f:2200, release 2.14 (libccid takes
// 1.00 for a reader with broken firmware). Strings 1 and 2 are maker and product.
func CCIDDevice() []byte {
	return []byte{
		18, 1, 0x10, 0x01, 0, 0, 0, 8, // USB 1.10, class by interface, 8 bytes on endpoint 0
		0x2F, 0x07, 0x00, 0x22, 0x14, 0x02, 1, 2, 0, 1,
	}
}

// CCIDStrings are the string descriptors' texts: index 1 and 2.
func CCIDStrings() []string { return []string{"ACS", "ACR122U PICC Interface"} }

// Configuration is the whole configuration descriptor, as libccid's collection of readers
// has it (readers/ACR122U_PICC.txt): one interface of class 0B with interrupt IN 81, bulk
// OUT 02 and bulk IN 82, and the class descriptor of CCID Rev 1.1, table 5.1-1.
func (m *CCID) Configuration() []byte {
	class := m.ClassDescriptor()
	out := []byte{9, 2, 0, 0, 1, 1, 0, 0x80, 50}
	out = append(out, 9, 4, 0, 0, 3, 0x0B, 0, 0, 0)
	out = append(out, class...)
	out = append(out, 7, 5, 0x81, 3, 8, 0, 0x10) // interrupt IN, 8 bytes, every 16 ms
	out = append(out, 7, 5, 0x02, 2, 64, 0, 0)
	out = append(out, 7, 5, 0x82, 2, 64, 0, 0)
	binary.LittleEndian.PutUint16(out[2:], uint16(len(out))) //nolint:gosec // under a hundred bytes
	return out
}

// ClassDescriptor is the CCID class descriptor alone.
func (m *CCID) ClassDescriptor() []byte {
	features := uint32(0x00020040) // parameters negotiated by the reader; short APDUs
	if m.opt.Extended {
		features = 0x00040040
	}
	out := []byte{0x36, 0x21, 0x00, 0x01, 0x00, 0x07}
	for _, v := range []uint32{2, 4000, 4000} { // T=1; clocks in kHz
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	out = append(out, 0)
	out = binary.LittleEndian.AppendUint32(out, 10752)
	out = binary.LittleEndian.AppendUint32(out, 250000)
	out = append(out, 0)
	for _, v := range []uint32{256, 0, 0, features, CCIDMaxMessage} {
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	return append(out, 0, 0, 0, 0, 0, 1)
}
