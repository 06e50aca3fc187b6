package transporttest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Script is what passed between a host and a device, with what is needed to know which.
// Its file is JSON, one object a line: the header, then one line for each IO, bytes in
// hexadecimal and beside them what of them can be read.
type Script struct {
	Header

	Ops []IO
}

// Header says where a script comes from.
type Header struct {
	Version int    `json:"dcpos_script"` // ScriptVersion
	Kind    string `json:"kind,omitempty"`
	Profile string `json:"profile,omitempty"`
	Date    string `json:"date,omitempty"` // of the recording, 2006-01-02
	Port    string `json:"port,omitempty"` // as the connection calls itself
	Note    string `json:"note,omitempty"`
	// Masked: digits of scanned payment codes have been replaced.
	Masked bool `json:"masked,omitempty"`
}

// ScriptVersion is the version of the file.
const ScriptVersion = 1

// The limits of a file.
const (
	maxScriptLine = 8 << 20
	maxScriptOps  = 100_000
	maxScriptSize = 64 << 20
	maxSilence    = 24 * time.Hour
)

// line is an IO in the file.
type line struct {
	Write   string `json:"w,omitempty"`
	WText   string `json:"w_text,omitempty"` // for people; not read
	Own     string `json:"own,omitempty"`
	Silence int64  `json:"silence_ms,omitempty"`
	Read    string `json:"r,omitempty"`
	RText   string `json:"r_text,omitempty"` // likewise
}

// Save writes the script. Silences are kept in whole milliseconds.
func (s Script) Save(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	s.Version = ScriptVersion
	if err := out.Encode(s.Header); err != nil {
		return fmt.Errorf("save script: %w", err)
	}
	for _, op := range s.Ops {
		l := line{
			Write: spaced(op.W), WText: readable(op.W), Own: spaced(op.Own), Silence: op.Silence.Milliseconds(),
			Read: spaced(op.R), RText: readable(op.R),
		}
		if err := out.Encode(l); err != nil {
			return fmt.Errorf("save script: %w", err)
		}
	}
	return nil
}

// Load reads a script. Its errors name the line.
func Load(r io.Reader) (Script, error) {
	var s Script
	lines := bufio.NewScanner(io.LimitReader(r, maxScriptSize))
	lines.Buffer(nil, maxScriptLine)
	n := 0
	for lines.Scan() {
		n++
		var err error
		switch {
		case n == 1:
			err = strictly(lines.Bytes(), &s.Header)
			if err == nil && s.Version != ScriptVersion {
				err = fmt.Errorf("dcpos_script %d: want %d", s.Version, ScriptVersion)
			}
		case n > maxScriptOps:
			err = fmt.Errorf("more than %d lines", maxScriptOps)
		default:
			var op IO
			if op, err = parseOp(lines.Bytes()); err == nil {
				s.Ops = append(s.Ops, op)
			}
		}
		if err != nil {
			return Script{}, fmt.Errorf("script, line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return Script{}, fmt.Errorf("script, line %d: %w", n+1, err)
	}
	if n == 0 {
		return Script{}, errors.New("script: empty")
	}
	return s, nil
}

func strictly(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

func parseOp(b []byte) (IO, error) {
	var l line
	if err := strictly(b, &l); err != nil {
		return IO{}, err
	}
	op := IO{Silence: time.Duration(l.Silence) * time.Millisecond}
	if l.Silence < 0 || l.Silence > maxSilence.Milliseconds() {
		return IO{}, fmt.Errorf("silence_ms %d: want 0 to %d", l.Silence, maxSilence.Milliseconds())
	}
	var err error
	if op.W, err = unspaced(l.Write); err != nil {
		return IO{}, fmt.Errorf("w: %w", err)
	}
	if op.R, err = unspaced(l.Read); err != nil {
		return IO{}, fmt.Errorf("r: %w", err)
	}
	if op.Own, err = unspaced(l.Own); err != nil {
		return IO{}, fmt.Errorf("own: %w", err)
	}
	if !bytes.Contains(op.W, op.Own) {
		return IO{}, errors.New("own: not in w")
	}
	return op, nil
}

func spaced(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return fmt.Sprintf("% x", b)
}

func unspaced(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	return hex.DecodeString(strings.ReplaceAll(s, " ", ""))
}

// readable is what a person can read in bytes: their ASCII, a point for the others; empty
// when that would say nothing.
func readable(b []byte) string {
	const shown = 80
	text := make([]byte, 0, min(len(b), shown))
	letters := 0
	for _, c := range b[:min(len(b), shown)] {
		if c < 0x20 || c > 0x7e {
			text = append(text, '.')
			continue
		}
		letters++
		text = append(text, c)
	}
	if letters < 2 {
		return ""
	}
	return string(text)
}

// paymentCode is the shape of payment codes of every scheme: 16 to 24 digits (package
// scanner, Rules), after an AIM identifier or without one.
var paymentCode = regexp.MustCompile(`(?:\][A-Za-z][0-9])?([0-9]{16,24})`)

// Mask replaces the digits of what the device sent that has the shape of a payment code, a
// bearer secret, but for the first two: 28 0000…. What the host wrote stays, so that the
// script plays back.
func (s Script) Mask() Script {
	var sent []byte
	for _, op := range s.Ops {
		sent = append(sent, op.R...)
	}
	for _, at := range paymentCode.FindAllSubmatchIndex(sent, -1) {
		for i := at[2] + 2; i < at[3]; i++ {
			sent[i] = '0'
		}
	}
	s.Ops = slices.Clone(s.Ops)
	for i, op := range s.Ops {
		if len(op.R) > 0 {
			s.Ops[i].R, sent = slices.Clone(sent[:len(op.R)]), sent[len(op.R):]
		}
	}
	s.Masked = true
	return s
}
