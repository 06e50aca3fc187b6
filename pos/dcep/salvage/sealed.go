package salvage

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Layout of a sealed file: SealedMagic; a record (as in a plain file) of a Header; chunks of a 4-byte big-endian
// length and that many bytes, each the suite's content cipher over at most chunkSize bytes of a plain salvage
// file, nonce = 0 (3 bytes) ‖ number of the chunk from 0 (8 bytes) ‖ 1 in the last and 0 else, additional data =
// the header's record; a length of 0; a record of a signature by the terminal's key under DomainSealed over the
// suite's hash of everything before it. docs/PROTOCOL.md, "sealed export".
const (
	SealedMagic  = "dcpos-export-1\n"
	DomainSealed = "dcpos-export-1"
	chunkSize    = 64 << 10
)

// Header says whose journal a sealed file holds. Everything in it is signed; only the entries are secret.
type Header struct {
	Env      pos.Environment `json:"env"`
	Terminal string          `json:"terminal"`
	Epoch    uint32          `json:"epoch"` // whose key signed the file
	Suite    string          `json:"suite"` // of that key
	FromSeq  uint64          `json:"from_seq"`
	Centre   string          `json:"centre"` // fingerprint of the key that opens it
	Cipher   string          `json:"cipher"` // suite of that key, and so the content cipher
	Key      []byte          `json:"key"`    // the content key, wrapped
	MadeMS   int64           `json:"made_ms"`
}

// Sealer writes a sealed file; what is written to it is a plain salvage file (NewWriter).
type Sealer struct {
	out    io.Writer
	sum    hash.Hash
	aead   cipher.AEAD
	header []byte
	signer dcep.Signer
	buf    []byte
	n      uint64
}

// NewSealer fills the header's key and begins a file for the centre's public key (PKIX DER).
func NewSealer(w io.Writer, h Header, signer dcep.Signer, centre dcep.Suite, public []byte) (*Sealer, error) {
	key := dcep.ContentKey(centre)
	var err error
	if h.Key, err = dcep.WrapKey(centre, public, key); err != nil {
		return nil, err
	}
	h.Suite, h.Centre, h.Cipher = signer.Suite().Name(), dcep.Fingerprint(public), centre.Name()
	s := &Sealer{sum: signer.Suite().New(), signer: signer}
	if s.aead, err = dcep.ContentCipher(centre, key); err != nil {
		return nil, err
	}
	s.out = io.MultiWriter(w, s.sum)
	if s.header, err = dcep.Marshal(h); err != nil {
		return nil, err
	}
	_, err = s.out.Write(slicesOf([]byte(SealedMagic), framed(s.header)))
	return s, err
}

func slicesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

func nonce(n uint64, last bool) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 3, 12), n)
	if last {
		return append(b, 1)
	}
	return append(b, 0)
}

// Write takes plain bytes.
func (s *Sealer) Write(p []byte) (int, error) {
	s.buf = append(s.buf, p...)
	for len(s.buf) > chunkSize { // one byte stays for the last chunk
		if err := s.chunk(s.buf[:chunkSize], false); err != nil {
			return 0, err
		}
		s.buf = append(s.buf[:0], s.buf[chunkSize:]...)
	}
	return len(p), nil
}

func (s *Sealer) chunk(plain []byte, last bool) error {
	_, err := s.out.Write(framed(s.aead.Seal(nil, nonce(s.n, last), plain, s.header)))
	s.n++
	return err
}

// Close writes the last chunk and the signature. It does not close the underlying writer.
func (s *Sealer) Close() error {
	if err := s.chunk(s.buf, true); err != nil {
		return err
	}
	if _, err := s.out.Write(make([]byte, 4)); err != nil {
		return err
	}
	sig, err := s.signer.Sign(DomainSealed, s.sum.Sum(nil))
	if err != nil {
		return err
	}
	_, err = s.out.Write(framed(sig))
	return err
}

// ReadHeader reads magic and header of a sealed file.
func ReadHeader(in io.Reader) (Header, error) {
	h, _, err := header(in)
	return h, err
}

func header(in io.Reader) (h Header, raw []byte, err error) {
	magic := make([]byte, len(SealedMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != SealedMagic {
		return h, nil, fmt.Errorf("read sealed file: magic: %w", ErrFormat)
	}
	if raw, err = frame(in, MaxRecord); err != nil || raw == nil {
		return h, nil, fmt.Errorf("read sealed file: header: %w", errors.Join(ErrFormat, err))
	}
	if err := dcep.UnmarshalExact(raw, &h); err != nil {
		return h, nil, fmt.Errorf("read sealed file: header: %w", errors.Join(ErrFormat, err))
	}
	return h, raw, nil
}

// frame reads a length and that many bytes; nil for the length 0.
func frame(in io.Reader, limit int64) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, errors.Join(ErrFormat, err)
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n == 0 {
		return nil, nil
	}
	if n > limit {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", n, limit, ErrFormat)
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, in, n); err != nil {
		return nil, errors.Join(ErrFormat, err)
	}
	return b.Bytes(), nil
}

// chunkLimit is the longest frame of a chunk.
const chunkLimit = chunkSize + 64

// CheckSealed reads a sealed file to its end and verifies the terminal's signature. Read no entry of it before.
func CheckSealed(in io.Reader, suite dcep.Suite, key dcep.Verifier) (Header, error) {
	sum := suite.New()
	hashed := io.TeeReader(in, sum)
	h, _, err := header(hashed)
	if err != nil {
		return h, err
	}
	for {
		b, err := frame(hashed, chunkLimit)
		if err != nil {
			return h, fmt.Errorf("read sealed file: chunk: %w", err)
		}
		if b == nil {
			break
		}
	}
	want := sum.Sum(nil)
	sig, err := frame(in, chunkLimit)
	if err != nil {
		return h, fmt.Errorf("read sealed file: signature: %w", err)
	}
	if err := key.Verify(DomainSealed, want, sig); err != nil {
		return h, fmt.Errorf("read sealed file: %w", err)
	}
	if n, err := in.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return h, fmt.Errorf("read sealed file: bytes after its end: %w", ErrFormat)
	}
	return h, nil
}

// Unseal gives the plain salvage file in a sealed one (for Read), by the key that it was sealed to. Call
// CheckSealed first.
func Unseal(in io.Reader, by dcep.Signer) (io.Reader, error) {
	h, raw, err := header(in)
	if err != nil {
		return nil, err
	}
	if have := dcep.Fingerprint(by.Public()); h.Centre != have {
		return nil, fmt.Errorf("read sealed file: it is sealed to key %.32q, this centre has %s: %w", h.Centre, have, ErrFormat)
	}
	key, err := dcep.UnwrapKey(by, h.Key)
	if err != nil {
		return nil, errors.Join(ErrFormat, err)
	}
	aead, err := dcep.ContentCipher(by.Suite(), key)
	if err != nil {
		return nil, errors.Join(ErrFormat, err)
	}
	u := &unsealer{in: in, aead: aead, header: raw}
	u.next, err = frame(in, chunkLimit)
	return u, err
}

type unsealer struct {
	in     io.Reader
	aead   cipher.AEAD
	header []byte
	next   []byte // the chunk after; nil at the end
	n      uint64
	plain  []byte
}

// Read gives plain bytes; a chunk that was changed, moved or left out is an error.
func (u *unsealer) Read(p []byte) (int, error) {
	for len(u.plain) == 0 {
		if u.next == nil {
			return 0, io.EOF
		}
		this := u.next
		var err error
		if u.next, err = frame(u.in, chunkLimit); err != nil {
			return 0, err
		}
		u.plain, err = u.aead.Open(nil, nonce(u.n, u.next == nil), this, u.header)
		if err != nil {
			return 0, fmt.Errorf("read sealed file: chunk %d: %w", u.n, errors.Join(ErrFormat, err))
		}
		u.n++
	}
	n := copy(p, u.plain)
	u.plain = u.plain[n:]
	return n, nil
}
