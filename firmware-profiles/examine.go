package profiles

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Review is what is to be said of one profile file.
type Review struct {
	Kind Kind
	// Wrong is every error, joined, each beginning with file and line; nil when there is none.
	Wrong error
	// Doubts are sections whose facts are assumed, each beginning with file and line: they
	// hold for the kind, nobody has seen them on this model.
	Doubts []string
	// Unverified: the file only tells how the model is recognised.
	Unverified bool
}

// Examine checks a file of any kind as Check does, and besides that its driver ships
// (drivers: the names by kind; a kind that is absent is not checked) and which facts are
// assumed.
func Examine(file string, data []byte, drivers map[Kind][]string) Review {
	var r Review
	doc, err := read(file, data)
	if err != nil {
		r.Wrong = err
		return r
	}
	var e Entry
	e, r.Wrong = doc.entry()
	if r.Kind = doc.kind(); e.Name == "" {
		return r
	}
	r.Unverified = e.Unverified
	if names, ok := drivers[r.Kind]; ok && e.Driver != "" && !slices.Contains(names, e.Driver) {
		r.Wrong = errors.Join(r.Wrong, doc.check([]rule{{"driver", false, strings.Join(names, ", ")}}))
	}
	for _, section := range slices.Sorted(maps.Keys(e.Facts)) {
		f, at := e.Facts[section], "facts."+section
		if doc.node(at) == nil {
			at = "like" // that is where it comes from
		}
		if f.Confidence == Assumed {
			r.Doubts = append(r.Doubts, fmt.Sprintf("%s:%d: %s: %s", file, doc.line(at), section, f.Source))
		}
	}
	return r
}

// keysOf are all keys that a struct and what it holds have.
func keysOf(t reflect.Type, have []string) []string {
	switch t.Kind() { //nolint:exhaustive // the others hold no keys
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return keysOf(t.Elem(), have)
	case reflect.Struct:
		for i := range t.NumField() {
			if key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); key != "" && key != "-" {
				have = append(have, key)
			}
			have = keysOf(t.Field(i).Type, have)
		}
	}
	return have
}

// meant is the known key that a wrong one most probably stands for.
func meant(wrong string, known []string) string {
	if len(known) == 0 || len(wrong) > draftLimit {
		return ""
	}
	best := slices.MinFunc(known, func(a, b string) int { return cmp.Compare(distance(wrong, a), distance(wrong, b)) })
	if distance(wrong, best) > max(1, len(best)/3) {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is how many letters have to be changed, added or taken away to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
