package dcep

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Canonical bytes are CBOR in core deterministic encoding (RFC 8949 §4.2.1):
// shortest integers, definite lengths, map keys sorted bytewise. One value has
// one encoding, so a hash of the bytes is a hash of the value.

// MaxEncoded bounds what Unmarshal reads; no message of ours is larger.
const MaxEncoded = 1 << 20

// ErrNotCanonical is returned for bytes that decode but are not the canonical form of what they say.
var ErrNotCanonical = errors.New("not in canonical form")

func encMode() cbor.EncMode {
	opts := cbor.CoreDetEncOptions()
	opts.OmitEmpty = cbor.OmitEmptyCBORValue
	mode, err := opts.EncMode()
	if err != nil {
		panic(err) //nolint:forbidigo // constant options: only a programmer can make them wrong
	}
	return mode
}

func decMode() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		MaxNestedLevels: 16, MaxArrayElements: 1 << 16, MaxMapPairs: 1 << 12,
		TagsMd: cbor.TagsForbidden, UTF8: cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic(err) //nolint:forbidigo // constant options: only a programmer can make them wrong
	}
	return mode
}

// The modes are immutable after construction (fxamacker/cbor: "safe for concurrent use").
var (
	encoder = encMode()
	decoder = decMode()
)

// Marshal gives the canonical bytes of v. Field names come from cbor or json tags.
func Marshal(v any) ([]byte, error) {
	b, err := encoder.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

// Unmarshal reads one value into v. It refuses more than MaxEncoded bytes, trailing
// bytes, duplicate keys, tags and indefinite lengths. Unknown map keys are ignored, so
// that a newer peer may say more.
func Unmarshal(b []byte, v any) error {
	if len(b) > MaxEncoded {
		return fmt.Errorf("decode %T: %d bytes, at most %d", v, len(b), MaxEncoded)
	}
	if err := decoder.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}

// UnmarshalExact is Unmarshal for signed values: bytes that are not exactly what
// Marshal would write for the value are ErrNotCanonical, unknown keys included.
func UnmarshalExact(b []byte, v any) error {
	if err := Unmarshal(b, v); err != nil {
		return err
	}
	again, err := Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, again) {
		return fmt.Errorf("decode %T: %w", v, ErrNotCanonical)
	}
	return nil
}
