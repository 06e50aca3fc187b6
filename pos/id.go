package pos

import (
	"encoding/hex"
	"fmt"
	"time"
)

// PaymentID names a payment for ever, at the till and at the centre. It is a
// UUID of version 7 (RFC 9562 §5.7): its first 48 bits are Unix milliseconds,
// so ids sort by the time of their making.
type PaymentID [16]byte

// RefundID names a refund; the same form as PaymentID.
type RefundID = PaymentID

// NewPaymentID makes an id from the time and ten random bytes.
func NewPaymentID(now time.Time, random [10]byte) PaymentID {
	var id PaymentID
	ms := now.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	copy(id[6:], random[:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// String is the canonical form, 8-4-4-4-12 lower-case hexadecimal digits.
func (id PaymentID) String() string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Short is the last eight digits, for a person to read aloud; it does not name a payment alone.
func (id PaymentID) Short() string { return hex.EncodeToString(id[12:]) }

// IsZero reports whether the id names nothing.
func (id PaymentID) IsZero() bool { return id == PaymentID{} }

// Time is the moment in the id, to the millisecond.
func (id PaymentID) Time() time.Time {
	var ms int64
	for i := range 6 {
		ms = ms<<8 | int64(id[i])
	}
	return time.UnixMilli(ms)
}

// ParsePaymentID reads the canonical form only: 36 characters, lower case.
func ParsePaymentID(s string) (PaymentID, error) {
	var id PaymentID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, fmt.Errorf("payment id %q: want 36 characters such as 0195c1a0-0000-7000-8000-000000000000", clip(s))
	}
	b, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
	if err != nil {
		return id, fmt.Errorf("payment id %q: not hexadecimal", s)
	}
	copy(id[:], b)
	if id.String() != s {
		return PaymentID{}, fmt.Errorf("payment id %q: want lower case", s)
	}
	return id, nil
}

// MarshalText gives the canonical form, so that JSON shows ids as people see them.
func (id PaymentID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the canonical form; the empty text is the zero id.
func (id *PaymentID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = PaymentID{}
		return nil
	}
	v, err := ParsePaymentID(string(b))
	*id = v
	return err
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// Date is a calendar day "2006-01-02". Business dates are days of the shop,
// settlement dates are days of the institution; both in Asia/Shanghai.
type Date string

// Shanghai is the one time zone of the People's Republic: UTC+8, no summer time
// since 1991 (IANA tzdata, Asia/Shanghai). A fixed zone needs no tzdata file on a till.
func Shanghai() *time.Location { return time.FixedZone("Asia/Shanghai", 8*60*60) }

// DateOf is the day of t in Shanghai when days end at the cut-over: with
// cutover = 23h, 23:00:00 belongs to the next day. A cutover of 0 is midnight.
func DateOf(t time.Time, cutover time.Duration) Date {
	local := t.In(Shanghai())
	if cutover > 0 {
		local = local.Add(24*time.Hour - cutover)
	}
	return Date(local.Format(time.DateOnly))
}

// ParseDate reads "2006-01-02".
func ParseDate(s string) (Date, error) {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return "", fmt.Errorf("date %q: want yyyy-mm-dd", clip(s))
	}
	return Date(s), nil
}

// Environment tells real money from simulated money. Mixing them is an error of its own.
type Environment string

// The two environments.
const (
	Live Environment = "live"
	Lab  Environment = "lab"
)

// Valid reports whether e is one of the two.
func (e Environment) Valid() bool { return e == Live || e == Lab }

// Notice is what screens and receipts say of the environment; empty for live.
func (e Environment) Notice() Text {
	if e == Live {
		return Text{}
	}
	return Text{ZH: "测试", EN: "TEST"}
}
