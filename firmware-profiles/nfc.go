package profiles

import "time"

// NFC is one model of contactless reader.
type NFC struct {
	Name     string       `yaml:"-"` // the file's name without .yaml
	Kind     Kind         `yaml:"kind"`
	Driver   string       `yaml:"driver"` // a name in drivers/all: pcsc, ccid, pn532
	Products []Product    `yaml:"products"`
	Match    Match        `yaml:"match"`
	Serial   Serial       `yaml:"serial"`
	USB      USBInterface `yaml:"usb"`
	Signals  NFCSignals   `yaml:"signals"`
	Timing   NFCTiming    `yaml:"timing"`
	Lineage  `yaml:",inline"`
	Facts    map[string]Fact `yaml:"facts"` // by top-level key: where it comes from
	Notes    string          `yaml:"notes"`
}

// NFCSignals says how the reader shows and sounds what became of a tap.
type NFCSignals struct {
	// Language is "acr122u" (pseudo-APDU FF 00 40 P2 04 T1 T2 n link) or empty: no signals.
	Language string `yaml:"language"`
	// QuietDetect switches off the beep that the reader gives by itself for every card.
	QuietDetect bool `yaml:"quiet_detect"`
}

// NFCTiming is how long to wait, in milliseconds.
type NFCTiming struct {
	AnswerMS int `yaml:"answer_ms"` // for the reader itself to answer
	CardMS   int `yaml:"card_ms"`   // for a card to answer one APDU
	PollMS   int `yaml:"poll_ms"`   // between two looks for a card, where the reader does not tell by itself
}

// Answer is how long to wait for the reader itself.
func (t NFCTiming) Answer() time.Duration { return milliseconds(t.AnswerMS) }

// Card is how long to wait for a card's answer to one APDU.
func (t NFCTiming) Card() time.Duration { return milliseconds(t.CardMS) }

// Poll is the pause between two looks for a card.
func (t NFCTiming) Poll() time.Duration { return milliseconds(t.PollMS) }
