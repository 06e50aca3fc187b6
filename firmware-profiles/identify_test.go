package profiles_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	profiles "dcpos/firmware-profiles"
)

func TestIdentify(t *testing.T) {
	printer := []profiles.Interface{{Class: 7, Subclass: 1, Protocol: 2}}
	for _, tc := range []struct {
		name string
		seen profiles.Seen
		best []string // "profile reason" of the best reason
		sure bool
	}{
		{"nothing known", profiles.Seen{}, nil, false},
		{"an answer beats the numbers", profiles.Seen{
			VID: "04b8", PID: "0202", Interfaces: printer, GSI: profiles.GSIMatch{Maker: "EPSON", Model: "TM-T70II"},
		}, []string{"epson-tm-t70ii-ch answer"}, true},
		{"one number, two papers", profiles.Seen{VID: "0416", PID: "5011"}, []string{"escpos-80mm-gb18030 id", "pos-5890 id"}, false},
		{"a reader's name", profiles.Seen{PCSC: "ACS ACR122U PICC Interface 00 00"}, []string{"acr122u answer"}, true},
		{"upper case", profiles.Seen{VID: "04B8", PID: "0202"}, []string{"epson-tm-t88 id"}, true},
		{"the vendor alone", profiles.Seen{VID: "0c2e", PID: "0b87"}, []string{"honeywell-serial vendor"}, false},
		{"wrong class", profiles.Seen{VID: "072f", PID: "2200", Interfaces: printer}, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			all := profiles.Identify(tc.seen)
			var best []string
			for _, c := range all {
				if c.Reason == all[0].Reason {
					best = append(best, c.Profile+" "+string(c.Reason))
				}
				if text := c.Reason.Text(); text.ZH == "" || text.EN == "" {
					t.Errorf("%s: no text", c.Reason)
				}
			}
			if diff := cmp.Diff(tc.best, best); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, sure := profiles.Certain(all); sure != tc.sure {
				t.Errorf("certain: %v", sure)
			}
		})
	}
}
