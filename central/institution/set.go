package institution

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Access is where an institution is and with which key, as the centre's
// configuration says; an empty field leaves the description's word.
type Access struct {
	BaseURL string `yaml:"base_url"`
	APIKey  string `yaml:"api_key"`
}

// Member is one institution of a Set: its description and its adapter.
type Member struct {
	Description
	Adapter Adapter
}

// Set is the institutions of a centre. It does not change after it is made.
type Set struct {
	members map[string]Member
	routes  map[string]string
	codes   []string
}

// Join puts members into a set. Codes and routes must be unique, and all members
// of one environment: mixing live and lab is ErrEnvironment.
func Join(env pos.Environment, members ...Member) (*Set, error) {
	s := &Set{members: map[string]Member{}, routes: map[string]string{}}
	for _, m := range members {
		if m.Env != env {
			return nil, pos.NewError(pos.ErrEnvironment, fmt.Errorf("institution %s is %s, this centre is %s", m.Code, m.Env, env))
		}
		if _, ok := s.members[m.Code]; ok {
			return nil, configError("code", fmt.Errorf("%s is described twice", m.Code))
		}
		for _, r := range m.Routes {
			if other, ok := s.routes[r]; ok {
				return nil, configError("routes", fmt.Errorf("%s belongs to %s and %s", r, other, m.Code))
			}
			s.routes[r] = m.Code
		}
		s.members[m.Code] = m
		s.codes = append(s.codes, m.Code)
	}
	slices.Sort(s.codes)
	return s, nil
}

// Connect makes the HTTP clients of all described institutions. access is keyed by
// code; keys that it lacks come from the description's environment variable (by
// lookup, such as os.LookupEnv) or file. An institution without a key is ErrConfig.
func Connect(env pos.Environment, all []Description, access map[string]Access,
	lookup func(string) (string, bool), now func() time.Time,
) (*Set, error) {
	members := make([]Member, 0, len(all))
	for _, d := range all {
		a, err := resolve(d, access[d.Code], lookup)
		if err != nil {
			return nil, err
		}
		members = append(members, Member{Description: d, Adapter: NewClient(d, a, now)})
	}
	for code := range access {
		if !slices.ContainsFunc(all, func(d Description) bool { return d.Code == code }) {
			return nil, configError("institutions", fmt.Errorf("%s has access but no description", code))
		}
	}
	return Join(env, members...)
}

func resolve(d Description, a Access, lookup func(string) (string, bool)) (Access, error) {
	if a.BaseURL == "" {
		a.BaseURL = d.BaseURL
	}
	if err := d.checkURL(a.BaseURL); err != nil {
		return a, fmt.Errorf("institution %s: %w", d.Code, err)
	}
	if a.APIKey == "" && d.APIKeyEnv != "" {
		a.APIKey, _ = lookup(d.APIKeyEnv)
	}
	if a.APIKey == "" && d.APIKeyFile != "" {
		key, err := readKey(d.APIKeyFile)
		if err != nil {
			return a, configError("api_key_file", fmt.Errorf("institution %s: %w", d.Code, err))
		}
		a.APIKey = key
	}
	if a.APIKey == "" {
		return a, configError("api_key_env", fmt.Errorf("institution %s has no key in %s", d.Code, d.APIKeyEnv))
	}
	return a, nil
}

func readKey(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("open key: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, 4097))
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	if len(b) > 4096 {
		return "", errors.New("key is longer than 4096 bytes")
	}
	return strings.TrimSpace(string(b)), nil
}

// Member finds an institution by its code.
func (s *Set) Member(code string) (Member, bool) {
	m, ok := s.members[code]
	return m, ok
}

// Codes lists the institutions, sorted.
func (s *Set) Codes() []string { return slices.Clone(s.codes) }

// codeLength and codePrefix are those of a payer's digital-yuan code: 19 digits
// that start with 01 (public merchant documentation of the pilot).
const (
	codeLength = 19
	codePrefix = "01"
)

// Instruments lists what the descriptions mark as forwardable, by institution.
func (s *Set) Instruments() []pos.Instrument {
	var list []pos.Instrument
	for _, code := range s.codes {
		for _, i := range s.members[code].Forwardable {
			list = append(list, pos.Instrument{Institution: code, Name: i.Name, ValidMS: i.Validity.Milliseconds()})
		}
	}
	return list
}

// Route finds the institution of a payment code by digits 3 to 5, that of a forwardable code
// by its name. ErrBadCode for what is neither or belongs to nobody here; the error never holds
// the code.
func (s *Set) Route(code string) (Member, error) {
	if c, err := dcep.ParseForward(code); err == nil {
		m, ok := s.members[c.Institution]
		if !ok {
			return Member{}, pos.FieldError(pos.ErrBadCode, "code", fmt.Errorf("institution %s is not described here", c.Institution))
		}
		return m, nil
	}
	if len(code) != codeLength || !strings.HasPrefix(code, codePrefix) ||
		strings.ContainsFunc(code, func(r rune) bool { return r < '0' || r > '9' }) {
		return Member{}, pos.FieldError(pos.ErrBadCode, "code", errors.New("want 19 digits that start with 01"))
	}
	route := code[len(codePrefix):5]
	m, ok := s.members[s.routes[route]]
	if !ok {
		return Member{}, pos.FieldError(pos.ErrBadCode, "code", fmt.Errorf("route %s belongs to no institution here", route))
	}
	return m, nil
}
