package pn532

import (
	"errors"
	"testing"

	"dcpos/drivers"
)

func TestEveryStatus(t *testing.T) {
	for b := range 256 {
		err := status(b).err()
		if low := b & 0x3F; low == 0 != (err == nil) {
			t.Errorf("%02x: %v", b, err)
		}
		if err != nil && !errors.Is(err, drivers.ErrTorn) && !errors.Is(err, drivers.ErrFailure) {
			t.Errorf("%02x: %v", b, err)
		}
	}
	for s, want := range map[status]drivers.ErrorCode{0x01: drivers.ErrTorn, 0x2B: drivers.ErrTorn, 0x0D: drivers.ErrFailure, 0x41: drivers.ErrTorn} {
		if !errors.Is(s.err(), want) {
			t.Errorf("%02x: %v", byte(s), s.err())
		}
	}
}
