package main

import (
	"testing"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

func TestTrustIsVouchedForAgainAndAgain(t *testing.T) {
	old := &centre{}
	old.trust.Store(&dcep.Trust{Env: pos.Lab, IssuedMS: 1})
	age := time.Since(time.UnixMilli(old.vouched().IssuedMS))
	if age < 0 || age > vouchEvery {
		t.Errorf("trust of a centre that runs for days is %s old", age)
	}
	if l := pos.DefaultLimits(); 2*vouchEvery > l.RevocationMax {
		t.Errorf("tills would stop after %s", l.RevocationMax)
	}
	now := time.Now().UnixMilli()
	fresh := &centre{}
	fresh.trust.Store(&dcep.Trust{IssuedMS: now})
	if got := fresh.vouched().IssuedMS; got != now {
		t.Errorf("trust that was just read is issued %d, read %d", got, now)
	}
}
