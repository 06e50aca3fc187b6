package register

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dcpos/central/campaign"
	"dcpos/pos"
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, pos.Shanghai()) }

func TestParseIdentity(t *testing.T) {
	now := day(2021, 2, 7)
	for _, c := range []struct {
		kind                  campaign.Document
		country, number, want string
		err                   error
		born                  time.Time
	}{
		{campaign.ResidentID, "", "11010519491231002X", "11010519491231002X", nil, day(1949, 12, 31)}, // the example of GB 11643
		{campaign.ResidentID, "", "440524188001010014", "440524188001010014", nil, day(1880, 1, 1)},   // and the other one
		{campaign.ResidentID, "", " 110105 19491231-002x", "11010519491231002X", nil, day(1949, 12, 31)},
		{campaign.ResidentID, "", "110105194912310021", "", errDigit, time.Time{}},
		{campaign.ResidentID, "", "1101051949123100", "", errForm, time.Time{}},
		{campaign.ResidentID, "", "110105491231002", "", errForm, time.Time{}}, // 15 digits: the first generation
		{campaign.ResidentID, "", withDigit("11010519490231002"), "", errBorn, time.Time{}},
		{campaign.ResidentID, "", withDigit("11010520210208002"), "", errBorn, time.Time{}}, // tomorrow
		{campaign.ResidentID, "", withDigit("99010519491231002"), "", errRegion, time.Time{}},
		{campaign.ResidentID, "", withDigit("81000019491231002"), "", errRegion, time.Time{}},
		{campaign.PermanentResidence, "", "USA110175133101", "", errBorn, time.Time{}}, // month 13
		{campaign.PermanentResidence, "", "usa 1101 75123101", "USA110175123101", nil, time.Time{}},
		{campaign.PermanentResidence, "", withDigit("91184019491231002"), withDigit("91184019491231002"), nil, day(1949, 12, 31)},
		{campaign.PermanentResidence, "", "11010519491231002X", "", errForm, time.Time{}},
		{campaign.Passport, "usa", "c 1234-5678", "C12345678", nil, time.Time{}},
		{campaign.Passport, "", "C12345678", "", errCountry, time.Time{}},
		{campaign.Passport, "USA", "C1234567890", "", errForm, time.Time{}},
		{campaign.HKMacaoPermit, "", "h12345678", "H12345678", nil, time.Time{}},
		{campaign.HKMacaoPermit, "", "H1234567802", "H12345678", nil, time.Time{}}, // its second issue
		{campaign.HKMacaoPermit, "", withDigit("81000019491231002"), withDigit("81000019491231002"), nil, day(1949, 12, 31)},
		{campaign.HKMacaoPermit, "", withDigit("83000019491231002"), "", errRegion, time.Time{}},
		{campaign.TaiwanPermit, "", "1234567803", "12345678", nil, time.Time{}},
		{campaign.TaiwanPermit, "", withDigit("83000019491231002"), withDigit("83000019491231002"), nil, day(1949, 12, 31)},
		{campaign.TaiwanPermit, "", "1234567", "", errForm, time.Time{}},
	} {
		got, err := ParseIdentity(c.kind, c.country, c.number, now)
		if err != c.err { //nolint:errorlint // exactly these
			t.Errorf("%s %s: got %v, want %v", c.kind, c.number, err, c.err)
			continue
		}
		if err == nil && (got.Number != c.want || !got.Born.Equal(c.born)) {
			t.Errorf("%s %s: got %s born %s, want %s born %s", c.kind, c.number, got.Number, got.Born, c.want, c.born)
		}
	}
	if _, err := ParseIdentity("library_card", "", "1", now); err == nil {
		t.Error("a library card was taken")
	}
}

func withDigit(seventeen string) string { return seventeen + string(checkDigit(seventeen)) }

// TestTheCheckDigitFindsSlips: one wrong digit, or two neighbours exchanged.
func TestTheCheckDigitFindsSlips(t *testing.T) {
	now := day(2021, 2, 7)
	rapid.Check(t, func(t *rapid.T) {
		born := day(1900, 1, 1).AddDate(0, 0, rapid.IntRange(0, 44_000).Draw(t, "born"))
		n := withDigit(fmt.Sprintf("110105%s%03d", born.Format("20060102"), rapid.IntRange(0, 999).Draw(t, "order")))
		id, err := ParseIdentity(campaign.ResidentID, "", n, now)
		if err != nil || !id.Born.Equal(born) {
			t.Fatalf("%s: born %s, want %s (%v)", n, id.Born, born, err)
		}
		i := rapid.IntRange(0, 16).Draw(t, "place")
		b := []byte(n)
		b[i] = '0' + (b[i]-'0'+byte(rapid.IntRange(1, 9).Draw(t, "by")))%10
		if _, err := ParseIdentity(campaign.ResidentID, "", string(b), now); err == nil {
			t.Fatalf("%s was taken for %s", b, n)
		}
		b = []byte(n)
		if b[i], b[i+1] = b[i+1], b[i]; string(b) != n {
			if _, err := ParseIdentity(campaign.ResidentID, "", string(b), now); err == nil {
				t.Fatalf("%s was taken for %s", b, n)
			}
		}
	})
}

func TestAge(t *testing.T) {
	id := Identity{Born: day(2003, 2, 8)}
	for at, want := range map[time.Time]int{
		day(2021, 2, 7): 17, day(2021, 2, 8): 18, day(2021, 2, 8).Add(-time.Millisecond): 17,
		time.Date(2021, 2, 7, 16, 0, 0, 0, time.UTC): 18, // already the 8th in Shanghai
	} {
		if got := id.Age(at); got != want {
			t.Errorf("at %s: %d, want %d", at, got, want)
		}
	}
	if (Identity{}).Age(day(2021, 1, 1)) != -1 {
		t.Error("an age that nobody knows")
	}
	leap := Identity{Born: day(2004, 2, 29)}
	if leap.Age(day(2022, 2, 28)) != 17 || leap.Age(day(2022, 3, 1)) != 18 {
		t.Error("who was born on 29 February is a year older on 1 March")
	}
}

func TestParsePhone(t *testing.T) {
	for in, want := range map[string]string{
		"13800138000": "13800138000", "+86 138-0013-8000": "13800138000", "8613800138000": "13800138000", " 19912345678 ": "19912345678",
		"12800138000": "", "1380013800": "", "138001380000": "", "+85291234567": "", "": "", "1380013800x": "",
	} {
		if got, err := ParsePhone(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, want %q (%v)", in, got, want, err)
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("resident_id", "", "11010519491231002X")
	f.Add("permanent_residence", "", "USA110175123101")
	f.Add("passport", "USA", "C12345678")
	f.Add("hk_macao_permit", "", "H1234567802")
	f.Add("taiwan_permit", "", "12345678")
	f.Fuzz(func(t *testing.T, kind, country, number string) {
		now := day(2021, 2, 7)
		id, err := ParseIdentity(campaign.Document(kind), country, number, now)
		if err != nil {
			return
		}
		again, err := ParseIdentity(id.Document, id.Country, id.Number, now)
		if err != nil || again.Number != id.Number || again.Country != id.Country || !again.Born.Equal(id.Born) {
			t.Errorf("%+v is read again as %+v, %v", id, again, err)
		}
		if id.Born.After(now) {
			t.Errorf("%+v is not born yet", id)
		}
		_, _ = ParsePhone(number)
	})
}
