package escpos

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func decoded(d *decoder, b []byte) []answer { return d.feed(b) }

func TestAnswersAreToldApart(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []byte
		want []answer
	}{
		{"all well", []byte{0x12}, []answer{{answerRealTime, []byte{0x12}}}},
		{"paper stop and paper end", []byte{0x32, 0x7E}, []answer{{answerRealTime, []byte{0x32}}, {answerRealTime, []byte{0x7E}}}},
		{"report", []byte{0x14, 0, 0, 0x0F}, []answer{{answerASB, []byte{0x14, 0, 0, 0x0F}}}},
		{"report between answers", []byte{0x12, 0x38, 0, 0, 0, 0x16}, []answer{
			{answerRealTime, []byte{0x12}}, {answerASB, []byte{0x38, 0, 0, 0}}, {answerRealTime, []byte{0x16}},
		}},
		{"process id", []byte{0x37, 0x22, ' ', '!', '~', 'a', 0}, []answer{{answerBlock, []byte{0x37, 0x22, ' ', '!', '~', 'a'}}}},
		{"identity", append([]byte{0x5F}, "EPSON\x00"...), []answer{{answerBlock, []byte("_EPSON")}}},
		{"paper by GS r", []byte{0x0C}, []answer{{answerPlain, []byte{0x0C}}}},
		{"flow control is dropped", []byte{0x13, 0x12, 0x11}, []answer{{answerRealTime, []byte{0x12}}}},
		{"flow control inside a report", []byte{0x10, 0, 0x13, 0x11, 0, 0}, []answer{{answerASB, []byte{0x10, 0, 0, 0}}}},
		{"a report that broke off", []byte{0x10, 0, 0x12}, []answer{{answerRealTime, []byte{0x12}}}},
		{"a block that broke off", []byte{0x5F, 'E', 0x10, 0, 0, 0}, []answer{{answerASB, []byte{0x10, 0, 0, 0}}}},
		{"noise", []byte{0xFF, 0x80, 0x12}, []answer{{answerRealTime, []byte{0x12}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, decoded(new(decoder), tc.in), cmp.AllowUnexported(answer{})); diff != "" {
				t.Error(diff)
			}
			// Bytes come in any pieces.
			var d decoder
			var got []answer
			for _, b := range tc.in {
				got = append(got, d.feed([]byte{b})...)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(answer{})); diff != "" {
				t.Errorf("byte by byte: %s", diff)
			}
		})
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0x12, 0x14, 0, 0, 0x0F, 0x37, 0x22, 'a', 'b', 'c', 'd', 0, 0x5F, 'E', 0, 0x0C})
	f.Add(append([]byte{0x5F}, bytes.Repeat([]byte{'x'}, 300)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		var whole, single decoder
		all := whole.feed(in)
		var one []answer
		for _, b := range in {
			one = append(one, single.feed([]byte{b})...)
		}
		if !slices.EqualFunc(all, one, func(a, b answer) bool { return a.kind == b.kind && bytes.Equal(a.data, b.data) }) {
			t.Fatalf("pieces matter: %v and %v", all, one)
		}
		if len(whole.pending) > maxBlock {
			t.Fatalf("%d bytes are kept", len(whole.pending))
		}
		for _, a := range all {
			switch a.kind {
			case answerRealTime:
				if len(a.data) != 1 || a.data[0]&0x93 != 0x12 {
					t.Fatalf("real-time % x", a.data)
				}
			case answerASB:
				if len(a.data) != 4 || a.data[0]&0x93 != 0x10 || (a.data[1]|a.data[2]|a.data[3])&0x90 != 0 {
					t.Fatalf("report % x", a.data)
				}
			case answerPlain:
				if len(a.data) != 1 || a.data[0]&0x90 != 0 {
					t.Fatalf("plain % x", a.data)
				}
			case answerBlock:
				if bytes.IndexByte(a.data, 0) >= 0 {
					t.Fatalf("block % x", a.data)
				}
			}
		}
		// After any noise a report is understood again, once a broken block has ended.
		whole.feed([]byte{0, 0, 0, 0, 0})
		got := whole.feed([]byte{0x10, 0, 0, 0})
		if len(got) != 1 || got[0].kind != answerASB {
			t.Fatalf("after % x a report gives %v", in, got)
		}
	})
}
