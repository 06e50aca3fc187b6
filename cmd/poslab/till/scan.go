package till

import (
	"fmt"
	"strings"
	"time"

	"dcpos/lab/device"
)

// half is the silence between the halves of a code: longer than any pause of a scanner.
const half = 500 * time.Millisecond

// scan scans by the serial scanner.
func (c *counter) scan(code, aim string) error {
	if aim == "" {
		aim = symbology(code)
	}
	return c.scanner.Scan(code, aim)
}

// symbology is the AIM identifier of what a code most likely is printed as: EAN-13 for its
// digits, else QR (ISO/IEC 15424).
func symbology(code string) string {
	if len(code) == 13 && strings.Trim(code, "0123456789") == "" {
		return "]E0"
	}
	return "]Q1"
}

// frame sets what ends a code.
func (c *counter) frame(name string) error {
	o := device.ScannerOptions{AIM: c.scanner.Options().AIM}
	switch name {
	case "cr":
	case "lf":
		o.Suffix = "\n"
	case "crlf":
		o.Suffix = "\r\n"
	case "tab":
		o.Suffix = "\t"
	case "stx":
		o.Prefix, o.Suffix = "\x02", "\x03"
	case "none":
		o.NoSuffix = true
	default:
		return errUsage
	}
	c.scanner.Set(o)
	return nil
}

// scanByHID scans by a device that is played to the kernel.
func (c *counter) scanByHID(name string, args []string, scan func(code, symbology string) error) error {
	return one(args, func(code string) error {
		for _, p := range c.plugs {
			if p.name == name && !p.plugged() {
				return fmt.Errorf("%s 未接上 is not plugged in: :plug %[1]s", name)
			}
		}
		return scan(code, symbology(code))
	})
}
