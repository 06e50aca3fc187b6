package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ScannerOptions say how the modelled scanner is set.
type ScannerOptions struct {
	Prefix string // before every code, such as "\x02"
	Suffix string // after every code; default "\r"; NoSuffix for none
	// NoSuffix sends no suffix at all.
	NoSuffix bool
	// AIM puts the AIM identifier before every code.
	AIM bool
}

func (o ScannerOptions) withDefaults() ScannerOptions {
	switch {
	case o.NoSuffix:
		o.Suffix = ""
	case o.Suffix == "":
		o.Suffix = "\r"
	}
	return o
}

// Scanner is the model of a bar code scanner on a serial line.
type Scanner struct {
	connected chan io.Writer // holds the line while it is served

	mu    sync.Mutex
	opt   ScannerOptions
	heard []byte // what the host sent: triggers
}

// NewScanner makes a scanner.
func NewScanner(opt ScannerOptions) *Scanner {
	return &Scanner{opt: opt.withDefaults(), connected: make(chan io.Writer, 1)}
}

// Serve is connected to one host until the context ends or the host hangs up; it
// closes rw.
func (s *Scanner) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	select {
	case s.connected <- rw: // after the last host has gone
	case <-ctx.Done():
		return rw.Close()
	}
	stop := context.AfterFunc(ctx, func() { _ = rw.Close() }) // ends the read below
	defer stop()
	defer func() {
		<-s.connected
		_ = rw.Close() // it may be closed already
	}()
	buf := make([]byte, 256)
	for {
		n, err := rw.Read(buf)
		s.mu.Lock()
		s.heard = append(s.heard, buf[:n]...)
		if len(s.heard) > 4096 {
			s.heard = s.heard[len(s.heard)-4096:]
		}
		s.mu.Unlock()
		if err != nil {
			return nil // the only way in which it ends
		}
	}
}

// ErrNotConnected is returned when a scanner is used that no host is connected to.
var ErrNotConnected = errors.New("no host is connected")

// connectWait is how long a scan waits for a line that is just being served.
const connectWait = 2 * time.Second

// Raw sends bytes as they are: noise, halves of codes.
func (s *Scanner) Raw(b []byte) error {
	timer := time.NewTimer(connectWait)
	defer timer.Stop()
	select {
	case line := <-s.connected:
		_, err := line.Write(b)
		s.connected <- line
		if err != nil {
			return fmt.Errorf("send scan: %w", err)
		}
		return nil
	case <-timer.C:
		return ErrNotConnected
	}
}

// Scan sends a code. The symbology is its AIM identifier, "]E0", "]Q1"; it is sent only
// when the scanner is set to.
func (s *Scanner) Scan(code, symbology string) error { return s.Raw(s.framed(code, symbology)) }

// ScanSlowly sends a code in two halves with a silence between them.
func (s *Scanner) ScanSlowly(ctx context.Context, code, symbology string, silence time.Duration) error {
	b := s.framed(code, symbology)
	if err := s.Raw(b[:len(b)/2]); err != nil {
		return err
	}
	timer := time.NewTimer(silence)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.Raw(b[len(b)/2:])
}

// Set sets the scanner anew, as a code of its manual does.
func (s *Scanner) Set(opt ScannerOptions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opt = opt.withDefaults()
}

// Options are how the scanner is set.
func (s *Scanner) Options() ScannerOptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opt
}

func (s *Scanner) framed(code, symbology string) []byte {
	opt := s.Options()
	if !opt.AIM {
		symbology = ""
	}
	return []byte(opt.Prefix + symbology + code + opt.Suffix)
}

// Heard is what the host has sent, such as a trigger.
func (s *Scanner) Heard() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]byte(nil), s.heard...)
}

// UART is the receiver of a host's serial port, set to 8N1. What it makes of a sender of
// another speed is what a wrong baud rate sounds like.
type UART struct {
	Baud int
	// Resync takes a low stop bit for the next start bit, as a 16550 does (National
	// Semiconductor's PC16550D data sheet, line status register, bit 3); without, it waits for
	// the line to be high first, as many bridges do.
	Resync bool
}

// levels are those of a line of 8N1, one a bit; true is high.
func levels(sent []byte) (out []bool) {
	for _, b := range sent {
		out = append(out, false)
		for bit := range 8 {
			out = append(out, b>>bit&1 == 1)
		}
		out = append(out, true)
	}
	return out
}

// Hears gives the bytes that the host reads when a sender of a baud rate sends: the line's
// levels, sampled in the middle of the host's bits. A start bit that is over by its middle is
// none. A frame whose stop bit is low is delivered all the same, as Linux does while nobody
// asked for parity (INPCK).
func (u UART) Hears(sent []byte, baud int) []byte {
	levels := levels(sent)
	ratio := float64(baud) / float64(u.Baud)
	high := func(moment float64) bool { // in bits of the host
		i := int(moment * ratio)
		return i >= len(levels) || levels[i]
	}
	const tick = 1. / 16 // how often a UART looks
	end := float64(len(levels)) / ratio
	var heard []byte
	for now, started := 0., false; now < end; {
		if !started && (high(now) || high(now+0.5)) {
			now += tick
			continue
		}
		var b byte
		for bit := range 8 {
			if high(now + 1.5 + float64(bit)) {
				b |= 1 << bit
			}
		}
		heard = append(heard, b)
		now += 9.5
		started = u.Resync && b != 0 && !high(now)
		switch {
		case started:
			now -= 0.5 // it was the middle of the start bit
		case !high(now): // a break, or whoever waits for the end of one
			for now < end && !high(now) {
				now += tick
			}
		}
	}
	return heard
}
