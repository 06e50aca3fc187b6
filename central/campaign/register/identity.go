package register

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"dcpos/central/campaign"
	"dcpos/pos"
)

// Identity is a document in its one spelling.
type Identity struct {
	Document campaign.Document `json:"document"`
	Country  string            `json:"country,omitempty"` // of a passport, three letters (ICAO 9303)
	Number   string            `json:"number"`
	// Born is the day of birth where the number tells it, otherwise zero.
	Born time.Time `json:"-"`
}

var (
	eighteenForm = regexp.MustCompile(`^[0-9]{17}[0-9X]$`)
	oldCardForm  = regexp.MustCompile(`^[A-Z]{3}[0-9]{12}$`)
	passportForm = regexp.MustCompile(`^[A-Z0-9]{5,9}$`)
	countryForm  = regexp.MustCompile(`^[A-Z]{3}$`)
	homeForm     = regexp.MustCompile(`^([HM][0-9]{8})([0-9]{2})?$`)
	taiwanForm   = regexp.MustCompile(`^([0-9]{8})([0-9]{2})?$`)
	phoneForm    = regexp.MustCompile(`^1[3-9][0-9]{9}$`)
)

// regions are the first two digits of GB/T 2260 in resident identity cards; 81 to 83
// are residence permits of Hong Kong, Macao and Taiwan residents.
const regions = " 11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 "

var (
	errForm   = errors.New("not of the document's form")
	errDigit  = errors.New("the check digit does not fit")
	errBorn   = errors.New("no day of birth that was")
	errRegion = errors.New("no such region")

	errCountry = errors.New("want the three letters of the country that issued it")
)

// ParseIdentity reads a document's number as people type it and gives its one spelling:
// the number of issue of a travel permit falls away, so that a renewed one is the same
// person. now bounds the day of birth.
func ParseIdentity(kind campaign.Document, country, number string, now time.Time) (Identity, error) {
	id := Identity{Document: kind, Number: tidy(number)}
	var err error
	switch n := id.Number; kind {
	case campaign.ResidentID:
		id.Born, err = eighteen(n, now, 6)
		if err == nil && !strings.Contains(regions, " "+n[:2]+" ") {
			err = errRegion
		}
	case campaign.PermanentResidence:
		id.Born, err = permanentResidence(n, now)
	case campaign.Passport:
		id.Country = tidy(country)
		switch {
		case !countryForm.MatchString(id.Country):
			err = errCountry
		case !passportForm.MatchString(n):
			err = errForm
		}
	case campaign.HKMacaoPermit:
		err = permit(&id, homeForm, now, "810000", "820000")
	case campaign.TaiwanPermit:
		err = permit(&id, taiwanForm, now, "830000")
	default:
		err = fmt.Errorf("document %.24q is not known", kind)
	}
	return id, err
}

// tidy drops what people put between the digits, and writes letters large.
func tidy(s string) string {
	if len(s) > 64 {
		return ""
	}
	return strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "\u3000", "").Replace(s))
}

// eighteen reads a number of GB 11643: 17 digits and a check digit by ISO 7064 MOD 11-2,
// the day of birth at its place.
func eighteen(n string, now time.Time, birth int) (time.Time, error) {
	if !eighteenForm.MatchString(n) {
		return time.Time{}, errForm
	}
	if checkDigit(n[:17]) != n[17] {
		return time.Time{}, errDigit
	}
	born, err := time.ParseInLocation("20060102", n[birth:birth+8], pos.Shanghai())
	if err != nil || born.Year() < 1880 || born.After(now) {
		return time.Time{}, errBorn
	}
	return born, nil
}

// checkDigit is that of ISO 7064 MOD 11-2.
func checkDigit(digits string) byte {
	sum := 0
	for i := range len(digits) {
		sum = (sum + int(digits[i]-'0')) * 2 % 11
	}
	return "0123456789X"[(12-sum)%11]
}

// permanentResidence reads a foreigner's card. The form of 2023 is of GB 11643's shape:
// 9, place of application, country, day of birth. The form of 2017 is three letters of
// the country and twelve digits; its check digit's rule is not public, its year of birth
// has two digits: neither is judged.
func permanentResidence(n string, now time.Time) (time.Time, error) {
	if oldCardForm.MatchString(n) {
		if _, err := time.Parse("060102", n[7:13]); err != nil {
			return time.Time{}, errBorn
		}
		return time.Time{}, nil
	}
	born, err := eighteen(n, now, 6)
	if err == nil && n[0] != '9' {
		err = errForm
	}
	return born, err
}

// permit reads a travel permit, or the residence permit that begins with one of the regions.
func permit(id *Identity, form *regexp.Regexp, now time.Time, regions ...string) error {
	if m := form.FindStringSubmatch(id.Number); m != nil {
		id.Number = m[1]
		return nil
	}
	born, err := eighteen(id.Number, now, 6)
	if err != nil {
		return err
	}
	for _, r := range regions {
		if strings.HasPrefix(id.Number, r) {
			id.Born = born
			return nil
		}
	}
	return errRegion
}

// Foreign reports that the document is a foreigner's.
func (id Identity) Foreign() bool {
	return id.Document == campaign.Passport || id.Document == campaign.PermanentResidence
}

// Age is how many birthdays there were up to the day of now in Shanghai; -1 if the
// number does not tell.
func (id Identity) Age(now time.Time) int {
	if id.Born.IsZero() {
		return -1
	}
	now = now.In(pos.Shanghai())
	years := now.Year() - id.Born.Year()
	if now.Month() < id.Born.Month() || (now.Month() == id.Born.Month() && now.Day() < id.Born.Day()) {
		years--
	}
	return years
}

// ParsePhone reads a mobile number of the mainland, with or without +86.
func ParsePhone(s string) (string, error) {
	n := strings.TrimPrefix(tidy(s), "+86")
	if len(n) == 13 {
		n = strings.TrimPrefix(n, "86")
	}
	if !phoneForm.MatchString(n) {
		return "", errForm
	}
	return n, nil
}
