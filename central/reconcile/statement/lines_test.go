package statement

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// FuzzBlock reads a block of lines in batches, with the separators found at once, and line by
// line: rows, faults and places are the same.
func FuzzBlock(f *testing.F) {
	const good = "a,M,T,ICBC,100,1,S,2021-02-10T13:00:00Z\n"
	for _, seed := range []string{
		good, good + good + "b", good + "x\n" + good, "\n" + good, good + "a,b\nc,d,e,f,g,h,i,j,k\n" + good, good[:len(good)-1] + "\r\n" + good,
		good + "商,户,T,ICBC,1,0,S,0\n", good + "\x00\n", good + "\xff\n", "," + good, good + "a,M,T,ICBC,1,0,S,0\r\r\n", "a,M,T,ICBC,1,0,S,0,\n" + good,
	} {
		f.Add([]byte(seed))
	}
	f.Add([]byte(good[:len(good)-1] + ",o,b,2021-02-11\n" + good[:len(good)-1] + ",,,\r\n" + good[:len(good)-1] + ",,,20210230\n"))
	plain, fault := dcposCSV{}.Header([]byte(requiredColumns))
	wide, fault2 := dcposCSV{}.Header([]byte(head))
	if fault != nil || fault2 != nil {
		f.Fatal(fault, fault2)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sameRows(t, plain, data)
		sameRows(t, wide, data)
	})
}

func sameRows(t *testing.T, layout Layout, data []byte) {
	t.Helper()
	type seen struct {
		At              int64
		Text, Fault, ID string
		Merchant, Bank  string
		Orig, Batch     string
		Amount, Fee     int64
		Day             int32
		Hour            int
		Status          byte
	}
	show := func(at int64, text []byte, fault *Fault, row *Row) seen {
		s := seen{At: at, Text: string(text)}
		if fault != nil {
			s.Fault = fault.Column + fault.Why.EN
			return s
		}
		s.ID, s.Merchant, s.Bank = string(row.TxnID), string(row.Merchant), string(row.Bank)
		s.Orig, s.Batch = string(row.Orig), string(row.Batch)
		s.Amount, s.Fee, s.Day, s.Hour, s.Status = int64(row.Amount), int64(row.Fee), row.Day, row.Hour(), row.Status
		return s
	}
	const from = 7000
	read := func(fast, batches bool) (all []seen) {
		file := &File{layout: layout}
		lines := file.NewLines()
		b := append(make([]byte, 0, len(data)+padding), data...)
		if !fast {
			lines.usual = nil
		}
		lines.Reset(Block{At: from, Data: b})
		batch := new(Batch)
		for {
			var row Row
			if batches && lines.Batch(batch) {
				for i := range batch.N {
					batch.Row(i, &row)
					text, _, _ := bytes.Cut(b[batch.At(i)-from:], []byte{'\n'})
					all = append(all, show(batch.At(i), text, nil, &row))
				}
				continue
			}
			at, text, fault, ok := lines.Next(&row)
			if !ok {
				lines.Done()
				if file.Rows() != int64(len(all)) || lines.Ordinal() != int64(len(all)) {
					t.Fatalf("%d lines counted, %d given", file.Rows(), len(all))
				}
				return all
			}
			all = append(all, show(at, text, fault, &row))
		}
	}
	want := read(false, false)
	for _, batches := range []bool{false, true} {
		if diff := cmp.Diff(want, read(true, batches)); diff != "" {
			t.Fatalf("batches %v: %s", batches, diff)
		}
	}
}

// TestBatches reads many usual lines with others among them, of all widths, in batches.
func TestBatches(t *testing.T) {
	plain, fault := dcposCSV{}.Header([]byte(requiredColumns))
	wide, fault2 := dcposCSV{}.Header([]byte(head))
	if fault != nil || fault2 != nil {
		t.Fatal(fault, fault2)
	}
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringOfN(rapid.RuneFrom([]rune("aZ9-.商\"")), 0, 130, -1)
		line := rapid.Custom(func(rt *rapid.T) string {
			fields := []string{
				rapid.StringOfN(rapid.RuneFrom([]rune("0123456789abcdef")), 0, 66, -1).Draw(rt, "id"), name.Draw(rt, "merchant"), "T1",
				rapid.OneOf(rapid.SampledFrom([]string{"ICBC", "ABC", "B"}), name).Draw(rt, "bank"),
				fmt.Sprint(rapid.Int64Range(-1, 1<<40).Draw(rt, "amount")), fmt.Sprint(rapid.Int64Range(-500, 500).Draw(rt, "fee")),
				rapid.SampledFrom([]string{"S", "R", "F", "P", "X", "SS"}).Draw(rt, "status"),
				rapid.SampledFrom([]string{
					"2021-02-10T13:00:00Z", "2021-02-10T17:00:00Z", "2021-02-11T13:59:59Z", "20210210120000", "1612958400000", "2021-02-30T13:00:00Z", "",
				}).Draw(rt, "ts"),
			}
			if rapid.Bool().Draw(rt, "wide") {
				fields = append(fields, "o", "b", rapid.SampledFrom([]string{"", "2021-02-11", "20210230"}).Draw(rt, "day"))
			}
			return strings.Join(fields, ",")
		})
		usual := rapid.Just("0123456789abcdef0123456789abcdef,886012345,T7,ICBC,123456,123,S,2021-02-10T13:00:00Z")
		lines := rapid.SliceOfN(rapid.OneOf(usual, usual, usual, usual, line), 0, 600).Draw(rt, "lines")
		data := []byte(strings.Join(lines, rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(rt, "end")))
		sameRows(t, plain, data)
		sameRows(t, wide, data)
	})
}
