package campaign_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"dcpos/central/campaign"
	"dcpos/pos"
)

// What a till decides from its catalogue is what the published definition says.
func TestTheCatalogueSaysWhatTheDefinitionSays(t *testing.T) {
	from := time.Date(2021, 2, 10, 21, 0, 0, 0, pos.Shanghai())
	until := from.Add(time.Hour)
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string, of ...string) []string {
			if rapid.Bool().Draw(t, name+" all") {
				return []string{"*"}
			}
			return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 1, len(of), rapid.ID).Draw(t, name)
		}
		scope := campaign.Scope{Merchants: some("merchants", "m1", "m2"), Stores: some("stores", "s1", "s2"), Categories: some("categories", "books", "wine")}
		scope.Channels = rapid.SliceOfNDistinct(rapid.SampledFrom([]campaign.Channel{campaign.InStore, campaign.Online}), 1, 2, rapid.ID).Draw(t, "channels")
		p := campaign.Published{Hash: "abcd", Definition: campaign.Definition{Name: "c", Scope: scope, Spend: campaign.Window{From: from, Until: until}}}
		place := campaign.Place{
			Channel: campaign.InStore, Merchant: rapid.SampledFrom([]string{"m1", "m2", "m3"}).Draw(t, "merchant"),
			Store: rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(t, "store"), Category: rapid.SampledFrom([]string{"books", "wine", "tea"}).Draw(t, "category"),
		}
		now := from.Add(time.Duration(rapid.SampledFrom([]int64{-1, 0, 1, 3_599_999, 3_600_000}).Draw(t, "ms")) * time.Millisecond)
		catalogue := pos.Catalogue{Campaigns: []pos.CampaignScope{p.ScopeAt(place.Merchant, place.Store)}}
		use := pos.EnvelopeUse{Envelope: "e", Campaign: "c", Hash: []byte{0xab, 0xcd}, Amount: 1}
		want := scope.Allows(place) && p.Definition.Spend.Contains(now)
		if err := catalogue.Admit(use, place.Category, pos.IntervalAt(now)); (err == nil) != want {
			t.Fatalf("%v, want %v", err, want)
		}
	})
}
