package profiles

import (
	"fmt"
	"maps"
	"reflect"
)

// own are the keys that a profile never takes from the one that it is like: they say
// which model it is.
func own() []string { return []string{"kind", "products", "match", "facts", "notes"} }

func field(profile any, name string) reflect.Value {
	return reflect.ValueOf(profile).Elem().FieldByName(name)
}

// maxDepth is how long a chain of profiles that are like one another may be: where a
// fact comes from is to be found without a search.
const maxDepth = 2

// parentOf is the shipped profile that another one is like.
func parentOf[M any](doc document, kind Kind, name string, rules func(M) []rule, depth int) (M, error) {
	var none M
	at := fmt.Sprintf("%s:%d: like: ", doc.file, doc.line("like"))
	tooLong := fmt.Errorf("%swant a profile that is complete by itself, or is like one that is; the chain is too long", at)
	if depth > maxDepth {
		return none, tooLong
	}
	parent, err := cached(kind, name, func(file string, data []byte) (M, error) { return parse(file, data, kind, rules, depth) })
	if err != nil {
		return none, fmt.Errorf("%s%w", at, err)
	}
	if depth+field(&parent, "Lineage").Interface().(Lineage).above > maxDepth { // every kind has it
		return none, tooLong
	}
	return parent, nil
}

// inherit fills in the sections that the file leaves out, and tells of each where it
// comes from.
func (d document) inherit(profile, parent any, like string) {
	to, from := reflect.ValueOf(profile).Elem(), reflect.ValueOf(parent)
	facts, theirs := map[string]Fact{}, from.FieldByName("Facts").Interface().(map[string]Fact) // every kind has it
	for _, f := range fieldsOf(to.Type()) {
		key := f.Tag.Get("yaml")
		if key == "-" || f.Anonymous || !f.IsExported() || f.Name == "Like" || f.Name == "Unverified" || hasSection(own(), key) || d.has(key) {
			continue
		}
		to.FieldByIndex(f.Index).Set(from.FieldByIndex(f.Index))
		if fact, ok := theirs[key]; ok {
			facts[key] = Fact{Source: "like " + like + ": " + fact.Source, Confidence: Assumed}
		}
	}
	maps.Copy(facts, to.FieldByName("Facts").Interface().(map[string]Fact)) // likewise
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
