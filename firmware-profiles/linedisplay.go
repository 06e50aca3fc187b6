package profiles

// LineDisplay is one model of customer display.
type LineDisplay struct {
	Lineage `yaml:",inline"`

	Name     string    `yaml:"-"` // the file's name without .yaml
	Kind     Kind      `yaml:"kind"`
	Driver   string    `yaml:"driver"` // a name in drivers/all
	Products []Product `yaml:"products"`
	Match    Match     `yaml:"match"`
	// Language is epson-dm (Epson DM-D series), cd5220 (CD5220 mode of the VFD displays made in
	// Taiwan and China) or led8 (eight digits that show an amount).
	Language string `yaml:"language"`
	// Labels is how a led8 lights the lamp beside 单价, 合计, 收款 and 找零: esc_s (ESC s n),
	// stx_l (STX L d1 d2 d3 d4), or none (also when empty).
	Labels string `yaml:"labels"`
	// Select is true when the display shares its line with a printer: ESC = 2 goes before, and
	// ESC = 1 after what is for the display.
	Select bool            `yaml:"select"`
	Serial Serial          `yaml:"serial"`
	Size   DisplaySize     `yaml:"size"`
	CJK    CJK             `yaml:"cjk"`   // Encoding "none": Latin alone
	Facts  map[string]Fact `yaml:"facts"` // by top-level key: where it comes from
	Notes  string          `yaml:"notes"`
}

// DisplaySize is how much fits.
type DisplaySize struct {
	Columns int `yaml:"columns"` // Latin characters in a row
	Rows    int `yaml:"rows"`
}
