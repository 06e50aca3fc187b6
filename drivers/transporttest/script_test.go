package transporttest_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/drivers/transporttest"
)

func TestAScriptIsSavedForPeopleAndLoaded(t *testing.T) {
	s := transporttest.Script{
		Header: transporttest.Header{Kind: "printer", Profile: "pos-5890", Date: "2026-11-26", Port: "serial:/dev/ttyUSB0@9600", Note: "as <shipped>"},
		Ops: []transporttest.IO{
			{W: []byte("\x1b@\x1dI\x43"), Silence: 12 * time.Millisecond, R: []byte("_LAB-80\x00")},
			{Silence: time.Second, R: []byte{0x10, 0x00}},
			{W: []byte("bye")},
		},
	}
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"dcpos_script":1,"kind":"printer","profile":"pos-5890","date":"2026-11-26","port":"serial:/dev/ttyUSB0@9600","note":"as <shipped>"}
{"w":"1b 40 1d 49 43","w_text":".@.IC","silence_ms":12,"r":"5f 4c 41 42 2d 38 30 00","r_text":"_LAB-80."}
{"silence_ms":1000,"r":"10 00"}
{"w":"62 79 65","w_text":"bye"}
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	got, err := transporttest.Load(&b)
	if err != nil {
		t.Fatal(err)
	}
	s.Version = transporttest.ScriptVersion
	if diff := cmp.Diff(s, got); diff != "" {
		t.Error(diff)
	}
}

func TestAWrongScriptNamesTheLine(t *testing.T) {
	const head = `{"dcpos_script":1}` + "\n"
	for text, want := range map[string]string{
		"":                               "empty",
		"\x1b@":                          "line 1",
		`{"dcpos_script":2}`:             "line 1: dcpos_script 2",
		`{}`:                             "line 1: dcpos_script 0",
		head + `{"w":"0"}`:               "line 2: w: ",
		head + `{"r":"zz"}`:              "line 2: r: ",
		head + `{"silence_ms":-1}`:       "line 2: silence_ms",
		head + `{"silence_ms":99999999}`: "line 2: silence_ms",
		head + `{"wait":1}`:              "line 2: ",
		head + `{"w":"00"} {"w":"01"}`:   "line 2: more than one",
		head + head:                      "line 2: ",
		head + "{}\n\n":                  "line 3: ",
	} {
		if _, err := transporttest.Load(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestPaymentCodesAreMaskedAcrossPieces(t *testing.T) {
	s := transporttest.Script{Ops: []transporttest.IO{
		{W: []byte("28123456789012345678"), R: []byte("]Q12812345")}, // what the host wrote is not a scan
		{R: []byte("67890123456")},
		{R: []byte("78\r6901028075862\r")}, // goods are no secret
		{R: []byte("10\x00")},
	}}
	got := s.Mask()
	want := []transporttest.IO{
		{W: []byte("28123456789012345678"), R: []byte("]Q12800000")},
		{R: []byte("00000000000")},
		{R: []byte("00\r6901028075862\r")},
		{R: []byte("10\x00")},
	}
	if diff := cmp.Diff(want, got.Ops); diff != "" || !got.Masked {
		t.Error(diff)
	}
	if string(s.Ops[0].R) != "]Q12812345" {
		t.Error("the recording itself was changed")
	}
}

// FuzzLoad: what loads can be saved and loads again as the same.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("{\"dcpos_script\":1,\"kind\":\"printer\"}\n{\"w\":\"1b 40\",\"silence_ms\":3,\"r\":\"12\"}\n"))
	f.Add([]byte("{\"dcpos_script\":1}\n{\"r\":\"31 32\",\"r_text\":\"12\"}\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 256 {
			return // longer ones only take longer
		}
		s, err := transporttest.Load(bytes.NewReader(b))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := s.Save(&out); err != nil {
			t.Fatal(err)
		}
		again, err := transporttest.Load(&out)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Error(diff)
		}
		s.Mask()
	})
}
