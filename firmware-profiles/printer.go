package profiles

import "time"

// Printer is one model of receipt printer.
type Printer struct {
	Lineage `yaml:",inline"`

	Name     string    `yaml:"-"` // the file's name without .yaml
	Kind     Kind      `yaml:"kind"`
	Driver   string    `yaml:"driver"` // a name in drivers/all
	Products []Product `yaml:"products"`
	Match    Match     `yaml:"match"`
	Paper    Paper     `yaml:"paper"`
	CJK      CJK       `yaml:"cjk"`
	Status   Status    `yaml:"status"`
	QR       QR        `yaml:"qr"`
	// Pictures is the command that prints dots: raster (GS v 0; also when empty), graphics
	// (GS ( L, functions 112 and 50) or column (ESC * 33, for heads without a raster command).
	Pictures string `yaml:"pictures"`
	// Cutter is none, or how the paper is cut: partial or full where it stands (GS V 0, 1),
	// partial_feed or full_feed after the printer's own feed to the cutter (GS V 65, 66).
	Cutter string `yaml:"cutter"`
	Drawer Drawer `yaml:"drawer"`
	// Buzzer is the command of the built-in buzzer: esc_b (ESC B n t), or none (also when empty).
	Buzzer string `yaml:"buzzer"`
	// Lamp is the command of the alarm lamp that some kitchen printers have: esc_c (ESC C m t n,
	// which sounds the buzzer along with it), or none (also when empty).
	Lamp   string          `yaml:"lamp"`
	Serial Serial          `yaml:"serial"`
	USB    USBInterface    `yaml:"usb"`
	Quirks PrinterQuirks   `yaml:"quirks"`
	Timing PrinterTiming   `yaml:"timing"`
	Facts  map[string]Fact `yaml:"facts"` // by top-level key: where it comes from
	Notes  string          `yaml:"notes"`
}

// Paper is the paper and the head.
type Paper struct {
	WidthMM int `yaml:"width_mm"`
	Dots    int `yaml:"dots"`    // printable dots in a row
	DPI     int `yaml:"dpi"`     // dots per inch
	Columns int `yaml:"columns"` // characters of font A in a line
}

// CJK is how the printer takes Chinese.
type CJK struct {
	// Encoding is what the printer's Chinese font has: gb2312, gbk or gb18030; none for a
	// printer of Latin letters, on which lines with Chinese are drawn.
	Encoding string `yaml:"encoding"`
	// Ask is true when the printer tells its font (GS I 69, else GS I 2 bit 0): then the answer
	// counts and Encoding is what holds without one.
	Ask bool `yaml:"ask"`
	// FourByte is true when the font is known to have the four-byte characters of GB 18030;
	// without it a line with one of them is drawn.
	FourByte bool   `yaml:"four_byte"`
	On       string `yaml:"on"`  // bytes that switch the Chinese font on, usually FS &
	Off      string `yaml:"off"` // bytes that switch it off, usually FS .
	// Around is when On is sent: "job" once after every initialisation, "run" with Off
	// around each run of Chinese.
	Around string `yaml:"around"`
	// FSSize is true when GS ! does not enlarge Chinese and FS ! is needed as well.
	FSSize bool `yaml:"fs_size"`
}

// Status says which questions the printer answers. What it does not answer is not asked.
type Status struct {
	DLEEOT bool `yaml:"dle_eot"` // real-time status, 10 04 n
	ASB    bool `yaml:"asb"`     // reports by itself, 1D 61 n
	GSR    bool `yaml:"gs_r"`    // status in the order of printing, 1D 72 n
	GSI    bool `yaml:"gs_i"`    // identity, 1D 49 n
	GSH    bool `yaml:"gs_h"`    // process id response, 1D 28 48 … 30
	Clear  bool `yaml:"clear"`   // clears its buffers on 10 14 08 …
	// Resume: it keeps the rest of a job while out of paper or in error, and prints on from
	// there, where needed after 10 05 01.
	Resume bool `yaml:"resume"`
}

// QR is what the printer itself can do with QR codes.
type QR struct {
	Native    bool `yaml:"native"`     // draws them itself, 1D 28 6B
	MaxModule int  `yaml:"max_module"` // largest module in dots, 1D 28 6B … 43 n; with native
}

// Drawer is the cash drawer's connector.
type Drawer struct {
	Connector bool `yaml:"connector"`
	Pin       int  `yaml:"pin"`    // 2 or 5
	OnMS      int  `yaml:"on_ms"`  // pulse; sent in units of 2 ms
	OffMS     int  `yaml:"off_ms"` // pause after it
	// OpenLevel is the level of pin 3 when the drawer is open: high, low, or unknown
	// (then the drawer's state is never told).
	OpenLevel string `yaml:"open_level"`
}

// USBInterface overrides what the descriptors say; zero values take the descriptors'.
type USBInterface struct {
	Config    int `yaml:"config"`
	Interface int `yaml:"interface"`
	Alternate int `yaml:"alternate"`
}

// PrinterQuirks are the model's departures from the language.
type PrinterQuirks struct {
	// AvoidRowMultiple: a picture whose height is a multiple of it fails and gets PadRows
	// blank rows more (0: no such fault).
	AvoidRowMultiple int `yaml:"avoid_row_multiple"`
	PadRows          int `yaml:"pad_rows"`
	// MaxRasterRows is the highest slice of a picture the printer takes at once.
	MaxRasterRows int `yaml:"max_raster_rows"`
	// ChunkBytes is how much is sent at once, ChunkDelayMS the pause after each piece.
	ChunkBytes   int `yaml:"chunk_bytes"`
	ChunkDelayMS int `yaml:"chunk_delay_ms"`
	// ImageLosesCJK: the Chinese font is off after a picture.
	ImageLosesCJK bool `yaml:"image_loses_cjk"`
	// CutFeedLines is how many lines lie between head and cutter (or tear bar).
	CutFeedLines int `yaml:"cut_feed_lines"`
}

// PrinterTiming is how long to wait, in milliseconds.
type PrinterTiming struct {
	AnswerMS  int `yaml:"answer_ms"`  // for one status answer
	OfflineMS int `yaml:"offline_ms"` // for the first answer at all, flushing in between
	WriteMS   int `yaml:"write_ms"`   // for the printer to take one piece
	ConfirmMS int `yaml:"confirm_ms"` // for the confirmation after the last byte
}

// Answer is how long to wait for one status answer.
func (t PrinterTiming) Answer() time.Duration { return milliseconds(t.AnswerMS) }

// Offline is how long to wait for the first answer at all.
func (t PrinterTiming) Offline() time.Duration { return milliseconds(t.OfflineMS) }

// Write is how long the printer may take for one piece.
func (t PrinterTiming) Write() time.Duration { return milliseconds(t.WriteMS) }

// Confirm is how long to wait for the confirmation after the last byte.
func (t PrinterTiming) Confirm() time.Duration { return milliseconds(t.ConfirmMS) }
