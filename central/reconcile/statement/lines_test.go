package statement

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzSeparators(f *testing.F) {
	f.Add([]byte("a,b,c\nd\x00\x1f\x20\x7f\x80\xff\r\n"))
	f.Add(bytes.Repeat([]byte(",\n"), 70))
	f.Fuzz(func(t *testing.T, data []byte) {
		words := len(data) / 64
		if words == 0 {
			return
		}
		got, want := make([]uint64, 3*words), make([]uint64, 3*words)
		separators(&data[0], words, &got[0], &got[words], &got[2*words])
		separatorsOf(data[:words*64], want[:words], want[words:2*words], want[2*words:])
		if !slices.Equal(got, want) {
			t.Fatalf("%x\n got %x\nwant %x", data, got, want)
		}
	})
}

// FuzzBlock reads a block of lines with the separators found at once, and line by line:
// rows, faults and places are the same.
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
		Status          byte
	}
	read := func(fast bool) (all []seen) {
		file := &File{layout: layout}
		lines := file.NewLines()
		b := append(make([]byte, 0, len(data)+padding), data...)
		if !fast {
			lines.usual = nil
		}
		lines.Reset(Block{At: 7000, Data: b})
		for {
			var row Row
			at, text, fault, ok := lines.Next(&row)
			if !ok {
				lines.Done()
				if file.Lines() != int64(len(all)) {
					t.Fatalf("%d lines counted, %d given", file.Lines(), len(all))
				}
				return all
			}
			s := seen{At: at, Text: string(text)}
			if fault != nil {
				s.Fault = fault.Column + fault.Why.EN
			} else {
				s.ID, s.Merchant, s.Bank = string(row.TxnID), string(row.Merchant), string(row.Bank)
				s.Orig, s.Batch = string(row.Orig), string(row.Batch)
				s.Amount, s.Fee, s.Day, s.Status = int64(row.Amount), int64(row.Fee), row.Day, row.Status
			}
			all = append(all, s)
		}
	}
	if diff := cmp.Diff(read(false), read(true)); diff != "" {
		t.Fatal(diff)
	}
}
