// Package testprop gives long property tests a short form.
package testprop

import (
	"flag"
	"strconv"
	"testing"

	_ "pgregory.net/rapid" // its flag
)

// checks is rapid's flag for how many cases a property is drawn for.
const checks = "rapid.checks"

// Short lets a property of this test be drawn n times, unless -rapid.checks asks for
// another number: that is the long form. It is not for tests that run beside others of
// their package. What fails is printed with its seed, by rapid.
func Short(tb testing.TB, n int) {
	tb.Helper()
	f := flag.Lookup(checks)
	if f.Value.String() != f.DefValue {
		return
	}
	set := func(to string) {
		if err := flag.Set(checks, to); err != nil {
			tb.Fatal(err)
		}
	}
	set(strconv.Itoa(n))
	tb.Cleanup(func() { set(f.DefValue) })
}
