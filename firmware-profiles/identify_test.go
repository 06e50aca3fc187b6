package profiles_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	profiles "dcpos/firmware-profiles"
)

func TestIdentify(t *testing.T) {
	printer := []profiles.Interface{{Class: 7, Subclass: 1, Protocol: 2}}
	cdc := []profiles.Interface{{Class: 2, Subclass: 2, Protocol: 1}, {Class: 0x0a}}
	keyboard := []profiles.Interface{{Class: 3, Subclass: 1, Protocol: 1}}
	ccid := []profiles.Interface{{Class: 0x0b}}
	for _, tc := range []struct {
		name string
		seen profiles.Seen
		best []string // "profile reason" of the best reason
		sure string   // the profile to take without asking
	}{
		{"nothing known", profiles.Seen{}, nil, ""},
		{"a mouse", profiles.Seen{VID: "046d", PID: "c077", Interfaces: []profiles.Interface{{Class: 3, Subclass: 1, Protocol: 2}}}, nil, ""},
		{"a keyboard is no scanner", profiles.Seen{VID: "046d", PID: "c31c", Interfaces: keyboard}, nil, ""},
		{
			"an answer beats the numbers",
			profiles.Seen{VID: "04b8", PID: "0202", Interfaces: printer, GSI: profiles.GSIMatch{Maker: "EPSON", Model: "TM-T88V"}},
			[]string{"epson-tm-t88 answer"},
			"epson-tm-t88",
		},
		{
			"two models of one name: the font tells",
			profiles.Seen{GSI: profiles.GSIMatch{Maker: "EPSON", Model: "TM-T70II", Font: "CHINA GB18030"}},
			[]string{"epson-tm-t70ii-ch answer", "epson-tm-t70 answer"},
			"epson-tm-t70ii-ch",
		},
		{
			"two models of one name: the font was not asked",
			profiles.Seen{GSI: profiles.GSIMatch{Maker: "EPSON", Model: "TM-T70II"}},
			[]string{"epson-tm-t70 answer", "epson-tm-t70ii-ch answer"},
			"",
		},
		{
			"two models of one name: another font",
			profiles.Seen{GSI: profiles.GSIMatch{Maker: "EPSON", Model: "TM-T70II", Font: "KANJI JAPANESE"}},
			[]string{"epson-tm-t70 answer"},
			"epson-tm-t70",
		},
		{"one number, 58 or 80 mm", profiles.Seen{VID: "0416", PID: "5011", Interfaces: printer}, []string{"escpos-80mm-gb18030 id", "pos-5890 id"}, ""},
		{"one number, 58 or 80 mm", profiles.Seen{VID: "0483", PID: "5743", Interfaces: printer}, []string{"escpos-80mm-gb18030 id", "xprinter-xp-58 id"}, ""},
		{
			"the product text decides",
			profiles.Seen{VID: "0483", PID: "5743", Product: "USB Printer P", Interfaces: printer},
			[]string{"xprinter-xp-58 product"},
			"xprinter-xp-58",
		},
		{
			"one number, several languages of Star",
			profiles.Seen{VID: "0519", PID: "0003", Product: "Star TSP100IV", Interfaces: printer},
			[]string{"star-prnt product"},
			"",
		},
		{"Star, text not known", profiles.Seen{VID: "0519", PID: "0003", Interfaces: printer}, []string{"star-graphics id"}, ""},
		{
			"the longer text is the nearer one",
			profiles.Seen{VID: "04b8", PID: "0e28", Product: "TM-T20III", Interfaces: printer},
			[]string{"epson-tm-t20 product", "epson-other product"},
			"epson-tm-t20",
		},
		{
			"a model of Epson's nobody has described",
			profiles.Seen{VID: "04b8", PID: "0e99", Product: "TM-X99", Interfaces: printer},
			[]string{"epson-other product"},
			"",
		},
		{"an office printer of Epson's", profiles.Seen{VID: "04b8", PID: "1102", Product: "ET-2750", Interfaces: printer}, nil, ""},
		{"upper case", profiles.Seen{VID: "1FC9", PID: "2016", Interfaces: printer}, []string{"escpos-80mm-gb18030 id", "xprinter-xp-80 id"}, ""},
		{"the vendor alone", profiles.Seen{VID: "20d1", PID: "7008", Interfaces: printer}, []string{"rongta-rp332 vendor"}, ""},
		{"a scanner as a serial line", profiles.Seen{VID: "05e0", PID: "1701", Interfaces: cdc}, []string{"zebra-cdc id"}, "zebra-cdc"},
		{"Honeywell as a serial line", profiles.Seen{VID: "0c2e", PID: "0cd4", Interfaces: cdc}, []string{"honeywell-serial id"}, "honeywell-serial"},
		{"Honeywell, number not listed", profiles.Seen{VID: "0c2e", PID: "0fff", Interfaces: cdc}, []string{"honeywell-serial vendor"}, ""},
		{"a cable", profiles.Seen{VID: "067b", PID: "2303"}, []string{"usb-serial-bridge bridge"}, ""},
		{"a reader's number: by daemon or without", profiles.Seen{VID: "072f", PID: "2200", Interfaces: ccid}, []string{"acr122u id", "acr122u-ccid id"}, ""},
		{"a reader's name", profiles.Seen{PCSC: "ACS ACR122U PICC Interface 00 00"}, []string{"acr122u answer"}, "acr122u"},
		{"wrong class", profiles.Seen{VID: "072f", PID: "2200", Interfaces: printer}, nil, ""},
		{"a display without driver", profiles.Seen{VID: "0aa7", PID: "0201"}, []string{"wincor-ba id"}, ""},
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
			if c, sure := profiles.Certain(all); sure != (tc.sure != "") || c.Profile != tc.sure {
				t.Errorf("certain: %v, %q; want %q", sure, c.Profile, tc.sure)
			}
		})
	}
}

// Whatever a device says of itself, its strings choose no profile of another maker's number.
func FuzzStringsDoNotBeatTheNumbers(f *testing.F) {
	for _, product := range []string{"TM-T88V", "GP-58", "USB Printer P", "Printer-80", strings.Repeat("TM-", 1000)} {
		f.Add(uint16(1), product, "S1")
		f.Add(uint16(0x0e15), product, product)
	}
	f.Fuzz(func(t *testing.T, pid uint16, product, serial string) {
		s := profiles.Seen{VID: "ffff", PID: fmt.Sprintf("%04x", pid), Product: product, Serial: serial}
		if got := profiles.Identify(s); len(got) > 0 {
			t.Fatalf("got %+v", got)
		}
	})
}

func TestFirmwareAgainstItsFloor(t *testing.T) {
	for _, tc := range []struct {
		compare, floor, have string
		want                 profiles.Comparison
	}{
		{"hex", "0206", "0214", profiles.FirmwareNewer},
		{"hex", "0206", "0206", profiles.FirmwareSame},
		{"hex", "0206", "0100", profiles.FirmwareOlder},
		{"hex", "0206", "", profiles.FirmwareUnknown},
		{"hex", "", "0214", profiles.FirmwareUnknown},
		{"hex", "0206", "two", profiles.FirmwareDifferent},
		{"dotted", "30.9", "30.11 ESC/POS", profiles.FirmwareNewer},
		{"dotted", "30.11", "30.11.0", profiles.FirmwareSame},
		{"dotted", "30.11", "V30.2", profiles.FirmwareOlder},
		{"dotted", "1.2", "1.x", profiles.FirmwareDifferent},
		{"exact", "ACR122U207", "acr122u207 ", profiles.FirmwareSame},
		{"exact", "ACR122U207", "ACR122U214", profiles.FirmwareDifferent},
	} {
		f := profiles.Firmware{From: "bcd", Compare: tc.compare, Floor: tc.floor}
		if got := f.Against(tc.have); got != tc.want {
			t.Errorf("%s %q against %q: got %d, want %d", tc.compare, tc.have, tc.floor, got, tc.want)
		}
	}
}

// Recognising reads less of a file than the catalogue does; it must read the same.
func TestCandidatesNameTheirDriver(t *testing.T) {
	all, err := profiles.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, e := range all {
		for _, u := range e.Match.USB {
			for _, c := range profiles.Identify(profiles.Seen{VID: u.VID, PID: u.PID, BCD: u.BCD, Product: u.Product, Serial: u.Serial}) {
				if c.Kind != e.Kind || c.Profile != e.Name {
					continue
				}
				if compared++; c.Driver != e.Driver || c.Unverified != e.Unverified || c.Confidence != e.Facts["match"].Confidence {
					t.Errorf("%s: %+v, the file says driver %q", e.Name, c, e.Driver)
				}
			}
		}
	}
	if compared < len(all) {
		t.Errorf("%d candidates of %d profiles", compared, len(all))
	}
}

func BenchmarkIdentify(b *testing.B) {
	s := profiles.Seen{VID: "0416", PID: "5011", Interfaces: []profiles.Interface{{Class: 7, Subclass: 1, Protocol: 2}}}
	for b.Loop() {
		profiles.Identify(s)
	}
}

func BenchmarkCatalogue(b *testing.B) {
	for b.Loop() {
		if _, err := profiles.Catalogue(); err != nil {
			b.Fatal(err)
		}
	}
}
