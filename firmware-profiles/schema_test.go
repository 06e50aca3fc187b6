package profiles_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	profiles "dcpos/firmware-profiles"
)

// shapes are the kinds with their struct and a file that has every key.
func shapes() map[profiles.Kind]struct {
	shape  any
	sample string
} {
	return map[profiles.Kind]struct {
		shape  any
		sample string
	}{
		profiles.KindPrinter: {profiles.Printer{}, "printer/_blueprint.yaml"},
		profiles.KindScanner: {profiles.Scanner{}, "scanner/_blueprint.yaml"},
		profiles.KindNFC:     {profiles.NFC{}, "nfc/_blueprint.yaml"},
		profiles.KindDisplay: {profiles.LineDisplay{}, "linedisplay/_blueprint.yaml"},
		profiles.KindClass:   {profiles.Class{}, "counter.yaml"},
	}
}

var (
	words = regexp.MustCompile(`^[A-Za-z0-9_-]*(, [A-Za-z0-9_-]+)*$`)
	limit = regexp.MustCompile(`^(-?\d+) to (-?\d+)$`)
)

// schemaOf makes a kind's JSON Schema: the shape from the Go struct, the texts from its
// comments, the allowed words and limits from the rules.
func schemaOf(t *testing.T, kind profiles.Kind) []byte {
	t.Helper()
	r := jsonschema.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, DoNotReference: true, Anonymous: true}
	if err := r.AddGoComments("dcpos/firmware-profiles", "."); err != nil {
		t.Fatal(err)
	}
	for name, text := range r.CommentMap {
		r.CommentMap[name] = strings.ReplaceAll(text, "\n", " ")
	}
	k := shapes()[kind]
	s := r.Reflect(k.shape)
	s.Title = fmt.Sprintf("dcpos %s profile", kind)
	s.Required = []string{"kind"}
	data, err := os.ReadFile(k.sample)
	if err != nil {
		t.Fatal(err)
	}
	conditions, err := profiles.Conditions(kind, k.sample, data)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conditions {
		if at := find(s, strings.Split(c.Field, ".")); at != nil {
			restrict(at, c.Want)
		}
	}
	out, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// find walks to a field; a number is any element of a list.
func find(s *jsonschema.Schema, path []string) *jsonschema.Schema {
	for _, key := range path {
		switch {
		case s == nil:
			return nil
		case s.Items != nil:
			s = s.Items
		case s.AdditionalProperties != nil && s.Properties == nil:
			s = s.AdditionalProperties
		case s.Properties != nil:
			s, _ = s.Properties.Get(key)
		default:
			return nil
		}
	}
	return s
}

func restrict(s *jsonschema.Schema, want string) {
	if m := limit.FindStringSubmatch(want); m != nil {
		if s.Type == "integer" {
			s.Minimum, s.Maximum = json.Number(m[1]), json.Number(m[2])
		}
		return
	}
	if s.Type != "string" || len(s.Enum) > 0 || !words.MatchString(want) || want == "" {
		return
	}
	for w := range strings.SplitSeq(want, ", ") {
		s.Enum = append(s.Enum, w)
	}
}

func TestSchemasAreCurrent(t *testing.T) {
	for kind := range shapes() {
		golden(t, "schema/"+string(kind)+".json", schemaOf(t, kind))
	}
}

func compiled(t *testing.T) map[profiles.Kind]*validator.Schema {
	t.Helper()
	out := map[profiles.Kind]*validator.Schema{}
	for kind := range shapes() {
		schema, err := validator.NewCompiler().Compile("schema/" + string(kind) + ".json")
		if err != nil {
			t.Fatal(err)
		}
		out[kind] = schema
	}
	return out
}

// plainly is a YAML file as JSON has it.
func plainly(t *testing.T, data []byte) (kind profiles.Kind, value any) {
	t.Helper()
	var v map[string]any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	value, err = validator.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	kind = profiles.Kind(fmt.Sprint(v["kind"]))
	return kind, value
}

func TestEveryFileFitsItsSchema(t *testing.T) {
	schemas := compiled(t)
	files, err := filepath.Glob("*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	classes, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, classes...) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kind, value := plainly(t, data)
		if err := schemas[kind].Validate(value); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// An editor has to underline what the program would refuse.
func TestSchemasRefuse(t *testing.T) {
	schemas := compiled(t)
	for _, tc := range []struct{ name, file, old, replace string }{
		{"unknown key", "printer/pos-5890.yaml", "cutter: none", "cuter: none"},
		{"unknown nested key", "printer/pos-5890.yaml", "fs_size: true", "fs_sice: true"},
		{"unknown word", "printer/pos-5890.yaml", "cutter: none", "cutter: scissors"},
		{"wrong type", "printer/pos-5890.yaml", "pin: 2", "pin: two"},
		{"out of range", "printer/pos-5890.yaml", "dots: 384", "dots: 100"},
		{"unknown confidence", "scanner/serial-cr.yaml", "confidence: assumed", "confidence: sure"},
		{"unknown function", "nfc/acr122u.yaml", "as: ccid", "as: cid"},
		{"unknown language", "linedisplay/cd5220.yaml", "language: cd5220", "language: cd5221"},
		{"unknown layout", "counter.yaml", "layout: cashier", "layout: throne"},
	} {
		data, err := os.ReadFile(tc.file)
		if err != nil {
			t.Fatal(err)
		}
		bad := strings.Replace(string(data), tc.old, tc.replace, 1)
		if bad == string(data) {
			t.Fatalf("%s: %q is not in the file", tc.name, tc.old)
		}
		kind, value := plainly(t, []byte(bad))
		if err := schemas[kind].Validate(value); err == nil {
			t.Errorf("%s: taken", tc.name)
		}
	}
}
