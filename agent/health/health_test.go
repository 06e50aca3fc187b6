package health_test

import (
	"testing"
	"time"

	"dcpos/agent/health"
)

func TestFindingsAreTheWorstFirstAndDoNotFlicker(t *testing.T) {
	now := time.UnixMilli(1000)
	tr := health.New(func() time.Time { return now })
	tr.Set(health.OfflineCondition(), "no route")
	tr.Set(health.NearLimitCondition(), "")
	tr.Set(health.StorageCondition(), "disk full")
	codes := func() (got []string) {
		for _, f := range tr.Findings() {
			got = append(got, f.Code)
		}
		return got
	}
	if got := codes(); len(got) != 2 || got[0] != "storage" || got[1] != "limits_near" {
		t.Fatalf("at once: %v", got)
	}
	now = now.Add(4 * time.Second)
	tr.Set(health.OfflineCondition(), "still")
	if got := codes(); len(got) != 3 || got[2] != "offline" {
		t.Fatalf("later: %v", got)
	}
	tr.Clear(health.StorageCondition())
	tr.Put(health.OfflineCondition(), nil)
	if got := codes(); len(got) != 1 {
		t.Fatalf("after clearing: %v", got)
	}
}

func TestEveryConditionSpeaksBothLanguages(t *testing.T) {
	for _, c := range []health.Condition{
		health.OfflineCondition(), health.NearLimitCondition(), health.LimitCondition(), health.ClockCondition(),
		health.StorageCondition(), health.QuarantineCondition(), health.VerdictCondition(),
	} {
		if c.Text.ZH == "" || c.Text.EN == "" || c.Hint.ZH == "" || c.Hint.EN == "" {
			t.Errorf("%s lacks a sentence", c.Code)
		}
	}
}
