package drivers

import "context"

// Names of further categories of UnifiedPOS.
const (
	CategoryLineDisplay   = "LineDisplay"
	CategoryToneIndicator = "ToneIndicator"
)

// LineDisplay is the UnifiedPOS category of customer displays: a few lines of
// characters that face the customer.
type LineDisplay interface {
	Device

	// Show replaces what the display shows. Lines beyond Rows are left out, longer ones are
	// cut at a whole character. Showing the same again sends nothing. Errors: ErrNoHardware,
	// ErrOffline; a display that answers nothing cannot fail otherwise.
	Show(ctx context.Context, lines []string) error

	// Clear shows nothing.
	Clear(ctx context.Context) error

	// Size is how many Latin characters fit a row, and how many rows there are. A Chinese
	// character takes two.
	Size() (columns, rows int)

	// Chinese reports whether it shows Chinese; without it, callers show English.
	Chinese() bool
}

// Tone is a sound pattern.
type Tone string

// The tones.
const (
	ToneGood      Tone = "good"      // one short: taken
	ToneBad       Tone = "bad"       // two long: refused
	ToneAttention Tone = "attention" // three short: somebody is wanted
)

// ToneIndicator is the UnifiedPOS category of buzzers, and here of the lamp beside one
// (UnifiedPOS: Lights), which shows the same patterns where it is loud. A buzzer without a port of its
// own sits in a printer, whose driver implements this too where its profile has one.
type ToneIndicator interface {
	// Sound sounds a tone and does not wait for its end. ErrIllegal: there is neither.
	Sound(ctx context.Context, t Tone) error
}
