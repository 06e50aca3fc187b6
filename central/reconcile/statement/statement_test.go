package statement

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const head = requiredColumns + "," + optionalColumns

func csv(tb testing.TB) Parser {
	tb.Helper()
	parsers, fault := dcposCSV{}.Header([]byte(head))
	if fault != nil {
		tb.Fatal(fault.Why.EN)
	}
	return parsers.NewParser()
}

// FuzzLine: whatever the bytes, a line is either refused with a reason in both
// languages or gives fields that, joined again, are the line.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{
		"a,M,T,ICBC,100,1,S,2021-02-10T13:00:00Z,,,", "a,M,T,ICBC,100,-1,R,1612962000000,o,b,2021-02-10\r",
		"a,M,T,ICBC,9223372036854775807,0,F,20210210210000,,,20210210", `"a,b",,,`, "", "\r", "\x00", ",,,,,,,,,,",
		"a,M,T,ICBC,00,-0,P,2021-02-10T23:59:60Z,,,", "商,户,T,ICBC,1,0,S,0,,,", "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.IndexByte(line, '\n') >= 0 {
			return
		}
		var row Row
		if fault := csv(t).Parse(line, &row); fault != nil {
			if fault.Why.EN == "" || fault.Why.ZH == "" || !utf8.ValidString(fault.Why.EN) || strings.Contains(fault.Why.EN, "\x00") {
				t.Fatalf("fault %+v", fault)
			}
			return
		}
		fields := strings.Split(strings.TrimSuffix(string(line), "\r"), ",")
		amount, err := strconv.ParseInt(fields[4], 10, 64)
		if err != nil || amount != int64(row.Amount) || amount < 0 {
			t.Fatalf("amount %q read as %d", fields[4], row.Amount)
		}
		if fee, err := strconv.ParseInt(fields[5], 10, 64); err != nil || fee != int64(row.Fee) {
			t.Fatalf("fee %q read as %d", fields[5], row.Fee)
		}
		got := []string{string(row.TxnID), string(row.Merchant), string(row.Terminal), string(row.Bank), string(row.Status)}
		want := []string{fields[0], fields[1], fields[2], fields[3], fields[6]}
		if diff := cmp.Diff(want, got); diff != "" || len(row.TxnID) == 0 || len(row.TxnID) > MaxTxnID {
			t.Fatal(diff)
		}
		if _, err := time.Parse("20060102", fmt.Sprintf("%08d", row.Day)); err != nil && row.Day < 99991231 && row.Day > 0 {
			t.Fatalf("day %d", row.Day)
		}
	})
}

func TestStampsAgreeWithPackageTime(t *testing.T) {
	zone := time.FixedZone("Asia/Shanghai", 8*3600)
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 253402271999999).Draw(t, "ms"))
		local := at.In(zone)
		offset := time.FixedZone("", 60*rapid.IntRange(-14*60, 14*60).Draw(t, "offset"))
		want := int32(local.Year()*10000 + int(local.Month())*100 + local.Day())
		stamps := []string{
			at.UTC().Truncate(time.Second).Format(time.RFC3339), at.UTC().Format(time.RFC3339Nano),
			local.Format("20060102150405"),
			local.Format(time.RFC3339),
		}
		if at.UnixMilli() < 1e13 {
			stamps = append(stamps, strconv.FormatInt(at.UnixMilli(), 10))
		}
		if at.In(offset).Year() < 10000 {
			stamps = append(stamps, at.In(offset).Format(time.RFC3339))
		}
		for _, s := range stamps {
			if got, ok := stampDay([]byte(s)); !ok || got != want {
				t.Fatalf("%s: day %d %v, want %d", s, got, ok, want)
			}
		}
	})
	for _, bad := range []string{
		"", "x", "-1", "123456789012345", "20211301000000", "20210101240000", "2021-02-10", "2021-02-10T24:00:00Z",
		"2021-02-30T00:00:00Z", "2021-02-10 00:00:00Z", "2021-02-10T00:00:00", "20210210 21000",
		"2021-02-30T00:00:00+08:00", "20210210T00:00:00:00+08:00", "2021-02-10T24:00:00+08:00",
	} {
		if day, ok := stampDay([]byte(bad)); ok {
			t.Errorf("%q read as %d", bad, day)
		}
	}
}

// TestBlocksHoldEveryLineOnce reads odd texts with blocks of every small size, by
// position and as a stream.
func TestBlocksHoldEveryLineOnce(t *testing.T) {
	base, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		body := rapid.SliceOf(rapid.SampledFrom([]string{"\n", "a", "bb\n", strings.Repeat("c", 700) + "\n"})).Draw(rt, "body")
		text := strings.Join(body, "")
		n++
		path := filepath.Join(base, strconv.Itoa(n))
		if err := os.WriteFile(path, []byte(requiredColumns+"\n"+text), 0o600); err != nil {
			rt.Fatal(err)
		}
		var want []string
		if text != "" {
			want = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		}
		for _, plain := range []bool{true, false} {
			f, err := Open(Source{Path: path}, Options{Block: rapid.IntRange(1, 2000).Draw(rt, "block")})
			if err != nil {
				rt.Fatal(err)
			}
			if !plain {
				f.asStream()
			}
			var got []string
			var buf []byte
			if err := f.Keep(func() (*os.File, error) { return os.CreateTemp(base, "kept") }); err != nil {
				rt.Fatal(err)
			}
			lines := f.NewLines()
			type place struct {
				at   int64
				text string
			}
			var places []place
			for {
				b, done, err := f.Next(&buf)
				if err != nil {
					rt.Fatal(err)
				}
				if done {
					break
				}
				lines.Reset(b)
				for {
					at, text, _, ok := lines.Next(new(Row))
					if !ok {
						break
					}
					got = append(got, string(text))
					places = append(places, place{at, string(text)})
				}
				lines.Done()
			}
			for i, p := range places {
				number, again, err := f.Line(f.Window(), p.at, &buf)
				if err != nil || number != int64(i)+2 || string(again) != p.text {
					rt.Fatalf("line %d %q read again as line %d %q, %v", i+2, p.text, number, again, err)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("plain %v: %s", plain, diff)
			}
			_ = f.Close()
		}
	})
}

func TestParseSource(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "odd@dcpos")
	if err := os.WriteFile(odd, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{
		"a.csv": "{a.csv }", "a.csv@dcpos": "{a.csv dcpos}", "me@home/a.csv": "{me@home/a.csv }",
		"a@b.csv": "{a@b.csv }", odd: "{" + odd + " }",
	} {
		if src, err := ParseSource(arg); err != nil || fmt.Sprint(src) != want {
			t.Errorf("%s: %v %v, want %s", arg, src, err, want)
		}
	}
	_, err := ParseSource("a.csv@mt940")
	if err == nil || err.Error() != `a.csv: unknown statement format "mt940"; known: dcpos, abc, boc, bocom, ccb, icbc, psbc` {
		t.Error(err)
	}
}
