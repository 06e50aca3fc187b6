package profiles

// LineDisplay is one model of customer display.
type LineDisplay struct {
	Name     string          `yaml:"-"` // the file's name without .yaml
	Kind     Kind            `yaml:"kind"`
	Driver   string          `yaml:"driver"` // a name in drivers/all
	Products []Product       `yaml:"products"`
	Match    Match           `yaml:"match"`
	Serial   Serial          `yaml:"serial"`
	Size     DisplaySize     `yaml:"size"`
	CJK      CJK             `yaml:"cjk"`   // Encoding "none": Latin alone
	Lineage  `yaml:",inline"`
	Facts    map[string]Fact `yaml:"facts"` // by top-level key: where it comes from
	Notes    string          `yaml:"notes"`
}

// DisplaySize is how much fits.
type DisplaySize struct {
	Columns int `yaml:"columns"` // Latin characters in a row
	Rows    int `yaml:"rows"`
}
