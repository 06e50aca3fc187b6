package profiles

import "dcpos/pos"

// Class is a class of terminal: what stands on the counter, what the screen shows
// and how the till behaves unless its own configuration or the centre's policy says
// otherwise.
type Class struct {
	Name     string        `yaml:"-"` // the file's name without .yaml
	Kind     Kind          `yaml:"kind"`
	Title    Title         `yaml:"title"`
	Devices  []ClassDevice `yaml:"devices"`
	Screen   Screen        `yaml:"screen"`
	Defaults Defaults      `yaml:"defaults"`
	Notes    string        `yaml:"notes"`
}

// Title is the class's name for people.
type Title struct {
	ZH string `yaml:"zh"`
	EN string `yaml:"en"`
}

// Text is the title as pos has it.
func (t Title) Text() pos.Text { return pos.Text{ZH: t.ZH, EN: t.EN} }

// ClassDevice is one device that terminals of the class have.
type ClassDevice struct {
	Role     string   `yaml:"role"`     // the name in the till's configuration, such as "printer"
	Kind     Kind     `yaml:"kind"`     // printer, scanner, nfc, linedisplay
	Required bool     `yaml:"required"` // without it the till says so and does not sell
	Profiles []string `yaml:"profiles"` // usual models, the first is the default
}

// Screen is what the terminal shows.
type Screen struct {
	// Layout is cashier (a cashier's side), kiosk (the customer's own), handheld (small,
	// upright, both turn by turn), twin (a cashier's and a customer's side), none.
	Layout string `yaml:"layout"`
	// IdleResetS takes the screen back to its start after so many seconds without a touch; 0 never.
	IdleResetS int `yaml:"idle_reset_s"`
	// Language is the first language: zh or en.
	Language string `yaml:"language"`
}

// Defaults are the class's settings.
type Defaults struct {
	// StoreAndForward: payments may be stored at the merchant's risk while the network is away.
	StoreAndForward bool `yaml:"store_and_forward"`
	// WalletEvidence: evidence signed by a wallet is taken while the network is away.
	WalletEvidence bool `yaml:"wallet_evidence"`
	// Receipt is always, ask or never.
	Receipt string `yaml:"receipt"`
	// OpenDrawer opens the cash drawer on a refund paid out in cash and on request.
	OpenDrawer bool `yaml:"open_drawer"`
	// OperatorLogin: an operator logs in before selling.
	OperatorLogin bool `yaml:"operator_login"`
}
