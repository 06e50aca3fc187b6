package operator_test

import (
	"strings"
	"testing"
	"time"

	"dcpos/agent/operator"
)

func TestOnlyTheRightPINVerifies(t *testing.T) {
	phc, err := operator.Hash("4711")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("form %q", phc)
	}
	for pin, want := range map[string]bool{"4711": true, "4712": false, "": false, "47110": false} {
		if got, err := operator.Verify(phc, pin); err != nil || got != want {
			t.Errorf("pin %q: got %v %v, want %v", pin, got, err, want)
		}
	}
	again, err := operator.Hash("4711")
	if err != nil || again == phc {
		t.Fatalf("two hashes of one PIN are equal: no salt (%v)", err)
	}
}

func TestHashRefusesWhatIsNoPIN(t *testing.T) {
	for _, pin := range []string{"", "123", "1234567890123", "12a4", "１２３４"} {
		if _, err := operator.Hash(pin); err == nil {
			t.Errorf("pin %q was taken", pin)
		}
	}
}

func TestLockGrows(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	var waits []time.Duration
	for wrong := range 51 {
		until := operator.LockUntil(wrong, now)
		if (until != 0) != (wrong > 0 && wrong%operator.Failures == 0) {
			t.Fatalf("%d wrong PINs lock until %d", wrong, until)
		}
		if until != 0 {
			waits = append(waits, time.UnixMilli(until).Sub(now))
		}
	}
	if waits[0] != 30*time.Second || waits[1] != time.Minute || waits[9] != time.Hour {
		t.Fatalf("waits %v", waits)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("$argon2id$v=19$m=16,t=1,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng", "1234")
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$MTIz", "1234")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, phc, pin string) {
		if strings.Contains(phc, "m=") && !strings.Contains(phc, "m=16,t=1,p=1") {
			return // costly parameters say nothing more about the parser
		}
		if ok, err := operator.Verify(phc, pin); ok && err != nil {
			t.Fatalf("verified with error %v", err)
		}
	})
}
