package usb

// Descriptor types (USB 2.0, table 9-5).
const (
	interfaceType = 0x04
	endpointType  = 0x05
)

// classDescriptors are what stands between an interface's descriptor and its first
// endpoint (USB 2.0, 9.6.5), out of a whole configuration; empty when there is none.
func classDescriptors(configuration []byte, number, alternate int) []byte {
	ours := false
	var out []byte
	for b := configuration; len(b) >= 2; {
		n := int(b[0])
		if n < 2 || n > len(b) {
			break
		}
		switch {
		case b[1] == interfaceType && n >= 4:
			ours = int(b[2]) == number && int(b[3]) == alternate
		case b[1] == endpointType:
			ours = false
		case ours:
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}
