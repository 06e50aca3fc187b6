package register

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/campaign/fence"
)

func TestDoubts(t *testing.T) {
	at := day(2021, 2, 7)
	beijing := seen{fence.Fix{Datum: fence.GCJ02, Lat: 39.91641, Lon: 116.41742, Accuracy: 20}, at}
	shanghai := seen{fence.Fix{Datum: fence.WGS84, Lat: 31.23041, Lon: 121.47372, Accuracy: 20}, at.Add(10 * time.Minute)}
	train := shanghai
	train.at = at.Add(5 * time.Hour)
	other := beijing // the same place in another datum, a second later
	p, err := fence.GCJ02.ToWGS84(beijing.Lat, beijing.Lon)
	if err != nil {
		t.Fatal(err)
	}
	other.Datum, other.Lat, other.Lon, other.at = fence.WGS84, p.Lat, p.Lon, at.Add(time.Second)
	for name, c := range map[string]struct {
		s           Signals
		now, before *seen
		want        []Doubt
	}{
		"none":                   {Signals{}, &beijing, nil, nil},
		"no position":            {Signals{Mock: true}, nil, nil, []Doubt{DoubtMock}},
		"Shanghai in 10 minutes": {Signals{}, &shanghai, &beijing, []Doubt{DoubtSpeed}},
		"Shanghai by train":      {Signals{}, &train, &beijing, nil},
		"another datum":          {Signals{}, &other, &beijing, nil},
		"too good and round":     {Signals{}, &seen{fence.Fix{Datum: fence.WGS84, Lat: 39.9, Lon: 116.4}, at}, nil, []Doubt{DoubtTooGood, DoubtRound}},
	} {
		if diff := cmp.Diff(c.want, doubts(c.s, c.now, c.before)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTheLimiterIsBounded(t *testing.T) {
	const most = 1000
	l := Limiter{most: most}
	now := day(2021, 2, 7)
	for i := range 3 {
		if got := l.Allow("a", 2, time.Minute, now); got != (i < 2) {
			t.Errorf("%d: %t", i, got)
		}
	}
	if !l.Allow("b", 2, time.Minute, now) || !l.Allow("a", 2, time.Minute, now.Add(time.Minute)) {
		t.Error("another key, or the next minute, was refused")
	}
	for i := range most {
		l.Allow(strconv.Itoa(i), 1, time.Minute, now)
	}
	if l.Allow("new", 1, time.Minute, now.Add(time.Second)) || len(l.counts) > most {
		t.Errorf("%d keys are counted", len(l.counts))
	}
	if !l.Allow("new", 1, time.Minute, now.Add(2*time.Minute)) || len(l.counts) != 1 {
		t.Errorf("%d keys are left of those that are over", len(l.counts))
	}
}
