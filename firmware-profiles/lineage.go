package profiles

import (
	"fmt"
	"maps"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// own are the keys that a profile never takes from the one that it is like: they say
// which model it is.
func own() []string { return []string{"kind", "products", "match", "facts", "notes"} }

func field(profile any, name string) reflect.Value {
	return reflect.ValueOf(profile).Elem().FieldByName(name)
}

// parentOf reads the shipped profile that another one is like. It may not be like a
// third one: where a fact comes from is to be seen in two files at most.
func parentOf[M any](doc document, kind Kind, name string, rules func(M) []rule) (M, error) {
	var none M
	data, file, err := read(kind, name)
	if err != nil {
		return none, fmt.Errorf("%s:%d: like: %w", doc.file, doc.line("like"), err)
	}
	var head struct {
		Like string `yaml:"like"`
	}
	if err := yaml.Unmarshal(data, &head); err != nil {
		return none, explain(file, err)
	}
	if head.Like != "" {
		return none, fmt.Errorf("%s:%d: like: want a profile that is complete by itself; %s is like %s, name that one", doc.file, doc.line("like"), name, head.Like)
	}
	return parse(file, data, kind, rules)
}

// inherit fills in the sections that the file leaves out, and tells of each where it
// comes from.
func (d document) inherit(profile, parent any, like string) {
	to, from := reflect.ValueOf(profile).Elem(), reflect.ValueOf(parent)
	facts, theirs := map[string]Fact{}, from.FieldByName("Facts").Interface().(map[string]Fact) //nolint:errcheck,forcetypeassert // every kind's struct has it
	for _, f := range reflect.VisibleFields(to.Type()) {
		key := f.Tag.Get("yaml")
		if key == "-" || f.Anonymous || f.Name == "Like" || f.Name == "Unverified" || hasSection(own(), key) || d.has(key) {
			continue
		}
		to.FieldByIndex(f.Index).Set(from.FieldByIndex(f.Index))
		if fact, ok := theirs[key]; ok {
			facts[key] = Fact{Source: "like " + like + ": " + fact.Source, Confidence: Assumed}
		}
	}
	maps.Copy(facts, to.FieldByName("Facts").Interface().(map[string]Fact)) //nolint:errcheck,forcetypeassert // likewise
	to.FieldByName("Facts").Set(reflect.ValueOf(facts))
}

// has reports whether the file itself has a top-level key.
func (d document) has(key string) bool {
	return child(d.top(), key) != nil
}

// lineageRules hold a model that is only recognised to saying nothing more.
func (d document) lineageRules(l Lineage) []rule {
	if !l.Unverified {
		return nil
	}
	allowed := append(own(), "like", "unverified")
	for i := 0; i+1 < len(d.top().Content); i += 2 {
		if key := d.top().Content[i].Value; !hasSection(allowed, key) {
			return []rule{{key, false, "no such key beside unverified: say where it comes from and take unverified away, or leave it out"}}
		}
	}
	return []rule{{"match", d.has("match"), "how it is recognised"}}
}
