package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/campaign/statement"
	"dcpos/central/fleet"
	"dcpos/central/issuance"
	"dcpos/pos"
)

// issued is an envelope of the campaign c with so much spent.
func issued(id string, n byte, spent pos.Money) issuance.Issued {
	from := time.Date(2021, 2, 10, 21, 0, 0, 0, pos.Shanghai())
	e := issuance.Envelope{ID: id, Campaign: "c", State: issuance.PartlySpent, Face: 200_00, Left: 200_00 - spent, Spent: spent, From: from, Until: from.AddDate(0, 0, 7)}
	return issuance.Issued{Envelope: e, Ticket: [32]byte{n}, Rank: int64(n), Institution: "ICBC", OfferedMS: 1, ClaimedMS: 2}
}

func seedSpends(ctx context.Context, s *Store) error {
	at := time.Date(2021, 2, 11, 0, 30, 0, 0, pos.Shanghai()).UnixMilli()
	share := func(id byte, n int, envelope, store, channel string, price, amount pos.Money, reason string) issuance.Spend {
		return issuance.Spend{
			Payment: sampleID(id), N: n, Envelope: envelope, Campaign: "c", Institution: "ICBC", Merchant: "M1", Store: store, Channel: channel,
			Category: "food", Price: price, Amount: amount, AtMS: at, Date: "2021-02-11", Reason: reason,
		}
	}
	err := s.Fleet().Write(ctx, func(tx fleet.Tx) error {
		return errors.Join(tx.PutMerchant(ctx, fleet.Merchant{ID: "M1"}), tx.PutShop(ctx, fleet.Shop{ID: "S1", Merchant: "M1", District: "东城区"}),
			tx.PutShop(ctx, fleet.Shop{ID: "S2", Merchant: "M1"}))
	})
	if err != nil {
		return err
	}
	other := share(1, 2, "e3", "S1", "in_store", 180_00, 20_00, "") // and an envelope of another campaign
	other.Campaign = "d"
	return s.Issuances().Write(ctx, func(tx issuance.Tx) error {
		return errors.Join(
			tx.PutEnvelopes(ctx, []issuance.Issued{issued("e1", 1, 150_00), issued("e2", 2, 50_00)}),
			tx.PutPace(ctx, "ICBC", 9), tx.PutPace(ctx, "ICBC", 7),
			tx.PutSpends(ctx, []issuance.Spend{
				share(1, 0, "e1", "S1", "in_store", 180_00, 100_00, ""), share(1, 1, "e2", "S1", "in_store", 180_00, 50_00, ""), other, // one payment, two envelopes
				share(2, 0, "e1", "", "online", 60_00, 50_00, ""),
				share(3, 0, "e1", "S2", "in_store", 10_00, 10_00, "left"), // not owed
			}))
	})
}

// TestIssuanceRows: the statement's lines count a payment once, whatever paid it, and know the
// store's district; progress is by institution.
func TestIssuanceRows(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx := t.Context()
		if err := seedSpends(ctx, s); err != nil {
			t.Fatal(err)
		}
		lines, err := s.CampaignLines(ctx, "c")
		want := []statement.Line{
			{Day: "2021-02-11", Merchant: "M1", Category: "food", Channel: "online", Payments: 1, Price: 60_00, Envelope: 50_00},
			{Day: "2021-02-11", District: "东城区", Merchant: "M1", Category: "food", Channel: "in_store", Payments: 1, Price: 180_00, Envelope: 150_00, Others: 20_00},
		}
		if diff := cmp.Diff(want, lines); diff != "" || err != nil {
			t.Error(diff, err)
		}
		err = s.Issuances().Read(ctx, func(tx issuance.Tx) error {
			p, err := tx.Progress(ctx, "c")
			b := p.Banks["ICBC"]
			if err != nil || p.Claimed != 2 || p.Spent != 200_00 || p.Refused != 1 || b.Envelopes != 2 || b.Left != 200_00 || b.Counts[issuance.PartlySpent] != 2 {
				t.Errorf("%+v, %v", p, err)
			}
			paces, err2 := tx.Paces(ctx)
			if paces["ICBC"] != 7 {
				t.Errorf("paces are %v", paces)
			}
			behind, err3 := tx.Behind(ctx, time.Now().UnixMilli())
			if behind != 0 {
				t.Errorf("%d are behind", behind)
			}
			return errors.Join(err, err2, err3)
		})
		if err != nil {
			t.Error(err)
		}
	})
}
