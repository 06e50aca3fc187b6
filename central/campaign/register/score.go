package register

import (
	"math"
	"time"

	"dcpos/central/campaign/fence"
	"dcpos/pos"
)

// Signals is what an app says about a phone. Anybody can send what she
// likes: they make a score, never a verdict.
type Signals struct {
	Mock     bool   `json:"mock"`     // the position came from a mock provider (Android isFromMockProvider)
	Rooted   bool   `json:"rooted"`   // root or jailbreak
	Emulator bool   `json:"emulator"` // no real phone
	Device   string `json:"device"`   // an installation's random id
}

// Doubt is one reason of a score.
type Doubt string

// The doubts.
const (
	DoubtMock     Doubt = "mock_location"
	DoubtRooted   Doubt = "rooted"
	DoubtEmulator Doubt = "emulator"
	DoubtTooGood  Doubt = "accuracy_too_good"
	DoubtRound    Doubt = "round_coordinates"
	DoubtSpeed    Doubt = "impossible_speed"
)

// AllDoubts lists every doubt, the gravest first.
func AllDoubts() []Doubt {
	return []Doubt{DoubtMock, DoubtSpeed, DoubtEmulator, DoubtTooGood, DoubtRooted, DoubtRound}
}

// Weight is how many points of 100 a doubt is worth.
func (d Doubt) Weight() int {
	switch d {
	case DoubtMock, DoubtSpeed:
		return 40
	case DoubtEmulator:
		return 30
	case DoubtTooGood:
		return 15
	case DoubtRooted, DoubtRound:
		return 10
	}
	return 0
}

// Text says it to people.
func (d Doubt) Text() pos.Text {
	switch d {
	case DoubtMock:
		return pos.Text{ZH: "位置来自模拟定位", EN: "the position came from a mock provider"}
	case DoubtRooted:
		return pos.Text{ZH: "手机系统已被破解", EN: "the phone is rooted"}
	case DoubtEmulator:
		return pos.Text{ZH: "设备为模拟器", EN: "the phone is an emulator"}
	case DoubtTooGood:
		return pos.Text{ZH: "定位精度好得不真实", EN: "the accuracy is too good"}
	case DoubtRound:
		return pos.Text{ZH: "坐标过于整齐", EN: "the coordinates are round"}
	case DoubtSpeed:
		return pos.Text{ZH: "两次定位之间的速度不可能", EN: "nobody moves so fast between two positions"}
	}
	return pos.Text{}
}

// seen is a position and when it was said.
type seen struct {
	fence.Fix
	at time.Time
}

// Doubts are the reasons to doubt a position; before may be nil.
func doubts(s Signals, now *seen, before *seen) []Doubt {
	var all []Doubt
	for _, c := range []struct {
		is    bool
		doubt Doubt
	}{{s.Mock, DoubtMock}, {s.Rooted, DoubtRooted}, {s.Emulator, DoubtEmulator}} {
		if c.is {
			all = append(all, c.doubt)
		}
	}
	if now == nil {
		return all
	}
	if now.Accuracy < 1 { // metres; phones reach three at best
		all = append(all, DoubtTooGood)
	}
	if round(now.Lat) && round(now.Lon) {
		all = append(all, DoubtRound)
	}
	if before != nil && speed(*before, *now) > 300 { // metres a second: an airliner
		all = append(all, DoubtSpeed)
	}
	return all
}

// Score sums up doubts, at most 100.
func Score(all []Doubt) int {
	n := 0
	for _, d := range all {
		n += d.Weight()
	}
	return min(n, 100)
}

// round reports that there is nothing after three decimals, about 100 m.
func round(x float64) bool { return math.Abs(x*1000-math.Round(x*1000)) < 1e-9 }

// speed is in metres a second, by the shortest way that both circles allow.
func speed(a, b seen) float64 {
	p, errA := a.Datum.ToWGS84(a.Lat, a.Lon)
	q, errB := b.Datum.ToWGS84(b.Lat, b.Lon)
	seconds := max(1, b.at.Sub(a.at).Seconds())
	if errA != nil || errB != nil {
		return 0
	}
	const radius = 6371000 // metres: the earth, as a ball
	rad := math.Pi / 180
	sinLat, sinLon := math.Sin((q.Lat-p.Lat)*rad/2), math.Sin((q.Lon-p.Lon)*rad/2)
	way := 2 * radius * math.Asin(math.Sqrt(min(1, sinLat*sinLat+math.Cos(p.Lat*rad)*math.Cos(q.Lat*rad)*sinLon*sinLon)))
	return max(0, way-a.Accuracy-b.Accuracy) / seconds
}
