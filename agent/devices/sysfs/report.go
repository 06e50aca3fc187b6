package sysfs

// Usage is what a HID collection is for.
type Usage struct{ Page, Usage uint16 }

// The items of a HID report descriptor that are needed (HID 1.11, 6.2.2): tag and type
// without the size bits.
const (
	itemUsagePage     = 0x04
	itemUsage         = 0x08
	itemCollection    = 0xa0
	itemEndCollection = 0xc0
	itemLong          = 0xfe // its length follows, then its tag
)

// item takes the first item off a report descriptor; false when it is cut.
func item(report []byte) (tag byte, value uint32, size int, rest []byte, ok bool) {
	tag = report[0]
	if tag == itemLong {
		if len(report) < 3 || len(report) < 3+int(report[1]) {
			return 0, 0, 0, nil, false
		}
		return tag, 0, 0, report[3+int(report[1]):], true
	}
	size = int(tag & 3)
	if size == 3 {
		size = 4
	}
	if len(report) < 1+size {
		return 0, 0, 0, nil, false
	}
	for i := range size {
		value |= uint32(report[1+i]) << (8 * i)
	}
	return tag &^ 3, value, size, report[1+size:], true
}

// Collections are the usages of the top-level collections of a report descriptor, as far
// as it can be read.
func Collections(report []byte) []Usage {
	var out []Usage
	var page, usage uint16
	depth := 0
	for len(report) > 0 {
		tag, value, size, rest, ok := item(report)
		if !ok {
			break
		}
		report = rest
		switch tag {
		case itemUsagePage:
			page = uint16(value) //nolint:gosec // pages are 16 bits
		case itemUsage:
			usage = uint16(value) //nolint:gosec // the low half
			if size == 4 && depth == 0 {
				page = uint16(value >> 16) //nolint:gosec // the high half is the page
			}
		case itemCollection:
			if depth == 0 {
				out = append(out, Usage{page, usage})
			}
			depth++
		case itemEndCollection:
			depth = max(0, depth-1)
		}
	}
	return out
}
