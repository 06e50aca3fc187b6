package attacks_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"dcpos/pos"
)

var update = flag.Bool("update", false, "write docs/ATTACKS.md anew")

// attack is one attempt to have money called accepted that never comes, or to have what
// was accepted forgotten or changed.
type attack struct {
	threat string // T1 … T14, docs/ATTACKS.md
	name   string
	want   string // the reason with which it is refused or found
	// try gives why it failed. Nil is a success of the attacker.
	try func(t *testing.T) error
}

// found is a reason that is no code of an answer: what a check, the centre or a person is told.
type found string

func (f found) Error() string { return string(f) }

func reason(err error) string {
	if f, ok := errors.AsType[found](err); ok {
		return string(f)
	}
	return string(pos.CodeOf(err))
}

// till makes an attack on a till: it must end with as many accepted payments as were honest.
func till(threat, name string, want pos.Code, honest int, try func(c *counter) error) attack {
	return attack{threat, name, string(want), func(t *testing.T) error {
		t.Helper()
		c := openCounter(t, pos.Lab)
		err := try(c)
		if n := c.accepted(); n != honest {
			t.Errorf("the journal calls %d payments accepted, %d were honest", n, honest)
		}
		if e := pos.AsError(err); e != nil && (e.Text.IsZero() || e.Hint.IsZero()) {
			t.Errorf("%v does not tell a person what to do", err)
		}
		return err
	}}
}

func TestAttacks(t *testing.T) {
	var all []attack
	site := openSite(t)
	for _, list := range [][]attack{
		promises(), papers(), cards(), torn(t), guards(), clocks(), environments(), envelopes(), files(), receipts(), roads(t), sites(site), storedCodes(site),
	} {
		all = append(all, list...)
	}
	seen := map[string]bool{}
	accepted := 0
	for _, a := range all {
		seen[a.threat] = true
		t.Run(a.threat+" "+a.name, func(t *testing.T) {
			err := a.try(t)
			if err == nil {
				accepted++
				t.Error("ACCEPTED")
			} else if got := reason(err); got != a.want {
				t.Errorf("refused with %q (%v), want %q", got, err, a.want)
			}
		})
	}
	for n := 1; n <= 14; n++ {
		if threat := fmt.Sprintf("T%d", n); !seen[threat] {
			t.Errorf("nothing is tried for %s", threat)
		}
	}
	t.Logf("%d attacks, %d accepted\n%s", len(all), accepted, table(all))
	if len(all) < 40 {
		t.Errorf("%d attacks", len(all))
	}
	document(t, all)
}

func table(all []attack) string {
	var b strings.Builder
	b.WriteString("| threat | attack | refused with |\n|---|---|---|\n")
	for _, a := range all {
		fmt.Fprintf(&b, "| %s | %s | `%s` |\n", a.threat, a.name, a.want)
	}
	return b.String()
}

// document holds docs/ATTACKS.md against what was tried.
func document(t *testing.T, all []attack) {
	t.Helper()
	const path, mark = "../../docs/ATTACKS.md", "<!-- made by: go test ./e2e/attacks -run TestAttacks -update -->\n"
	b, err := os.ReadFile(path)
	ok(t, err)
	head, _, whole := strings.Cut(string(b), mark)
	if !whole {
		t.Fatalf("%s has no place for the table", path)
	}
	want := head + mark + fmt.Sprintf("\n%d attacks, none accepted; what no till can know (`journey`) is paid and told to people.\n\n%s", len(all), table(all))
	if *update {
		ok(t, os.WriteFile(path, []byte(want), 0o600))
		return
	}
	if want != string(b) {
		t.Errorf("%s tells of other attacks: go test ./e2e/attacks -run TestAttacks -update", path)
	}
}
