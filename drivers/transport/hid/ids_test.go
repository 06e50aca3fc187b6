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
		if (vid == "") != (pid == "") || vid != "" && (len(vid) != 4 || len(pid) != 4 || strings.Trim(vid+pid, "0123456789abcdef") != "") {
			t.Fatalf("%q is %q and %q", value, vid, pid)
		}
	})
}
