package escpos

import (
	"time"

	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

// Questions of DLE EOT n (10 04 n) and GS r n (1D 72 n).
const (
	askOnline  = 1
	askOffline = 2 // why it is off-line
	askError   = 3
	askPaper   = 4
)

// applyASB takes a report of four bytes into the status (Epson's reference, GS a).
func applyASB(s *drivers.PrinterStatus, b []byte, d profiles.Drawer, at time.Time) {
	set := readings(at)
	s.Online = set(b[0]&0x08 == 0)
	s.CoverOpen = set(b[0]&0x20 != 0)
	s.CutterError = set(b[1]&0x08 != 0)
	s.Fault = set(b[1]&0x24 != 0) // recoverable, unrecoverable
	s.HeadHot = set(b[1]&0x40 != 0)
	s.PaperNearEnd = set(b[2]&0x03 != 0)
	s.PaperEnd = set(b[2]&0x0C == 0x0C)
	applyDrawer(s, b[0]&0x04 != 0, d, at)
}

// applyRealTime takes the answer to DLE EOT n into the status.
func applyRealTime(s *drivers.PrinterStatus, n int, b byte, d profiles.Drawer, at time.Time) {
	set := readings(at)
	switch n {
	case askOnline:
		s.Online = set(b&0x08 == 0)
		applyDrawer(s, b&0x04 != 0, d, at)
	case askOffline:
		s.CoverOpen = set(b&0x04 != 0)
		if b&0x20 != 0 {
			s.PaperEnd = set(true)
		}
	case askError:
		s.CutterError = set(b&0x08 != 0)
		s.Fault = set(b&0x24 != 0)
		s.HeadHot = set(b&0x40 != 0)
	case askPaper:
		s.PaperNearEnd = set(b&0x0C != 0)
		s.PaperEnd = set(b&0x60 == 0x60)
	}
}

func applyDrawer(s *drivers.PrinterStatus, high bool, d profiles.Drawer, at time.Time) {
	switch d.OpenLevel {
	case "high":
		s.DrawerOpen = drivers.Reading{Value: drivers.TriOf(high), At: at}
	case "low":
		s.DrawerOpen = drivers.Reading{Value: drivers.TriOf(!high), At: at}
	}
}

func readings(at time.Time) func(bool) drivers.Reading {
	return func(yes bool) drivers.Reading { return drivers.Reading{Value: drivers.TriOf(yes), At: at} }
}

// trouble is why nothing is printed now, the most telling reason first; empty when
// nothing known stands against it.
func trouble(s drivers.PrinterStatus) drivers.PauseReason {
	switch {
	case s.CoverOpen.Value == drivers.Yes:
		return drivers.PausedCover
	case s.PaperEnd.Value == drivers.Yes:
		return drivers.PausedPaper
	case s.CutterError.Value == drivers.Yes, s.Fault.Value == drivers.Yes, s.HeadHot.Value == drivers.Yes:
		return drivers.PausedError
	case s.Online.Value == drivers.No:
		return drivers.PausedOffline
	}
	return ""
}

// silent takes back what is no longer known, because the printer does not answer.
func silent(s *drivers.PrinterStatus, at time.Time) {
	*s = drivers.PrinterStatus{Online: drivers.Reading{Value: drivers.Unknown, At: at}}
}

// gone says that the connection is lost: nothing is known but that it is off-line.
func gone(s *drivers.PrinterStatus, at time.Time) {
	*s = drivers.PrinterStatus{Online: drivers.Reading{Value: drivers.No, At: at}}
}
