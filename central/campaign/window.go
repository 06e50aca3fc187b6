package campaign

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"dcpos/pos"
)

// Window is a half-open interval of instants: From belongs to it, Until does not.
type Window struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// Contains reports that t is in the window.
func (w Window) Contains(t time.Time) bool { return !t.Before(w.From) && t.Before(w.Until) }

// UnmarshalYAML reads {from: …, until: …} as notices write them, in Asia/Shanghai. A
// first moment is a date ("2021-02-07", its beginning) or a time. A last moment is a
// date (its end), "24:00" (00:00 of the next day), "hh:mm:ss" (that second included),
// "23:59" (that minute included) or any other "hh:mm" (that instant).
func (w *Window) UnmarshalYAML(node *yaml.Node) error {
	var raw map[string]string
	if err := node.Decode(&raw); err != nil {
		return fmt.Errorf("window: %w", err)
	}
	for key := range raw {
		if key != "from" && key != "until" {
			return fmt.Errorf("window: field %s is not known", key)
		}
	}
	var err error
	if w.From, err = ParseFirst(raw["from"]); err != nil {
		return err
	}
	w.Until, err = ParseLast(raw["until"])
	return err
}

// MarshalYAML writes what UnmarshalYAML reads, to the second: the last one belongs to it.
func (w Window) MarshalYAML() (any, error) {
	text := func(t time.Time) string { return t.In(pos.Shanghai()).Format(time.DateTime) }
	return map[string]string{"from": text(w.From), "until": text(w.Until.Add(-time.Second))}, nil
}

// ParseFirst reads the first moment of a window.
func ParseFirst(s string) (time.Time, error) {
	if t, err := parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	if t, err := parse("2006-01-02 15:04:05", s); err == nil {
		return t, nil
	}
	t, err := parse("2006-01-02 15:04", s)
	if err != nil {
		return t, fmt.Errorf("first moment %.32q: want yyyy-mm-dd, with hh:mm or hh:mm:ss", s)
	}
	return t, nil
}

// ParseLast reads the last moment of a window and returns the instant after it.
func ParseLast(s string) (time.Time, error) {
	if t, err := parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	if day, ok := strings.CutSuffix(s, " 24:00"); ok {
		if t, err := parse(time.DateOnly, day); err == nil {
			return t.AddDate(0, 0, 1), nil
		}
	}
	if t, err := parse("2006-01-02 15:04:05", s); err == nil {
		return t.Add(time.Second), nil
	}
	t, err := parse("2006-01-02 15:04", s)
	if err != nil {
		return t, fmt.Errorf("last moment %.32q: want yyyy-mm-dd, with hh:mm, hh:mm:ss or 24:00", s)
	}
	if t.Hour() == 23 && t.Minute() == 59 {
		t = t.Add(time.Minute)
	}
	return t, nil
}

// parse is strict: "2021-2-7" and fractions of a second are refused.
func parse(layout, s string) (time.Time, error) {
	t, err := time.ParseInLocation(layout, s, pos.Shanghai())
	if err != nil {
		return t, err
	}
	if t.Format(layout) != s {
		return t, errors.New("not in the form " + layout)
	}
	return t, nil
}
