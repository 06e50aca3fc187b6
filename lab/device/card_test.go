package device_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"dcpos/lab/device"
)

var wallet = []byte("\xA0\x00\x00\x03\x33\x01\x01")

func newWallet() *device.Card {
	return device.NewCard(device.CardOptions{RandomUID: true, Applications: []device.Application{{
		AID: wallet, Label: "A", Priority: 2, Kernel: 3, Applet: device.AppletFunc(func(c []byte) []byte {
			if c[1] == 0xA4 {
				return nil
			}
			return append(bytes.Clone(c[:2]), 0x90, 0x00)
		}),
	}}})
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func send(t *testing.T, c *device.Card, command string) string {
	t.Helper()
	b, err := hex.DecodeString(command)
	if err != nil {
		t.Fatal(err)
	}
	response, torn := c.Transmit(b)
	if torn {
		return "torn"
	}
	return hexOf(response)
}

func TestCardAnswersAsTheStandardSays(t *testing.T) {
	c := newWallet()
	if got := send(t, c, "00840000"); got != "torn" {
		t.Errorf("without power: %s", got)
	}
	first, ats := c.Activate()
	second, _ := c.Activate()
	if first[0] != 0x08 || bytes.Equal(first, second) || hexOf(ats) != "0578807002" {
		t.Errorf("uid %x, then %x; ats %x", first, second, ats)
	}
	for command, want := range map[string]string{
		"00840000": "6985", // nothing selected
		"00a404000e325041592e5359532e444446303100": "6f2a840e325041592e5359532e4444463031a518bf0c1561134f07a0000003330101500141870102" + "9f2a01039000",
		"00a4040007a000000333010100":               "6f0e8407a0000003330101a5035001419000",
		"00a4040005b000000333":                     "6a82",
	} {
		c.Activate()
		if got := send(t, c, command); got != want {
			t.Errorf("%s: got %s, want %s", command, got, want)
		}
	}
}

func TestCardLeavesWhenItIsTold(t *testing.T) {
	var f device.Field
	c := newWallet()
	f.Tap(c)
	c.Activate()
	c.TearAfterAPDUs(2)
	for i, want := range []string{"6985", "torn", "torn"} {
		if got := send(t, c, "00840000"); got != want {
			t.Errorf("%d: got %s, want %s", i, got, want)
		}
	}
	if c.APDUs() != 2 {
		t.Errorf("acted %d times: the last answer alone is lost", c.APDUs())
	}
	f.Take(nil)
	f.Tap(c)
	if got := send(t, c, "00840000"); got != "torn" {
		t.Errorf("back, and not activated: %s", got)
	}
	c.Activate()
	if got := send(t, c, "00840000"); got != "6985" {
		t.Errorf("back: %s", got)
	}
	c.TearAfterBytes(5)
	if got := send(t, c, "00840000"); got != "torn" || c.APDUs() != 4 {
		t.Errorf("cut in its answer: %s, acted %d times", got, c.APDUs())
	}
	c.TearAfterBytes(3)
	if got := send(t, c, "00840000"); got != "torn" || c.APDUs() != 4 {
		t.Errorf("cut in its command: %s, acted %d times", got, c.APDUs())
	}
}

// What a host sees of the modelled ACR122U: the descriptors of libccid's collection
// (readers/ACR122U_PICC.txt), and messages of CCID Rev 1.1.
func TestCCIDIsAnACR122U(t *testing.T) {
	m := device.NewCCID(device.CCIDOptions{})
	defer m.Close()
	if got, want := hexOf(m.Configuration()), "09025d000101008032"+"09040000030b000000"+
		"362100010007"+"02000000a00f0000a00f000000"+"002a000090d0030000"+"00010000"+"0000000000000000"+"400002000f010000"+"000000000001"+
		"07058103080010"+"07050202400000"+"07058202400000"; got != want {
		t.Errorf("configuration\n%s, want\n%s", got, want)
	}
	if got := hexOf(device.CCIDDevice()); got != "1201100100000008"+"2f070022140201020001" {
		t.Errorf("device %s", got)
	}
	ask := func(message string) (out string) {
		b, err := hex.DecodeString(message)
		if err != nil {
			t.Fatal(err)
		}
		m.Command(b, func(r []byte) { out += hexOf(r) })
		return out
	}
	for _, tc := range []struct{ message, want string }{
		{"65000000000001000000", "81000000000001020000"},                               // no card
		{"62000000000002000000", "8000000000000242fe00"},                               // nothing to wake
		{"62000000000103000000", "81000000000103420500"},                               // no such slot
		{"6f050000000004000000", "81000000000004420100"},                               // length is a lie
		{"73000000000005000000", "81000000000005420000"},                               // not supported
		{"6b050000000006000000ff00480000", "830a000000000602000041435231323255323134"}, // firmware
	} {
		if got := ask(tc.message); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.message, got, tc.want)
		}
	}
	m.Tap(newWallet())
	if n := <-m.Notify(); hexOf(n) != "5003" {
		t.Errorf("notification %x", n)
	}
	if got := ask("62000000000007000000"); got != "80050000000007000000"+"3b80800101" { // no historical bytes in its ATS
		t.Errorf("woken: %s", got)
	}
	m.Take(nil)
	if n := <-m.Notify(); hexOf(n) != "5002" {
		t.Errorf("notification %x", n)
	}
	if got := ask("6f0400000000080000000084" + "0000"); got != "8000000000000842fe00" {
		t.Errorf("gone: %s", got)
	}
}
