package framing

import (
	"encoding/hex"
	"slices"

	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

const (
	// learnIdleMS ends a code by silence as long as it is not known how codes end: far
	// longer than a bridge pauses within a code, and short enough for a customer.
	learnIdleMS = 250
	// idleMS ends a code once it is known that nothing else does.
	idleMS = 100
	// sureEnds and sureSilences are how many codes in a row must end alike. A silence
	// proves less: a cable may have lost an end.
	sureEnds     = 2
	sureSilences = 3
	surePrefixes = 2
)

// learner finds out how a scanner frames its codes.
//
// While it is not sure, CR and LF end a code and so does silence. Once it is, only what
// it learned does, so that a code that is delivered in pieces is never cut, and one of
// several lines is never taken apart.
type learner struct {
	codes    int    // codes heard
	end      string // what ended the last codes
	alike    int    // how many in a row
	sure     bool
	sureAt   int
	prefix   string
	prefixes int // codes in a row that began with prefix, while it is not taken off
}

// rules are the framing while nothing is known.
func (l *learner) rules(r profiles.Framing) profiles.Framing {
	r.End, r.IdleMS, r.AIM = []string{"\r", "\n"}, learnIdleMS, true
	return r
}

// ended counts what ended a code ("" for silence) and says how the next ones are framed.
func (l *learner) ended(by string, r profiles.Framing) profiles.Framing {
	l.codes++
	if by != l.end {
		if l.sure && !slices.Contains(r.End, by) && by != "" {
			return r // an LF after the learned CR, or the like: not an end of its own
		}
		if l.sure {
			r = l.again(r)
		}
		l.end, l.alike = by, 0
	}
	l.alike++
	if by != "" {
		r.IdleMS = 0 // it sends ends: a silence within a code means nothing
	}
	need := sureEnds
	if by == "" {
		need = sureSilences
	}
	if l.sure || l.alike < need {
		return r
	}
	l.sure, l.sureAt = true, l.codes
	if by == "" {
		r.IdleMS = idleMS
		return r
	}
	r.End = []string{by}
	return r
}

// again forgets the end, because it did not come.
func (l *learner) again(r profiles.Framing) profiles.Framing {
	l.end, l.alike, l.sure = "", 0, false
	return l.rules(r)
}

// prefixed looks at the first byte of a code as it came. A control byte that can be in no
// code and stands before each is a prefix.
func (l *learner) prefixed(code []byte, r profiles.Framing) profiles.Framing {
	first := string(code[:1])
	switch {
	case r.Prefix != "" && first == r.Prefix:
		l.prefixes = surePrefixes
	case r.Prefix != "":
		if l.prefixes--; l.prefixes <= 0 {
			r.Prefix, l.prefix = "", "" // the box was set anew
		}
	case broken(code[:1]) < 0 || code[0] >= 0x20 || !plain(code[1:]):
		l.prefix, l.prefixes = "", 0
	case first == l.prefix:
		if l.prefixes++; l.prefixes >= surePrefixes {
			r.Prefix = first
		}
	default:
		l.prefix, l.prefixes = first, 1
	}
	return r
}

// learned is what is known; false while it is not sure.
func (l *learner) learned() (drivers.LearnedFraming, bool) {
	if l == nil || !l.sure {
		return drivers.LearnedFraming{}, false
	}
	end, ok := drivers.EndOf(l.end)
	f := drivers.LearnedFraming{Framing: drivers.Framing{End: end}, Codes: l.sureAt}
	if l.prefixes >= surePrefixes {
		f.Prefix = hex.EncodeToString([]byte(l.prefix))
	}
	return f, ok
}

// recall takes up what was learned in an earlier life, as if the codes had come just now.
func (l *learner) recall(f drivers.LearnedFraming, r profiles.Framing) profiles.Framing {
	l.sure, l.end, l.codes, l.sureAt = true, f.End.Bytes(), f.Codes, f.Codes
	l.alike = max(sureEnds, sureSilences)
	if l.prefix = f.PrefixBytes(); l.prefix != "" {
		l.prefixes, r.Prefix = surePrefixes, l.prefix
	}
	if r.IdleMS = idleMS; l.end != "" {
		r.End, r.IdleMS = []string{l.end}, 0
	}
	return r
}

// Fixed is a profile's framing with the one that a till's configuration names instead. An
// AIM identifier that comes is taken off.
func Fixed(r profiles.Framing, f drivers.Framing) profiles.Framing {
	r.Learn, r.Prefix, r.AIM = false, f.PrefixBytes(), true
	if r.End, r.IdleMS = nil, idleMS; f.End != drivers.EndIdle {
		r.End, r.IdleMS = []string{f.End.Bytes()}, 0
	}
	return r
}
