package downlink

import (
	"testing"
	"time"

	"dcpos/sync/wire"
)

// Only a mark that answers our own question bounds how old its time is.
func TestTrip(t *testing.T) {
	asked := question{nonce: []byte("12345678"), at: time.Now().Add(-time.Second)}
	if trip := asked.trip(wire.Mark{Nonce: []byte("12345678")}); trip < time.Second {
		t.Errorf("the answer was underway for %s", trip)
	}
	for name, c := range map[string]struct {
		question question
		mark     wire.Mark
	}{
		"a nudge": {question{}, wire.Mark{}}, "a nudge with a nonce": {question{}, wire.Mark{Nonce: []byte("12345678")}},
		"an answer to another question": {asked, wire.Mark{Nonce: []byte("87654321")}}, "an old centre's answer": {asked, wire.Mark{}},
	} {
		if trip := c.question.trip(c.mark); trip >= 0 {
			t.Errorf("%s bounds it: %s", name, trip)
		}
	}
}
