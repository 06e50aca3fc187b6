package pos_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dcpos/pos"
)

func point(t *testing.T, lat, lon float64) pos.Point {
	t.Helper()
	p, err := pos.PointAt(lat, lon)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWaysOverTheGround(t *testing.T) {
	beijing, shanghai := point(t, 39.9042, 116.4074), point(t, 31.2304, 121.4737)
	for name, c := range map[string]struct {
		a, b pos.Point
		km   float64 // known from elsewhere
	}{
		"Beijing to Shanghai":    {beijing, shanghai, 1067},
		"nowhere":                {beijing, beijing, 0},
		"a degree of a meridian": {point(t, 0, 0), point(t, 1, 0), 111.19},
		"from pole to pole":      {point(t, 90, 0), point(t, -90, 77), 20015},
		"over the date line":     {point(t, 0, 179.5), point(t, 0, -179.5), 111.19},
	} {
		if got := float64(c.a.Metres(c.b)) / 1000; math.Abs(got-c.km) > 0.01+c.km*0.006 || c.b.Metres(c.a) != c.a.Metres(c.b) {
			t.Errorf("%s: %.2f km, want %.2f", name, got, c.km)
		}
	}
	if beijing.String() != "39.904200,116.407400" {
		t.Error(beijing)
	}
	for _, bad := range [][2]float64{{90.1, 0}, {0, -180.1}, {math.NaN(), 0}, {0, math.Inf(1)}} {
		if _, err := pos.PointAt(bad[0], bad[1]); pos.CodeOf(err) != pos.ErrBadRequest {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestTravel(t *testing.T) {
	travel := pos.DefaultLimits().Travel
	for name, c := range map[string]struct {
		travel pos.Travel
		km     int64
		within time.Duration
		want   bool
	}{
		"two cities within minutes":      {travel, 1067, 5 * time.Minute, true},
		"by plane":                       {travel, 1067, 2 * time.Hour, false},
		"to the metre":                   {travel, 1100, time.Hour, false},
		"a metre and a second too far":   {travel, 1100, time.Hour - time.Second, true},
		"the same city at one moment":    {travel, 60, 0, false},
		"beyond the slack at one moment": {travel, 101, 0, true},
		"no policy":                      {pos.Travel{}, 20000, 0, false},
	} {
		if got := c.travel.Impossible(c.km*1000, c.within); got != c.want {
			t.Errorf("%s: impossible %t", name, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		edge := rapid.Int64Range(0, 1e12)
		iv := func(name string) pos.Interval {
			a, b := edge.Draw(t, name), edge.Draw(t, name)
			return pos.Interval{EarliestMS: min(a, b), LatestMS: max(a, b)}
		}
		a, b := iv("a"), iv("b")
		most := a.Between(b)
		x, y := rapid.Int64Range(a.EarliestMS, a.LatestMS).Draw(t, "x"), rapid.Int64Range(b.EarliestMS, b.LatestMS).Draw(t, "y")
		if d := time.Duration(max(x-y, y-x)) * time.Millisecond; d > most || most != b.Between(a) {
			t.Fatalf("%v and %v: %v lies between %d and %d, at most %v", a, b, d, x, y, most)
		}
	})
}
