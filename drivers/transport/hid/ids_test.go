package hid

import (
	"strings"
	"testing"
)

// FuzzIDs reads what the kernel calls a HID device (HID_ID of its uevent file).
func FuzzIDs(f *testing.F) {
	f.Add("0003:00000C2E:00000B87")
	f.Add("::")
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 128 {
			return
		}
		vid, pid := ids(value)
		for _, id := range []string{vid, pid} {
			if id != "" && !strings.Contains(strings.ToLower(value), id) {
				t.Fatalf("%q is not in %q", id, value)
			}
		}
		if (vid == "") != (pid == "") {
			t.Fatalf("%q is %q and %q", value, vid, pid)
		}
	})
}
