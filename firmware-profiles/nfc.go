package profiles

import (
	"fmt"
	"time"
)

// NFC is one model of contactless reader.
type NFC struct {
	Name     string          `yaml:"-"` // the file's name without .yaml
	Kind     Kind            `yaml:"kind"`
	Driver   string          `yaml:"driver"` // a name in drivers/all: pcsc, ccid, pn532
	Products []Product       `yaml:"products"`
	Match    Match           `yaml:"match"`
	Serial   Serial          `yaml:"serial"`
	USB      USBInterface    `yaml:"usb"`
	Signals  NFCSignals      `yaml:"signals"`
	Timing   NFCTiming       `yaml:"timing"`
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

// readerLanguages are the drivers of readers.
func readerLanguages() []string { return []string{"pcsc", "ccid", "pn532"} }

func (n NFC) rules() []rule {
	rules := []rule{
		oneOf("kind", n.Kind, KindNFC),
		oneOf("driver", n.Driver, readerLanguages()...),
		oneOf("signals.language", n.Signals.Language, "", "acr122u"),
		{"signals.quiet_detect", !n.Signals.QuietDetect || n.Signals.Language != "", "signals.language as well"},
		{"signals.language", n.Signals.Language == "" || n.Driver != "pn532", "nothing: the chip has neither light nor buzzer"},
		{"match.pcsc", n.Driver != "pcsc" || len(n.Match.PCSC) > 0, "the beginning of the reader's name at the daemon"},
		{"serial", n.Driver != "pn532" || n.Serial != (Serial{}), "how the line is set"},
		between("timing.answer_ms", n.Timing.AnswerMS, 50, 10_000),
		between("timing.card_ms", n.Timing.CardMS, 500, 60_000),
		between("timing.poll_ms", n.Timing.PollMS, 50, 2000),
	}
	for i, name := range n.Match.PCSC {
		rules = append(rules, filled(fmt.Sprintf("match.pcsc.%d", i), name))
	}
	rules = append(rules, productRules(n.Products)...)
	rules = append(rules, matchRules(n.Match)...)
	rules = append(rules, serialRules(n.Serial)...)
	return append(rules, factRules(n.Facts, n, "match", "serial", "usb", "signals", "timing")...)
}
