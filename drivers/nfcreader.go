package drivers

import (
	"context"
	"fmt"

	"dcpos/pos"
)

// CategorySmartCardRW is the category of contactless readers. UnifiedPOS has no
// category for ISO 14443-4 alone: SmartCardRW is the nearest and gives the words.
const CategorySmartCardRW = "SmartCardRW"

// NFCReader is the UnifiedPOS category SmartCardRW for contactless cards and phones
// that speak ISO/IEC 14443-4.
type NFCReader interface {
	Device

	// WaitCard waits until a card is in the field, activates it and returns it. One card
	// at a time: the last one has to be closed first (ErrBusy). A card that is there
	// already counts. A port that was lost since the last call is opened anew once.
	//
	// Errors: ErrTimeout when ctx ended; ErrTorn when a card came and left, or could not be
	// activated; ErrManyCards when several cards lie in the field and the reader can tell
	// (PC/SC and CCID readers take one of them); ErrNoHardware when the port is gone and
	// cannot be opened anew; ErrClaimed when another program holds the card; ErrOffline when
	// the reader does not answer; ErrFailure when it reports a fault. After each of them
	// WaitCard may be called again.
	WaitCard(ctx context.Context) (Card, error)

	// Signal shows and sounds what became of a tap, where the reader has light or buzzer;
	// ErrIllegal when it has neither, or the signal is none. It never waits for a card and
	// may be called while WaitCard waits; it returns when the sound has ended.
	Signal(ctx context.Context, s Signal) error
}

// Card is one activated card. It is for one goroutine at a time; only Close may be
// called from another one.
//
// A card serves until something goes wrong. The first failed exchange ends it: every later
// Transmit is ErrTorn and sends nothing, so that half a dialogue never goes on with
// another card that took its place. What the card did with the last command is then not
// known; the protocol on top asks it on the next tap.
type Card interface {
	// Info says what the card told of itself.
	Info() CardInfo

	// Transmit sends one command APDU (ISO/IEC 7816-4, short or extended) and returns the
	// response with its two status bytes. Status words are the caller's to judge; 61xx and
	// 6Cxx are followed up here, so the caller gets the whole answer. Where the reader
	// carries short APDUs alone, a long command of an interindustry class goes as a chain.
	// A command is never sent twice, except for 6Cxx, by which the card says that it did
	// not act on it.
	//
	// Errors: ErrIllegal for what is no command APDU, or too long for the reader (nothing was
	// sent, the card serves on); ErrTorn when the card left or went silent in the middle;
	// ErrTimeout when ctx ended; ErrNoHardware when the reader is gone.
	Transmit(ctx context.Context, command []byte) ([]byte, error)

	// WaitRemoved waits until the card has left the field; a card that was replaced by
	// another one has left. Errors: ErrTimeout when ctx ended, ErrNoHardware.
	WaitRemoved(ctx context.Context) error

	// Close deselects the card and lets the reader look for the next. It interrupts a call
	// under way. Closing again is a success.
	Close() error
}

// CardInfo is what a card tells when it is activated.
type CardInfo struct {
	// UID is 4, 7 or 10 bytes; phones make a new one for each tap.
	UID []byte
	// ATS is the answer to select of ISO 14443-4, without CRC; empty when the reader keeps it.
	ATS []byte
}

// Signal is what a reader tells the person who taps.
type Signal string

// The signals.
const (
	SignalReady   Signal = "ready"   // hold your card to the reader
	SignalWorking Signal = "working" // do not take it away
	SignalDone    Signal = "done"    // taken; the card may go
	SignalRefused Signal = "refused" // not taken
	SignalOff     Signal = "off"     // nothing is wanted
)

// Check refuses a signal that is none.
func (s Signal) Check() error {
	switch s {
	case SignalReady, SignalWorking, SignalDone, SignalRefused, SignalOff:
		return nil
	}
	return fmt.Errorf("signal %q: want ready, working, done, refused or off", string(s))
}

// Text says the signal in two languages, for screens beside the reader.
func (s Signal) Text() pos.Text {
	switch s {
	case SignalReady:
		return pos.Text{ZH: "请将卡片或手机靠近感应区", EN: "Hold the card or phone to the reader"}
	case SignalWorking:
		return pos.Text{ZH: "正在读取,请勿移开", EN: "Reading, keep it there"}
	case SignalDone:
		return pos.Text{ZH: "完成,请取走", EN: "Done, take it away"}
	case SignalRefused:
		return pos.Text{ZH: "未受理", EN: "Not accepted"}
	case SignalOff:
	}
	return pos.Text{}
}
