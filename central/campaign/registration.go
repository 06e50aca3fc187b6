package campaign

import (
	"errors"
	"fmt"
	"slices"
)

// Registration is how people register.
type Registration struct {
	// CodeHours is how long a confirmation code is good, and never beyond the close.
	CodeHours int `yaml:"code_hours" json:"code_hours"`
	// Ambiguous decides at the close about positions that never became clear.
	Ambiguous Ambiguous `yaml:"ambiguous" json:"ambiguous"`
	MinAge    int       `yaml:"min_age" json:"min_age"` // in years on the day of registration; 0: none. Documents that do not show it pass.
	// Documents are the kinds of identity that are taken.
	Documents []Document `yaml:"documents" json:"documents"`
	// KeepDays is for how many days after the spend window personal data can be read.
	KeepDays int `yaml:"keep_days" json:"keep_days"`
}

// Ambiguous is a rule about positions that never became clear.
type Ambiguous string

// The rules.
const (
	AcceptAmbiguous Ambiguous = "accept"
	RefuseAmbiguous Ambiguous = "refuse"
)

// Document is a kind of identity.
type Document string

// The kinds.
const (
	ResidentID         Document = "resident_id"
	PermanentResidence Document = "permanent_residence" // of a foreigner, the 2017 and the 2023 form
	Passport           Document = "passport"
	HKMacaoPermit      Document = "hk_macao_permit"
	TaiwanPermit       Document = "taiwan_permit"
)

// Documents lists all kinds.
func Documents() []Document {
	return []Document{ResidentID, PermanentResidence, Passport, HKMacaoPermit, TaiwanPermit}
}

func (r Registration) check() error {
	switch {
	case r.CodeHours < 1 || r.CodeHours > 72:
		return refuse("registration.code_hours", fmt.Errorf("%d: want 1 to 72", r.CodeHours))
	case r.Ambiguous != AcceptAmbiguous && r.Ambiguous != RefuseAmbiguous:
		return refuse("registration.ambiguous", fmt.Errorf("%.20q: want accept or refuse", r.Ambiguous))
	case r.MinAge < 0 || r.MinAge > 99:
		return refuse("registration.min_age", fmt.Errorf("%d: want 0 to 99", r.MinAge))
	case r.KeepDays < 1 || r.KeepDays > 3650:
		return refuse("registration.keep_days", fmt.Errorf("%d: want 1 to 3650", r.KeepDays))
	case len(r.Documents) == 0:
		return refuse("registration.documents", errors.New("want at least one"))
	}
	for i, d := range r.Documents {
		if !slices.Contains(Documents(), d) || slices.Contains(r.Documents[:i], d) {
			return refuse("registration.documents", fmt.Errorf("%.24q is not known, or stands twice", d))
		}
	}
	return nil
}
