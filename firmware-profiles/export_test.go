package profiles

// Condition is one rule as the schema needs it: the field's path and what it wants.
type Condition struct{ Field, Want string }

// Conditions are the rules that a file is held to.
func Conditions(kind Kind, file string, data []byte) ([]Condition, error) {
	var rules []rule
	var err error
	switch kind {
	case KindPrinter:
		var p Printer
		p, err = ParsePrinter(file, data)
		rules = p.rules()
	case KindScanner:
		var s Scanner
		s, err = ParseScanner(file, data)
		rules = s.rules()
	case KindNFC:
		var n NFC
		n, err = ParseNFC(file, data)
		rules = n.rules()
	case KindDisplay:
		var l LineDisplay
		l, err = ParseLineDisplay(file, data)
		rules = l.rules()
	case KindClass:
		var c Class
		c, err = ParseClass(file, data)
		rules = c.rules()
	}
	out := make([]Condition, len(rules))
	for i, r := range rules {
		out[i] = Condition{r.field, r.want}
	}
	return out, err
}
