package profiles

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes is far above any profile; a larger file is a mistake.
const maxFileBytes = 256 << 10

// ParsePrinter reads a printer profile and adds what it is like. Errors name file, line
// and field; a key that is not known is an error.
func ParsePrinter(file string, data []byte) (Printer, error) {
	return parse(file, data, KindPrinter, Printer.rules, 0)
}

// ParseScanner reads a scanner profile, as strictly as ParsePrinter.
func ParseScanner(file string, data []byte) (Scanner, error) {
	return parse(file, data, KindScanner, Scanner.rules, 0)
}

// ParseNFC reads a reader profile, as strictly as ParsePrinter.
func ParseNFC(file string, data []byte) (NFC, error) {
	return parse(file, data, KindNFC, NFC.rules, 0)
}

// ParseLineDisplay reads a display profile, as strictly as ParsePrinter.
func ParseLineDisplay(file string, data []byte) (LineDisplay, error) {
	return parse(file, data, KindDisplay, LineDisplay.rules, 0)
}

// ParseClass reads a terminal class, as strictly as ParsePrinter.
func ParseClass(file string, data []byte) (Class, error) {
	doc, err := read(file, data)
	if err != nil {
		return Class{}, err
	}
	return doc.class()
}

// parse reads a device profile of any kind; M is the kind's struct, depth how many
// profiles are like this one in the chain that is being read.
func parse[M any](file string, data []byte, kind Kind, rules func(M) []rule, depth int) (M, error) {
	doc, err := read(file, data)
	if err != nil {
		var none M
		return none, err
	}
	return model(doc, kind, rules, depth)
}

// model is what a document says of a model; zero when it cannot be read, with what is
// wrong when it breaks a rule.
func model[M any](doc document, kind Kind, rules func(M) []rule, depth int) (M, error) {
	var m, none M
	if err := doc.decode(&m); err != nil {
		return none, err
	}
	field(&m, "Name").SetString(nameOf(doc.file))
	lineage := field(&m, "Lineage").Addr().Interface().(*Lineage) // every kind has it
	if lineage.Like != "" {
		parent, err := parentOf(doc, kind, lineage.Like, rules, depth+1)
		if err != nil {
			return none, err
		}
		doc.inherit(&m, parent, lineage.Like)
		lineage.above = 1 + field(&parent, "Lineage").Interface().(Lineage).above
	}
	all := append(doc.lineageRules(*lineage), rules(m)...)
	return m, doc.check(all)
}

func (d document) class() (Class, error) {
	var c Class
	if err := d.decode(&c); err != nil {
		return Class{}, err
	}
	c.Name = nameOf(d.file)
	return c, d.check(c.rules())
}

// Check validates a profile of any kind, told by its key "kind".
func Check(file string, data []byte) (Kind, error) {
	doc, err := read(file, data)
	if err != nil {
		return "", err
	}
	_, err = doc.entry()
	return doc.kind(), err
}

func nameOf(file string) string { return strings.TrimSuffix(path.Base(file), ".yaml") }

// document is a file's tree. It is parsed once, whatever is asked of it.
type document struct {
	file string
	root *yaml.Node
}

// read parses a file into its tree: one document without aliases, which no profile needs
// and which would let a small file stand for a huge one.
func read(file string, data []byte) (document, error) {
	if len(data) > maxFileBytes {
		return document{}, fmt.Errorf("%s: %d bytes, at most %d", file, len(data), maxFileBytes)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := d.Decode(&root); err != nil {
		return document{}, explain(file, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return document{}, fmt.Errorf("%s: more than one document", file)
	}
	if n := alias(&root); n != nil {
		return document{}, fmt.Errorf("%s:%d: *%s: write it out: a profile has no aliases", file, n.Line, n.Value)
	}
	return document{file: file, root: &root}, nil
}

func alias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n
	}
	for _, c := range n.Content {
		if found := alias(c); found != nil {
			return found
		}
	}
	return nil
}

// kind is what the file says that it describes.
func (d document) kind() Kind {
	if n := d.node("kind"); n != nil {
		return Kind(n.Value)
	}
	return ""
}

// decode fills in a struct. A key that it does not have is an error.
func (d document) decode(into any) error {
	wrong := d.strange(d.top(), reflect.TypeOf(into))
	if err := d.root.Decode(into); err != nil {
		wrong = append(wrong, explain(d.file, err))
	}
	return errors.Join(wrong...)
}

// strange are the keys of the file that a type does not have.
func (d document) strange(n *yaml.Node, t reflect.Type) (wrong []error) {
	switch t.Kind() { //nolint:exhaustive // the others hold no keys
	case reflect.Pointer:
		return d.strange(n, t.Elem())
	case reflect.Slice:
		if n.Kind == yaml.SequenceNode {
			for _, c := range n.Content {
				wrong = append(wrong, d.strange(c, t.Elem())...)
			}
		}
	case reflect.Map:
		for _, pair := range pairs(n) {
			wrong = append(wrong, d.strange(pair.value, t.Elem())...)
		}
	case reflect.Struct:
		has := keysIn(t)
		for _, pair := range pairs(n) {
			if of, ok := has[pair.key.Value]; ok {
				wrong = append(wrong, d.strange(pair.value, of)...)
				continue
			}
			wrong = append(wrong, fmt.Errorf("%s:%d: unknown key %q%s", d.file, pair.key.Line, pair.key.Value, meant(pair.key.Value, keysOf(t, nil))))
		}
	}
	return wrong
}

// visible are the fields of structs that were looked at, by type.
var visible sync.Map

// fieldsOf is reflect.VisibleFields, which takes its time, once for each type.
func fieldsOf(t reflect.Type) []reflect.StructField {
	if fields, ok := visible.Load(t); ok {
		return fields.([]reflect.StructField) //nolint:forcetypeassert // it holds nothing else
	}
	fields := reflect.VisibleFields(t)
	visible.Store(t, fields)
	return fields
}

type pair struct{ key, value *yaml.Node }

// pairs are the keys of a mapping with their values; none of anything else.
func pairs(n *yaml.Node) []pair {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	out := make([]pair, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		out = append(out, pair{n.Content[i], n.Content[i+1]})
	}
	return out
}

// known are the keys of structs that were looked at, by type.
var known sync.Map

// keysIn are a struct's own keys and what is below them.
func keysIn(t reflect.Type) map[string]reflect.Type {
	if keys, ok := known.Load(t); ok {
		return keys.(map[string]reflect.Type) //nolint:forcetypeassert // it holds nothing else
	}
	keys := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		switch name, option, _ := strings.Cut(f.Tag.Get("yaml"), ","); {
		case option == "inline":
			maps.Copy(keys, keysIn(f.Type))
		case name != "" && name != "-":
			keys[name] = f.Type
		}
	}
	known.Store(t, keys)
	return keys
}

// explain puts file and line first, and takes the Go types out of the library's words.
func explain(file string, err error) error {
	typed, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	out := make([]error, 0, len(typed.Errors))
	for _, e := range typed.Errors {
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
	return rule{field, got >= low && got <= high, strconv.Itoa(low) + " to " + strconv.Itoa(high)}
}

func filled(field, got string) rule { return rule{field, strings.TrimSpace(got) != "", "a text"} }

func (d document) check(rules []rule) error {
	var wrong []error
	for _, r := range rules {
		if !r.ok {
			wrong = append(wrong, fmt.Errorf("%s:%d: %s: want %s%s", d.file, d.line(r.field), r.field, r.want, d.got(r.field)))
		}
	}
	return errors.Join(wrong...)
}

// top is the file's mapping.
func (d document) top() *yaml.Node {
	if d.root.Kind == yaml.DocumentNode && len(d.root.Content) > 0 {
		return d.root.Content[0]
	}
	return d.root
}

// line finds a field's line; that of the nearest parent when the field is absent.
func (d document) line(field string) int {
	node := d.top()
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

// node is what the file has at a field's place; nil when it says nothing there.
func (d document) node(field string) *yaml.Node {
	node := d.top()
	for key := range strings.SplitSeq(field, ".") {
		if node = child(node, key); node == nil {
			return nil
		}
	}
	return node
}

// got is what the file says in a field, for the error; empty when it says nothing there.
func (d document) got(field string) string {
	node := d.node(field)
	if node == nil || node.Kind != yaml.ScalarNode || node.Value == "" || len(node.Value) > draftLimit {
		return ""
	}
	return fmt.Sprintf("; got %q", node.Value)
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
	for _, f := range fieldsOf(v.Type()) {
		if f.Tag.Get("yaml") == section {
			return v.FieldByIndex(f.Index).IsZero()
		}
	}
	return true
}
