package usbip

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// host is the other end, as small as it can be: it writes commands and keeps what is
// returned.
type host struct {
	t       *testing.T
	conn    net.Conn
	seq     uint32
	lengths map[uint32]int // of IN transfers
	served  chan error
}

type result struct {
	code, seq uint32
	status    int32
	actual    int
	data      []byte
}

// plug serves a function to a new host until the test's bubble ends.
func plug(t *testing.T, f Function) *host {
	t.Helper()
	near, far := net.Pipe()
	h := &host{t: t, conn: near, lengths: map[uint32]int{}, served: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { h.served <- Serve(ctx, far, f) }()
	t.Cleanup(func() { cancel(); _ = near.Close() })
	return h
}

func header(words ...uint32) []byte {
	b := make([]byte, headerSize)
	for i, w := range words {
		binary.BigEndian.PutUint32(b[4*i:], w)
	}
	return b
}

func (h *host) submit(address byte, length int, setup, data []byte) uint32 {
	h.t.Helper()
	h.seq++
	in := uint32(0)
	if address&0x80 != 0 {
		in = 1
		h.lengths[h.seq] = length
	}
	b := header(1, h.seq, 1<<16|2, in, uint32(address&0x0f), 0, uint32(length))
	copy(b[40:], setup)
	h.send(append(b, data...))
	return h.seq
}

func (h *host) unlink(seq uint32) uint32 {
	h.t.Helper()
	h.seq++
	h.send(header(2, h.seq, 1<<16|2, 0, 0, seq))
	return h.seq
}

func (h *host) send(b []byte) {
	h.t.Helper()
	if _, err := h.conn.Write(b); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) result() result {
	h.t.Helper()
	b := make([]byte, headerSize)
	if _, err := io.ReadFull(h.conn, b); err != nil {
		h.t.Fatal(err)
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	r := result{code: word(0), seq: word(1), status: int32(word(5)), actual: int(word(6))}
	if _, in := h.lengths[r.seq]; in && r.code == 3 {
		r.data = make([]byte, r.actual)
		if _, err := io.ReadFull(h.conn, r.data); err != nil {
			h.t.Fatal(err)
		}
	}
	return r
}

// control makes a request; the answer's data or the status.
func (h *host) control(requestType, request byte, value, index uint16, length int, data []byte) result {
	h.t.Helper()
	setup := []byte{requestType, request, byte(value), byte(value >> 8), byte(index), byte(index >> 8), byte(length), byte(length >> 8)}
	seq := h.submit(requestType&0x80, length, setup, data)
	r := h.result()
	if r.code != 3 || r.seq != seq {
		h.t.Fatalf("request %d: got %+v", seq, r)
	}
	return r
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// box is a function whose endpoints the test works by hand.
type box struct{ session chan *Session }

func newBox() box { return box{make(chan *Session, 1)} }

func (b box) Describe() Description {
	return Printer{Identity: Identity{Vendor: 0x04b8, Product: 0x0e15, Release: 0x0214, Maker: "EPSON", Model: "票据", Serial: "A1"}}.Describe()
}

func (b box) Control(*Session, Setup, []byte) ([]byte, error) { return nil, ErrStall }

func (b box) Run(ctx context.Context, s *Session) error {
	b.session <- s
	<-ctx.Done()
	return nil
}

func TestDescriptors(t *testing.T) {
	bubble(t, "of a printer, byte by byte", func(t *testing.T) {
		t.Helper()
		h := plug(t, newBox())
		for _, c := range []struct {
			name   string
			value  uint16
			length int
			want   []byte
		}{
			{"device", 0x0100, 64, []byte{18, 1, 0, 2, 0, 0, 0, 64, 0xb8, 0x04, 0x15, 0x0e, 0x14, 0x02, 1, 2, 3, 1}},
			{"device, cut to what is asked for", 0x0100, 8, []byte{18, 1, 0, 2, 0, 0, 0, 64}},
			{"configuration", 0x0200, 255, []byte{
				9, 2, 32, 0, 1, 1, 0, 0xc0, 50,
				9, 4, 0, 0, 2, 7, 1, 2, 0,
				7, 5, 0x01, 2, 64, 0, 0,
				7, 5, 0x82, 2, 64, 0, 0,
			}},
			{"languages", 0x0300, 255, []byte{4, 3, 9, 4}},
			{"maker", 0x0301, 255, []byte{12, 3, 'E', 0, 'P', 0, 'S', 0, 'O', 0, 'N', 0}},
			{"model in UTF-16", 0x0302, 255, []byte{6, 3, 0x68, 0x79, 0x6e, 0x63}},
		} {
			r := h.control(0x80, 6, c.value, 0, c.length, nil)
			if diff := cmp.Diff(c.want, r.data); diff != "" || r.status != 0 {
				t.Errorf("%s: status %d %s", c.name, r.status, diff)
			}
		}
		if r := h.control(0x80, 6, 0x0600, 0, 10, nil); r.status != -32 {
			t.Errorf("device qualifier of a full-speed device: got %+v, want a stall", r)
		}
		if r := h.control(0x80, 6, 0x0309, 0, 255, nil); r.status != -32 {
			t.Errorf("a text that is not there: got %+v", r)
		}
	})
}

func TestStandardRequests(t *testing.T) {
	bubble(t, "configuration, status, halt", func(t *testing.T) {
		t.Helper()
		b := newBox()
		h := plug(t, b)
		s := <-b.session
		want := func(what string, got result, status int32, data ...byte) {
			t.Helper()
			if got.status != status || !bytes.Equal(got.data, data) {
				t.Errorf("%s: got %+v", what, got)
			}
		}
		want("configuration before", h.control(0x80, 8, 0, 0, 1, nil), 0, 0)
		want("configure", h.control(0x00, 9, 1, 0, 0, nil), 0)
		want("configuration after", h.control(0x80, 8, 0, 0, 1, nil), 0, 1)
		want("configuration 2", h.control(0x00, 9, 2, 0, 0, nil), -32)
		want("status of the device", h.control(0x80, 0, 0, 0, 2, nil), 0, 1, 0)
		want("status of an interface", h.control(0x81, 0, 0, 0, 2, nil), 0, 0, 0)
		want("no such interface", h.control(0x81, 0, 0, 9, 2, nil), -32)
		want("alternate setting", h.control(0x01, 11, 0, 0, 0, nil), 0)
		want("alternate setting 1", h.control(0x01, 11, 1, 0, 0, nil), -32)
		want("setting", h.control(0x81, 10, 0, 0, 1, nil), 0, 0)

		waiting := h.submit(0x82, 64, nil, nil)
		s.Halt(0x82)
		if r := h.result(); r.seq != waiting || r.status != -32 {
			t.Errorf("what waits at a halted endpoint: got %+v", r)
		}
		want("status of a halted endpoint", h.control(0x82, 0, 0, 0x82, 2, nil), 0, 1, 0)
		h.submit(0x82, 64, nil, nil)
		if r := h.result(); r.status != -32 {
			t.Errorf("what comes to a halted endpoint: got %+v", r)
		}
		want("clear halt", h.control(0x02, 1, 0, 0x82, 0, nil), 0)
		want("status of the endpoint", h.control(0x82, 0, 0, 0x82, 2, nil), 0, 0, 0)
		want("set halt", h.control(0x02, 3, 0, 0x01, 0, nil), 0)
		if !s.Halted(0x01) {
			t.Error("the host's halt is not kept")
		}
	})
}

func TestTransfers(t *testing.T) {
	bubble(t, "an IN transfer waits, is short, and is cut to the host's buffer", func(t *testing.T) {
		t.Helper()
		b := newBox()
		h := plug(t, b)
		s := <-b.session
		first, second, third := h.submit(0x82, 64, nil, nil), h.submit(0x82, 3, nil, nil), h.submit(0x82, 64, nil, nil)
		synctest.Wait() // NAK: nothing is returned
		write(t, s, 0x82, "ab")
		if r := h.result(); r.seq != first || string(r.data) != "ab" {
			t.Errorf("got %+v", r)
		}
		write(t, s, 0x82, "cdefg")
		if r := h.result(); r.seq != second || string(r.data) != "cde" {
			t.Errorf("got %+v", r)
		}
		if r := h.result(); r.seq != third || string(r.data) != "fg" {
			t.Errorf("got %+v", r)
		}
	})
	bubble(t, "an OUT transfer ends when the device has taken all of it", func(t *testing.T) {
		t.Helper()
		b := newBox()
		h := plug(t, b)
		s := <-b.session
		seq := h.submit(0x01, 5, nil, []byte("hello"))
		ended := make(chan result, 1)
		go func() { ended <- h.result() }()
		buf := make([]byte, 3)
		if n, err := s.Read(0x01, buf); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatal("ended after three of five bytes")
		}
		if n, err := s.Read(0x01, buf); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		if r := <-ended; r.seq != seq || r.status != 0 || r.actual != 5 {
			t.Errorf("got %+v", r)
		}
	})
	bubble(t, "a packet of nothing is taken, an endpoint that is not there stalls", func(t *testing.T) {
		t.Helper()
		h := plug(t, newBox())
		h.submit(0x01, 0, nil, nil)
		if r := h.result(); r.status != 0 || r.actual != 0 {
			t.Errorf("got %+v", r)
		}
		h.submit(0x85, 64, nil, nil)
		if r := h.result(); r.status != -32 {
			t.Errorf("got %+v", r)
		}
	})
	bubble(t, "a device that has much to say waits for a host that reads", func(t *testing.T) {
		t.Helper()
		b := newBox()
		h := plug(t, b)
		s := <-b.session
		sent := make(chan int, 1)
		go func() {
			n := 0
			for range 2 * inDepth / 1024 {
				if _, err := s.Write(0x82, make([]byte, 1024)); err != nil {
					break
				}
				n++
			}
			sent <- n
		}()
		synctest.Wait()
		if len(sent) != 0 {
			t.Fatal("it never waits")
		}
		for range 2 * inDepth / 1024 {
			h.submit(0x82, 1024, nil, nil)
			if r := h.result(); len(r.data) != 1024 {
				t.Fatalf("got %+v", r)
			}
		}
		if n := <-sent; n != 2*inDepth/1024 {
			t.Errorf("%d pieces sent", n)
		}
	})
}

func write(t *testing.T, s *Session, address byte, text string) {
	t.Helper()
	if _, err := s.Write(address, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestUnlink(t *testing.T) {
	bubble(t, "a waiting transfer is taken back and never returned", func(t *testing.T) {
		t.Helper()
		b := newBox()
		h := plug(t, b)
		s := <-b.session
		first, second := h.submit(0x82, 64, nil, nil), h.submit(0x82, 64, nil, nil)
		un := h.unlink(first)
		if r := h.result(); r.code != 4 || r.seq != un || r.status != -104 {
			t.Errorf("got %+v", r)
		}
		write(t, s, 0x82, "x")
		if r := h.result(); r.code != 3 || r.seq != second || string(r.data) != "x" {
			t.Errorf("got %+v: the byte belongs to the transfer that is left", r)
		}
	})
	bubble(t, "one that has ended is returned before the answer", func(t *testing.T) {
		t.Helper()
		b := newBox()
		h := plug(t, b)
		s := <-b.session
		seq := h.submit(0x82, 64, nil, nil)
		write(t, s, 0x82, "x")
		if r := h.result(); r.seq != seq {
			t.Errorf("got %+v", r)
		}
		un := h.unlink(seq)
		if r := h.result(); r.code != 4 || r.seq != un || r.status != 0 {
			t.Errorf("got %+v", r)
		}
	})
	bubble(t, "half a transfer taken back: the next begins at its first byte", func(t *testing.T) {
		t.Helper()
		b := newBox()
		h := plug(t, b)
		s := <-b.session
		seq := h.submit(0x01, 4, nil, []byte("lost"))
		buf := make([]byte, 2)
		if _, err := s.Read(0x01, buf); err != nil {
			t.Fatal(err)
		}
		h.unlink(seq)
		if r := h.result(); r.status != -104 {
			t.Errorf("got %+v", r)
		}
		go h.submit(0x01, 2, nil, []byte("ok"))
		if n, err := s.Read(0x01, buf); string(buf[:n]) != "ok" || err != nil {
			t.Errorf("got %q, %v", buf[:n], err)
		}
		h.result()
	})
}

func TestUnplugInFlight(t *testing.T) {
	bubble(t, "the host hangs up while both directions wait", func(t *testing.T) {
		t.Helper()
		b := newBox()
		h := plug(t, b)
		s := <-b.session
		h.submit(0x82, 64, nil, nil)
		read := make(chan error, 1)
		go func() {
			_, err := s.Read(0x01, make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		_ = h.conn.Close()
		if err := <-read; !errors.Is(err, io.EOF) {
			t.Errorf("read: got %v", err)
		}
		if err := <-h.served; err != nil {
			t.Errorf("served: %v", err)
		}
		if _, err := s.Write(0x82, []byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("write: got %v", err)
		}
	})
	bubble(t, "the device hangs up", func(t *testing.T) {
		t.Helper()
		b := newBox()
		h := plug(t, b)
		s := <-b.session
		h.submit(0x82, 64, nil, nil)
		if err := s.Stream(0x01, 0x82).Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
		if err := <-h.served; err != nil {
			t.Errorf("served: %v", err)
		}
	})
}

func TestNonsenseEndsTheConnection(t *testing.T) {
	for name, b := range map[string][]byte{
		"unknown command":   header(7, 1),
		"endpoint 16":       header(1, 1, 0, 0, 16),
		"direction 2":       header(1, 1, 0, 2, 1),
		"a huge transfer":   header(1, 1, 0, 1, 2, 0, maxTransfer+1),
		"isochronous":       header(1, 1, 0, 1, 2, 0, 8, 0, 3),
		"negative transfer": header(1, 1, 0, 0, 2, 0, 0xffffffff),
	} {
		bubble(t, name, func(t *testing.T) {
			t.Helper()
			h := plug(t, newBox())
			h.send(b)
			if err := <-h.served; !errors.Is(err, errProtocol) {
				t.Errorf("got %v", err)
			}
		})
	}
	bubble(t, "cut off", func(t *testing.T) {
		t.Helper()
		h := plug(t, newBox())
		h.send(header(1, 1, 0, 0, 1, 0, 100)[:40])
		_ = h.conn.Close()
		if err := <-h.served; !errors.Is(err, errProtocol) {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzReadCommand(f *testing.F) {
	f.Add(header(1, 1, 1<<16|2, 1, 2, 0, 64))
	f.Add(append(header(1, 2, 1<<16|2, 0, 1, 0, 3), "abc"...))
	f.Add(append(header(1, 3, 1<<16|2, 1, 0, 0, 18), 0x80, 6, 0, 1, 0, 0, 18, 0))
	f.Add(header(2, 4, 1<<16|2, 0, 0, 3))
	f.Add(header(1, 1, 0, 1, 2, 0, 8, 0, 0xffffffff))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 256 {
			return // longer ones only take longer
		}
		r := bytes.NewReader(b)
		for {
			c, err := readCommand(r)
			if err != nil {
				return
			}
			if c.code != cmdSubmit && c.code != cmdUnlink || c.length > maxTransfer {
				t.Fatalf("accepted %+v", c)
			}
			if c.code == cmdSubmit && c.endpoint&endpointIn == 0 && len(c.data) != c.length {
				t.Fatalf("%d of %d bytes", len(c.data), c.length)
			}
		}
	})
}

// FuzzServe sends a device whatever comes: it answers or hangs up, and ends.
func FuzzServe(f *testing.F) {
	f.Add(header(1, 1, 1<<16|2, 1, 2, 0, 64))
	f.Add(append(header(1, 3, 1<<16|2, 1, 0, 0, 18)[:40], 0x80, 6, 0, 1, 0, 0, 18, 0))
	f.Add(append(header(2, 4, 1<<16|2, 0, 0, 3), header(2, 5, 0, 0, 0, 4)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 256 {
			return // longer ones only take longer
		}
		near, far := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- Serve(t.Context(), far, newBox()) }()
		go func() { _, _ = io.Copy(io.Discard, near) }()
		_, _ = near.Write(b)
		_ = near.Close()
		if err := <-served; err != nil && !errors.Is(err, errProtocol) {
			t.Errorf("got %v", err)
		}
	})
}
