package profiles

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes is far above any profile; a larger file is a mistake.
const maxFileBytes = 256 << 10

// ParsePrinter reads a printer profile. Errors name file, line and field; a key that
// is not known is an error.
func ParsePrinter(file string, data []byte) (Printer, error) {
	var p Printer
	doc, err := decode(file, data, &p)
	if err != nil {
		return Printer{}, err
	}
	p.Name = nameOf(file)
	return p, doc.check(p.rules())
}

// ParseScanner reads a scanner profile, as strictly as ParsePrinter.
func ParseScanner(file string, data []byte) (Scanner, error) {
	var s Scanner
	doc, err := decode(file, data, &s)
	if err != nil {
		return Scanner{}, err
	}
	s.Name = nameOf(file)
	return s, doc.check(s.rules())
}

// ParseNFC reads a reader profile, as strictly as ParsePrinter.
func ParseNFC(file string, data []byte) (NFC, error) {
	var n NFC
	doc, err := decode(file, data, &n)
	if err != nil {
		return NFC{}, err
	}
	n.Name = nameOf(file)
	return n, doc.check(n.rules())
}

// ParseClass reads a terminal class, as strictly as ParsePrinter.
func ParseClass(file string, data []byte) (Class, error) {
	var c Class
	doc, err := decode(file, data, &c)
	if err != nil {
		return Class{}, err
	}
	c.Name = nameOf(file)
	return c, doc.check(c.rules())
}

// Check validates a profile of any kind, told by its key "kind".
func Check(file string, data []byte) (Kind, error) {
	var head struct {
		Kind Kind `yaml:"kind"`
	}
	if err := yaml.Unmarshal(data, &head); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	var err error
	switch head.Kind {
	case KindPrinter:
		_, err = ParsePrinter(file, data)
	case KindScanner:
		_, err = ParseScanner(file, data)
	case KindNFC:
		_, err = ParseNFC(file, data)
	case KindClass:
		_, err = ParseClass(file, data)
	case KindDisplay:
		fallthrough
	default:
		err = fmt.Errorf("%s: kind: %q, want printer, scanner, nfc or class", file, head.Kind)
	}
	return head.Kind, err
}

func nameOf(file string) string { return strings.TrimSuffix(path.Base(file), ".yaml") }

// document keeps the parsed tree, to tell the line of a field.
type document struct {
	file string
	root *yaml.Node
}

func decode(file string, data []byte, into any) (document, error) {
	if len(data) > maxFileBytes {
		return document{}, fmt.Errorf("%s: %d bytes, at most %d", file, len(data), maxFileBytes)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return document{}, explain(file, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return document{}, fmt.Errorf("%s: more than one document", file)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return document{}, explain(file, err)
	}
	return document{file: file, root: &root}, nil
}

var unknownKey = regexp.MustCompile(`^line (\d+): field (\S+) not found in type`)

// explain puts file and line first and takes the Go types out of the library's words.
func explain(file string, err error) error {
	typed, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	out := make([]error, 0, len(typed.Errors))
	for _, e := range typed.Errors {
		if m := unknownKey.FindStringSubmatch(e); m != nil {
			out = append(out, fmt.Errorf("%s:%s: unknown key %q", file, m[1], m[2]))
			continue
		}
		line, what, _ := strings.Cut(strings.TrimPrefix(e, "line "), ": ")
		out = append(out, fmt.Errorf("%s:%s: %s", file, line, what))
	}
	return errors.Join(out...)
}

// rule is one condition on one field.
type rule struct {
	field string // "serial.baud"
	ok    bool
	want  string
}

func oneOf[T ~string](field string, got T, allowed ...T) rule {
	ok := false
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
		ok = ok || got == a
	}
	return rule{field, ok, strings.Join(words, ", ")}
}

func between(field string, got, low, high int) rule {
	return rule{field, got >= low && got <= high, fmt.Sprintf("%d to %d", low, high)}
}

func filled(field, got string) rule { return rule{field, strings.TrimSpace(got) != "", "a text"} }

func (d document) check(rules []rule) error {
	var wrong []error
	for _, r := range rules {
		if !r.ok {
			wrong = append(wrong, fmt.Errorf("%s:%d: %s: want %s", d.file, d.line(r.field), r.field, r.want))
		}
	}
	return errors.Join(wrong...)
}

// line finds a field's line; that of the nearest parent when the field is absent.
func (d document) line(field string) int {
	node := d.root
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	line := node.Line
	for key := range strings.SplitSeq(field, ".") {
		next := child(node, key)
		if next == nil {
			return line
		}
		node, line = next, next.Line
	}
	return line
}

func child(node *yaml.Node, key string) *yaml.Node {
	if node.Kind == yaml.SequenceNode {
		var i int
		if _, err := fmt.Sscanf(key, "%d", &i); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i]
		}
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// factRules demand a source for every section that says something about the model.
func factRules(facts map[string]Fact, profile any, sections ...string) []rule {
	var rules []rule
	for _, s := range sections {
		f, ok := facts[s]
		if !ok {
			if !sectionIsZero(profile, s) {
				rules = append(rules, rule{"facts", false, fmt.Sprintf("source and confidence for %q", s)})
			}
			continue
		}
		rules = append(rules, filled("facts."+s+".source", f.Source),
			oneOf("facts."+s+".confidence", f.Confidence, Documented, Reported, Assumed, Measured))
	}
	for name := range facts {
		if !hasSection(sections, name) {
			rules = append(rules, rule{"facts." + name, false, "a key of this profile: " + strings.Join(sections, ", ")})
		}
	}
	return rules
}

func hasSection(sections []string, name string) bool {
	for _, s := range sections {
		if s == name {
			return true
		}
	}
	return false
}

func sectionIsZero(profile any, section string) bool {
	v := reflect.ValueOf(profile)
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == section {
			return v.Field(i).IsZero()
		}
	}
	return true
}
