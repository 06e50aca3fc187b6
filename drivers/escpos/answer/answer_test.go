package answer

import (
	"bytes"
	"slices"
	"testing"
)

func same(a, b []Answer) bool {
	return slices.EqualFunc(a, b, func(a, b Answer) bool { return a.Kind == b.Kind && bytes.Equal(a.Data, b.Data) })
}

func TestAnswersAreToldApart(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []byte
		want []Answer
	}{
		{"all well", []byte{0x12}, []Answer{{RealTime, []byte{0x12}}}},
		{"paper stop and paper end", []byte{0x32, 0x7E}, []Answer{{RealTime, []byte{0x32}}, {RealTime, []byte{0x7E}}}},
		{"report", []byte{0x14, 0, 0, 0x0F}, []Answer{{ASB, []byte{0x14, 0, 0, 0x0F}}}},
		{"report between answers", []byte{0x12, 0x38, 0, 0, 0, 0x16}, []Answer{
			{RealTime, []byte{0x12}}, {ASB, []byte{0x38, 0, 0, 0}}, {RealTime, []byte{0x16}},
		}},
		{"process id", []byte{0x37, 0x22, ' ', '!', '~', 'a', 0}, []Answer{{Block, []byte{0x37, 0x22, ' ', '!', '~', 'a'}}}},
		{"identity", append([]byte{0x5F}, "EPSON\x00"...), []Answer{{Block, []byte("_EPSON")}}},
		{"paper by GS r", []byte{0x0C}, []Answer{{Plain, []byte{0x0C}}}},
		{"flow control is dropped", []byte{0x13, 0x12, 0x11}, []Answer{{RealTime, []byte{0x12}}}},
		{"flow control inside a report", []byte{0x10, 0, 0x13, 0x11, 0, 0}, []Answer{{ASB, []byte{0x10, 0, 0, 0}}}},
		{"a report that broke off", []byte{0x10, 0, 0x12}, []Answer{{RealTime, []byte{0x12}}}},
		{"a block that broke off", []byte{0x5F, 'E', 0x10, 0, 0, 0}, []Answer{{ASB, []byte{0x10, 0, 0, 0}}}},
		{"noise", []byte{0xFF, 0x80, 0x12}, []Answer{{RealTime, []byte{0x12}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := new(Decoder).Feed(tc.in); !same(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			// Bytes come in any pieces.
			var d Decoder
			var got []Answer
			for _, b := range tc.in {
				got = append(got, d.Feed([]byte{b})...)
			}
			if !same(got, tc.want) {
				t.Errorf("byte by byte: got %v, want %v", got, tc.want)
			}
		})
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0x12, 0x14, 0, 0, 0x0F, 0x37, 0x22, 'a', 'b', 'c', 'd', 0, 0x5F, 'E', 0, 0x0C})
	f.Add(append([]byte{0x5F}, bytes.Repeat([]byte{'x'}, 300)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > maxBlock+50 {
			return // longer ones only take longer
		}
		var whole, single Decoder
		all := whole.Feed(in)
		var one []Answer
		for _, b := range in {
			one = append(one, single.Feed([]byte{b})...)
		}
		if !same(all, one) {
			t.Fatalf("pieces matter: %v and %v", all, one)
		}
		if len(whole.pending) > maxBlock {
			t.Fatalf("%d bytes are kept", len(whole.pending))
		}
		for _, a := range all {
			switch a.Kind {
			case RealTime:
				if len(a.Data) != 1 || a.Data[0]&0x93 != 0x12 {
					t.Fatalf("real-time % x", a.Data)
				}
			case ASB:
				if len(a.Data) != 4 || a.Data[0]&0x93 != 0x10 || (a.Data[1]|a.Data[2]|a.Data[3])&0x90 != 0 {
					t.Fatalf("report % x", a.Data)
				}
			case Plain:
				if len(a.Data) != 1 || a.Data[0]&0x90 != 0 {
					t.Fatalf("plain % x", a.Data)
				}
			case Block:
				if bytes.IndexByte(a.Data, 0) >= 0 {
					t.Fatalf("block % x", a.Data)
				}
			}
		}
		// After any noise a report is understood again, once a broken block has ended.
		whole.Feed([]byte{0, 0, 0, 0, 0})
		got := whole.Feed([]byte{0x10, 0, 0, 0})
		if len(got) != 1 || got[0].Kind != ASB {
			t.Fatalf("after % x a report gives %v", in, got)
		}
	})
}
