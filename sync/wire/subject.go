package wire

import (
	"fmt"
	"regexp"
	"strings"
)

// The root of every subject, and the stream that carries journals.
const (
	Root          = "dcpos.v1"
	JournalStream = "DCPOS_JOURNAL_V1"
	JournalFilter = Root + ".journal.*"
	AskFilter     = Root + ".ask.*.*"
	MarkFilter    = Root + ".mark.*"
)

// Terminal names are a token of a subject: no dots, no wildcards.
var terminalForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// CheckTerminal refuses a name that cannot be a token of a subject.
func CheckTerminal(name string) error {
	if !terminalForm.MatchString(name) {
		return fmt.Errorf("terminal %q: want 1 to 32 letters, digits, - or _", name)
	}
	return nil
}

// Verb is what a till asks while the customer waits.
type Verb string

// The verbs of ask.
const (
	VerbPay     Verb = "pay"     // pos.AskPay → pos.Answer
	VerbPresent Verb = "present" // pos.AskPresent → pos.Answer with QR
	VerbQuery   Verb = "query"   // pos.AskQuery → pos.Answer
	VerbAbandon Verb = "abandon" // pos.AskAbandon → pos.Answer: the centre watches and refunds
	VerbRefund  Verb = "refund"  // pos.AskRefund → pos.Answer
)

// AskSubject is where a till asks; only this terminal's user may publish there.
func AskSubject(terminal string, v Verb) string { return Root + ".ask." + terminal + "." + string(v) }

// JournalSubject is where a till publishes batches; JournalStream captures it.
func JournalSubject(terminal string) string { return Root + ".journal." + terminal }

// MarkSubject is where a till asks how far the centre is, and for what is new.
func MarkSubject(terminal string) string { return Root + ".mark." + terminal }

// DownSubject is where the centre nudges a till; a nudge carries a Mark.
func DownSubject(terminal string) string { return Root + ".down." + terminal }

// InboxPrefix is the terminal's own inbox, so that no till can listen to another's answers.
func InboxPrefix(terminal string) string { return "_INBOX_" + terminal }

// ParseAsk takes terminal and verb out of an ask subject.
func ParseAsk(subject string) (terminal string, v Verb, err error) {
	t := strings.Split(subject, ".")
	if len(t) != 5 || t[0]+"."+t[1] != Root || t[2] != "ask" {
		return "", "", fmt.Errorf("subject %q: want %s.ask.TERMINAL.VERB", subject, Root)
	}
	return t[3], Verb(t[4]), CheckTerminal(t[3])
}

// TerminalOf takes the terminal out of a journal, mark or down subject.
func TerminalOf(subject string) (string, error) {
	t := strings.Split(subject, ".")
	if len(t) != 4 || t[0]+"."+t[1] != Root {
		return "", fmt.Errorf("subject %q: want %s.KIND.TERMINAL", subject, Root)
	}
	return t[3], CheckTerminal(t[3])
}

// Permissions are the subjects that a terminal's NATS user may use, and no others.
func Permissions(terminal string) (publish, subscribe []string) {
	return []string{Root + ".ask." + terminal + ".*", JournalSubject(terminal), MarkSubject(terminal)},
		[]string{DownSubject(terminal), InboxPrefix(terminal) + ".>"}
}
