package usb_test

import (
	"bufio"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// outcome is one sub-test of the guest.
type outcome struct {
	name     string // without its parents'
	ended    bool
	failed   bool
	seconds  string
	output   []string
	children []*outcome
}

var (
	turns = regexp.MustCompile(`^=== (?:RUN|NAME|CONT|PAUSE) +(\S+)$`)
	ends  = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \(([0-9.]+)s\)$`)
)

// readReport understands what `-test.v` wrote; the root is the process.
func readReport(text string) *outcome {
	root := &outcome{}
	at := root
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if m := turns.FindStringSubmatch(line); m != nil {
			at = root.find(m[1])
			continue
		}
		if m := ends.FindStringSubmatch(line); m != nil {
			at = root.find(m[2])
			at.ended, at.failed, at.seconds = true, m[1] != "PASS", m[3]
			continue
		}
		if line != "" {
			at.output = append(at.output, line)
		}
	}
	return root
}

// find gives the outcome of a full name, made if it is not there yet.
func (o *outcome) find(name string) *outcome {
	for part := range strings.SplitSeq(name, "/") {
		i := slices.IndexFunc(o.children, func(c *outcome) bool { return c.name == part })
		if i < 0 {
			o.children = append(o.children, &outcome{name: part})
			i = len(o.children) - 1
		}
		o = o.children[i]
	}
	return o
}

// replay makes the guest's sub-tests sub-tests here, and counts them.
func (o *outcome) replay(t *testing.T) (count int) {
	t.Helper()
	if len(o.output) > 0 {
		t.Log("\n" + strings.Join(o.output, "\n"))
	}
	for _, c := range o.children {
		t.Run(c.name, func(t *testing.T) { count += 1 + c.replay(t) })
	}
	switch {
	case !o.ended:
		t.Error("did not end in the guest")
	case o.failed:
		t.Error("failed in the guest (or was skipped, which is the same)")
	default:
		t.Logf("%s s in the guest", o.seconds)
	}
	return count
}

func TestTheGuestsResultsAreThisProcessesResults(t *testing.T) {
	root := readReport("=== RUN   TestX\n=== RUN   TestX/a\r\n    a_test.go:1: words\n=== RUN   TestX/a/deep\n=== NAME  TestX/a\nmore\n" +
		"=== RUN   TestX/b\nof b\n--- FAIL: TestX (1.00s)\n    --- PASS: TestX/a (0.50s)\n        --- PASS: TestX/a/deep (0.10s)\n    --- SKIP: TestX/b (0.20s)\nFAIL\n")
	x := root.children[0]
	a, b := x.children[0], x.children[1]
	if !x.failed || !a.ended || a.failed || len(a.output) != 2 || !a.children[0].ended || !b.failed || b.output[0] != "of b" {
		t.Errorf("x %+v\na %+v\nb %+v", x, a, b)
	}
	cut := readReport("=== RUN   TestX\n=== RUN   TestX/a\npanic: no\n")
	if a := cut.children[0].children[0]; a.ended || a.output[0] != "panic: no" {
		t.Errorf("a test that was cut off: %+v", a)
	}
}
