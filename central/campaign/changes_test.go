package campaign_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/campaign"
)

// TestADefinitionIsReadAgainAsItWasWritten, so that a published one can be changed.
func TestADefinitionIsReadAgainAsItWasWritten(t *testing.T) {
	all, err := campaign.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		text, err := d.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := campaign.Parse(text)
		if err != nil {
			t.Errorf("%s: %v\n%s", d.Name, err, text)
			continue
		}
		a, _ := json.Marshal(d)
		b, _ := json.Marshal(again)
		if diff := cmp.Diff(string(a), string(b)); diff != "" {
			t.Errorf("%s: %s", d.Name, diff)
		}
	}
}

func TestChangesAreNamedInTwoLanguages(t *testing.T) {
	all, err := campaign.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	publish := func(d campaign.Definition, version int, area string) campaign.Published {
		p, err := campaign.Publish(d, version, []byte(area))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	d := all[0]
	d.Presence, d.Fence = campaign.Anywhere, ""
	first := publish(d, 1, "")
	if same := campaign.Changes(first, publish(d, 2, "")); len(same) > 0 {
		t.Errorf("only the number differs: %+v", same)
	}
	next := d
	next.Spend.Until = d.Spend.Until.Add(time.Hour)
	next.Scope.Categories = []string{"food", "books"}
	next.Note = "another"
	next.Tiers = append([]campaign.Tier{}, d.Tiers...)
	next.Tiers[0].Count--
	next.Budget = next.Total()
	got := map[string]bool{}
	for _, c := range campaign.Changes(first, publish(next, 2, "")) {
		got[c.Field] = true
		if c.Old == c.New || c.Text.ZH == c.Field || c.Text.EN == "" {
			t.Errorf("%+v", c)
		}
	}
	for _, field := range []string{"spend.until", "scope.categories[1]", "note", "tiers[0].count", "budget_fen"} {
		if !got[field] {
			t.Errorf("%s is not told of: %v", field, got)
		}
	}
	var parts struct {
		Definition map[string]any `json:"definition"`
	}
	if err := json.Unmarshal(first.Text, &parts); err != nil {
		t.Fatal(err)
	}
	for part := range parts.Definition {
		if text := campaign.PartText(part); text.ZH == part || strings.TrimSpace(text.EN) == "" {
			t.Errorf("%s has no name for people", part)
		}
	}
}
