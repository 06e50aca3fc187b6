package campaign

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"dcpos/pos"
)

var (
	nameForm        = regexp.MustCompile(`^[a-z][a-z0-9-]{2,39}$`)
	stratumForm     = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)
	institutionForm = regexp.MustCompile(`^[A-Z0-9]{2,12}$`)
	areaForm        = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}\.geojson$`)
)

// Check refuses a definition that cannot be published; errors are pos.ErrConfig and name the field.
func (d Definition) Check() error {
	switch {
	case !nameForm.MatchString(d.Name):
		return refuse("name", fmt.Errorf("%.40q: want %s", d.Name, nameForm))
	case d.Title.ZH == "" || d.Title.EN == "" || d.City.ZH == "" || d.City.EN == "":
		return refuse("title", errors.New("want title and city in zh and en"))
	case !d.Env.Valid():
		return refuse("env", fmt.Errorf("%.8q: want live or lab", d.Env))
	case d.Funding == "":
		return refuse("funding", errors.New("want the account that pays"))
	case len(d.Sources) == 0:
		return refuse("sources", errors.New("want where the figures are from"))
	}
	for _, check := range []func() error{
		d.checkWindows, d.checkPresence, d.Registration.check, d.checkTiers, d.checkStrata, d.checkInstitutions, d.Scope.check,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (d Definition) checkWindows() error {
	shanghai := func(t time.Time) string { return t.In(pos.Shanghai()).Format(time.DateTime) }
	for _, w := range []struct {
		field string
		Window
	}{{"register", d.Register}, {"spend", d.Spend}} {
		switch {
		case w.From.IsZero() && w.Until.IsZero():
			return refuse(w.field, fmt.Errorf("want the window in which to %s", w.field))
		case !w.From.Before(w.Until):
			return refuse(w.field, fmt.Errorf("ends at %s and begins at %s: want an end after the beginning", shanghai(w.Until), shanghai(w.From)))
		}
	}
	if d.Spend.From.Before(d.Register.Until) {
		return refuse("spend", fmt.Errorf("begins at %s, before registration ends at %s", shanghai(d.Spend.From), shanghai(d.Register.Until)))
	}
	return nil
}

func (d Definition) checkPresence() error {
	switch d.Presence {
	case Anywhere, Resident:
		if d.Fence != "" {
			return refuse("fence", fmt.Errorf("presence %s looks at no fence", d.Presence))
		}
		return nil
	case AtRegistration:
		if !areaForm.MatchString(d.Fence) {
			return refuse("fence", fmt.Errorf("%.40q: want the name of a .geojson file", d.Fence))
		}
		return nil
	}
	return refuse("presence", fmt.Errorf("%.20q: want anywhere, at_registration or resident", d.Presence))
}

func (d Definition) checkTiers() error {
	if len(d.Tiers) == 0 || len(d.Tiers) > maxTiers {
		return refuse("tiers", fmt.Errorf("want 1 to %d", maxTiers))
	}
	for i, t := range d.Tiers {
		field := fmt.Sprintf("tiers[%d]", i)
		if c := t.Coupon; c != nil {
			switch {
			case t.Face != 0:
				return refuse(field+".face_fen", errors.New("a coupon has none"))
			case c.Off < 1 || c.Off > c.Threshold:
				return refuse(field+".coupon.off_fen", fmt.Errorf("%s off %s: want something, and no more than the threshold", c.Off, c.Threshold))
			case c.Threshold > pos.MaxAmount/100:
				return refuse(field+".coupon.threshold_fen", fmt.Errorf("%s: at most %s", c.Threshold, pos.MaxAmount/100))
			}
		} else if t.Face < 1 || t.Face > pos.MaxAmount/100 {
			return refuse(field+".face_fen", fmt.Errorf("%s: want more than nothing, at most %s", t.Face, pos.MaxAmount/100))
		}
		if t.Count < 1 || t.Count > maxCount {
			return refuse(field+".count", fmt.Errorf("%d: want 1 to %d", t.Count, maxCount))
		}
		if slices.ContainsFunc(d.Tiers[:i], func(other Tier) bool { return other.Value() == t.Value() }) {
			return refuse(field, fmt.Errorf("another tier is worth %s too: winners are told apart by it", t.Value()))
		}
	}
	if d.Total() > d.Budget {
		return refuse("budget_fen", fmt.Errorf("envelopes are worth %s, the budget is %s", d.Total(), d.Budget))
	}
	if d.Waiting < 0 || d.Waiting > maxCount {
		return refuse("waiting", fmt.Errorf("%d: want 0 to %d", d.Waiting, maxCount))
	}
	return nil
}

func (d Definition) checkStrata() error {
	if d.Unfilled != "return" && d.Unfilled != "share" {
		return refuse("unfilled", fmt.Errorf("%.20q: want return or share", d.Unfilled))
	}
	if len(d.Strata) > maxStrata {
		return refuse("strata", fmt.Errorf("at most %d", maxStrata))
	}
	var quota int64
	names := map[string]bool{}
	for i, s := range d.Strata {
		field := fmt.Sprintf("strata[%d]", i)
		switch {
		case !stratumForm.MatchString(s.Name) || names[s.Name]:
			return refuse(field+".name", fmt.Errorf("%.40q stands twice, or is not %s", s.Name, stratumForm))
		case s.Count < 1 || s.Count > maxCount:
			return refuse(field+".count", fmt.Errorf("%d: want 1 to %d", s.Count, maxCount))
		case !slices.Contains([]Who{Anyone, Residents, Visitors, Foreigners}, s.Who):
			return refuse(field+".who", fmt.Errorf("%.20q: want anyone, residents, visitors or foreigners", s.Who))
		}
		names[s.Name] = true
		quota += s.Count
	}
	if len(d.Strata) > 0 && quota != d.Envelopes() {
		return refuse("strata", fmt.Errorf("quotas are %d, envelopes %d", quota, d.Envelopes()))
	}
	return nil
}

func (d Definition) checkInstitutions() error {
	if len(d.Institutions) == 0 {
		return refuse("institutions", errors.New("want at least one"))
	}
	var places int64
	limited := true
	seen := map[string]bool{}
	for i, in := range d.Institutions {
		field := fmt.Sprintf("institutions[%d]", i)
		if !institutionForm.MatchString(in.Code) || seen[in.Code] {
			return refuse(field+".code", fmt.Errorf("%.20q stands twice, or is not %s", in.Code, institutionForm))
		}
		if in.Quota < 0 || in.Quota > maxCount {
			return refuse(field+".quota", fmt.Errorf("%d: want 0 to %d", in.Quota, maxCount))
		}
		seen[in.Code] = true
		places += in.Quota
		limited = limited && in.Quota > 0
	}
	if limited && places < d.Envelopes() {
		return refuse("institutions", fmt.Errorf("quotas are %d, envelopes %d: some could never be won", places, d.Envelopes()))
	}
	return nil
}

func (s Scope) check() error {
	for _, l := range []struct {
		field string
		list  []string
	}{{"scope.merchants", s.Merchants}, {"scope.stores", s.Stores}, {"scope.categories", s.Categories}} {
		if len(l.list) == 0 || len(l.list) > maxList {
			return refuse(l.field, fmt.Errorf("want 1 to %d names, or \"*\"", maxList))
		}
		if len(l.list) > 1 && slices.Contains(l.list, "*") || slices.Contains(l.list, "") {
			return refuse(l.field, errors.New("\"*\" stands alone, and no name is empty"))
		}
	}
	if len(s.Channels) == 0 {
		return refuse("scope.channels", errors.New("want in_store, online or both"))
	}
	for _, c := range s.Channels {
		if c != InStore && c != Online {
			return refuse("scope.channels", fmt.Errorf("%.20q: want in_store or online", c))
		}
	}
	return nil
}

// Known is what exists at the centre.
type Known struct {
	Merchants, Stores, Institutions []string
}

// CheckKnown refuses what names a merchant, store or institution that does not exist.
func (d Definition) CheckKnown(k Known) error {
	codes := make([]string, len(d.Institutions))
	for i, in := range d.Institutions {
		codes[i] = in.Code
	}
	for _, l := range []struct {
		field       string
		named, have []string
	}{{"scope.merchants", d.Scope.Merchants, k.Merchants}, {"scope.stores", d.Scope.Stores, k.Stores}, {"institutions", codes, k.Institutions}} {
		have := map[string]bool{"*": true}
		for _, name := range l.have {
			have[name] = true
		}
		for i, name := range l.named {
			if !have[name] {
				return refuse(fmt.Sprintf("%s[%d]", l.field, i), fmt.Errorf("%.40q does not exist", name))
			}
		}
	}
	return nil
}
