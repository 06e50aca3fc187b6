package statement

import "time"

// Asia/Shanghai has been UTC+8 without daylight saving since 1991; a fixed zone
// needs no zone database on the machine.
const (
	shanghaiSeconds = 8 * 3600
)

// stampDay gives the date in Asia/Shanghai, as yyyymmdd, of a time stamp in RFC
// 3339, Unix milliseconds (1 to 13 digits) or yyyyMMddHHmmss (Asia/Shanghai).
func stampDay(b []byte) (int32, bool) {
	if n, ok := number(b); ok {
		switch {
		case len(b) == len("yyyyMMddHHmmss"):
			return localStamp(b)
		case len(b) < len("yyyyMMddHHmmss"):
			return unixDay(int64(n) / 1000), true
		}
		return 0, false
	}
	if len(b) == len("2006-01-02T15:04:05Z") && b[19] == 'Z' && plainTime(b) {
		day, ok := ParseDay(b[:10])
		hour, _ := number(b[11:13])
		if ok && hour < 16 {
			return day, true // the usual case: same day in Shanghai, no calendar needed
		}
	}
	if len(b) == len("2006-01-02T15:04:05+08:00") && string(b[19:]) == "+08:00" && plainTime(b) {
		return ParseDay(b[:10])
	}
	t, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return 0, false
	}
	return unixDay(t.Unix()), true
}

// clockKnown is added to Row.clock where a format has times.
const clockKnown = 1_000_000

// Hour is the hour of the line's time in Asia/Shanghai; 0 where the format has no times.
func (r *Row) Hour() int {
	seconds, _ := r.Clock()
	return seconds / 3600
}

// Clock is the line's time of day in Asia/Shanghai, in seconds; false where the format has no times.
func (r *Row) Clock() (seconds int, known bool) {
	const day = 24 * 3600
	if r.stamp == nil {
		if r.clock < clockKnown {
			return 0, false
		}
		return hhmmss(r.clock - clockKnown), true
	}
	b := r.stamp
	if n, ok := number(b); ok {
		if len(b) == len("yyyyMMddHHmmss") {
			return hhmmss(int(n % clockKnown)), true
		}
		return int((int64(n)/1000 + shanghaiSeconds) % day), true
	}
	t, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return 0, false // lines are checked before
	}
	return int((t.Unix()+shanghaiSeconds)%day+day) % day, true
}

func hhmmss(n int) int { return n/10_000*3600 + n/100%100*60 + n%100 }

func plainTime(b []byte) bool {
	h, ok1 := number(b[11:13])
	m, ok2 := number(b[14:16])
	s, ok3 := number(b[17:19])
	return ok1 && ok2 && ok3 && h < 24 && m < 60 && s < 60 && b[10] == 'T' && b[13] == ':' && b[16] == ':'
}

func localStamp(b []byte) (int32, bool) {
	day, ok := ParseDay(b[:8])
	h, _ := number(b[8:10])
	m, _ := number(b[10:12])
	s, _ := number(b[12:14])
	return day, ok && h < 24 && m < 60 && s < 60
}

func unixDay(seconds int64) int32 {
	t := time.Unix(seconds+shanghaiSeconds, 0).UTC()
	y, m, d := t.Date()
	return int32(y*10000 + int(m)*100 + d)
}

// ParseDay reads yyyy-MM-dd or yyyyMMdd as the number yyyymmdd; a day that the
// calendar does not have is refused.
func ParseDay(b []byte) (int32, bool) {
	var y, m, d uint64
	var ok1, ok2, ok3 bool
	switch {
	case len(b) == 10 && b[4] == '-' && b[7] == '-':
		y, ok1 = number(b[:4])
		m, ok2 = number(b[5:7])
		d, ok3 = number(b[8:])
	case len(b) == 8:
		y, ok1 = number(b[:4])
		m, ok2 = number(b[4:6])
		d, ok3 = number(b[6:])
	}
	if !ok1 || !ok2 || !ok3 || m < 1 || m > 12 || d < 1 || d > monthDays(y, m) {
		return 0, false
	}
	return int32(y*10000 + m*100 + d), true
}

func monthDays(year, month uint64) uint64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// number reads 1 to 18 digits and nothing else.
func number(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var v uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}
