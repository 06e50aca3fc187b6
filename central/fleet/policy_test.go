package fleet_test

import (
	"testing"
	"time"

	"dcpos/central/fleet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// What is published is what a terminal of the scope is sent, signed, in order of version,
// and what can never be in force again is not sent.
func TestPolicies(t *testing.T) {
	each(t, func(t *testing.T, f *fleet.Fleet, c *clock) {
		t.Helper()
		till, err := f.Enrol(t.Context(), newDevice(t, dcep.SM2SM3).request(t, issue(t, f, fleet.CodeRequest{Shop: "wfj"})))
		if err != nil {
			t.Fatal(err)
		}
		publish := func(p pos.Policy, want uint64) {
			t.Helper()
			if p.Limits.NearPercent == 0 {
				p.Limits = pos.DefaultLimits()
			}
			p.Version = 99 // the fleet's to give
			if v, err := f.Publish(t.Context(), p, "op"); err != nil || v != want {
				t.Fatalf("version %d, want %d: %v", v, want, err)
			}
		}
		holds := func(want ...uint64) {
			t.Helper()
			list, err := f.TerminalPolicies(t.Context(), till.Terminal)
			if err != nil {
				t.Fatal(err)
			}
			var got []uint64
			for _, r := range list {
				got = append(got, r.Version)
				var p pos.Policy
				if err := dcep.UnmarshalExact(r.Sealed.Body, &p); err != nil || p.Version != r.Version || len(r.Sealed.Sig) != dcep.SignatureSize {
					t.Fatalf("%+v: %v", r, err)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("holds %v, want %v", got, want)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("holds %v, want %v", got, want)
				}
			}
		}
		holds(1)
		now := c.Now()
		publish(pos.Policy{Store: "wfj"}, 2)
		publish(pos.Policy{FromMS: now.Add(24 * time.Hour).UnixMilli()}, 3)
		publish(pos.Policy{Terminal: till.Terminal, ExpiresMS: now.Add(time.Hour).UnixMilli()}, 4)
		holds(1, 2, 3, 4)
		publish(pos.Policy{}, 5) // a later word takes the place of the plan
		c.add(2 * time.Hour)
		holds(2, 4, 5)
		for name, p := range map[string]pos.Policy{
			"no such terminal": {Terminal: "wfj-999"}, "no such store": {Store: "x"},
			"expired before it begins": {ExpiresMS: 1}, "both": {Store: "wfj", Terminal: till.Terminal},
		} {
			p.Limits = pos.DefaultLimits()
			if _, err := f.Publish(t.Context(), p, "op"); err == nil {
				t.Errorf("%s: published", name)
			}
		}
		bad := pos.DefaultLimits()
		bad.OldestWarn = bad.OldestStop + 1
		if _, err := f.Publish(t.Context(), pos.Policy{Limits: bad}, "op"); pos.CodeOf(err) != pos.ErrBadRequest {
			t.Errorf("limits that contradict themselves: %v", err)
		}
		if err := f.Begin(t.Context()); err != nil { // begins once
			t.Fatal(err)
		}
		if list, err := f.Policies(t.Context(), 10); err != nil || len(list) != 5 || list[0].Version != 5 || list[0].By != "op" {
			t.Fatalf("%+v %v", list, err)
		}
	})
}
