package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"dcpos/pos"
)

// MaxBody is the largest request body in bytes that Decode reads; evidence, the
// longest request, has below 4 KiB.
const MaxBody = 64 << 10

// maxLabel bounds names of merchants, terminals and wallets: it is what the
// reconciliation contract allows an id of a statement line.
const maxLabel = 64

// Checker is a request that can say which of its fields is wrong.
type Checker interface {
	// Check returns a *pos.Error naming the first field that is not right.
	Check() error
}

// Decode reads exactly one JSON object of at most MaxBody bytes into v and checks
// it. Every fault is a *pos.Error: ErrTooLarge, or ErrBadRequest naming the field
// that is unknown, of another type or out of range.
func Decode(r io.Reader, v Checker) error {
	b, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	if err != nil {
		return pos.NewError(pos.ErrBadRequest, fmt.Errorf("read body: %w", err))
	}
	if len(b) > MaxBody {
		return pos.NewError(pos.ErrTooLarge, fmt.Errorf("body has more than %d bytes", MaxBody))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return pos.FieldError(pos.ErrBadRequest, fieldOf(err), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return pos.NewError(pos.ErrBadRequest, errors.New("want one JSON object and nothing after it"))
	}
	return v.Check()
}

// fieldOf finds the field that an error of encoding/json is about; "body" when it names none.
func fieldOf(err error) string {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && t.Field != "" {
		return t.Field
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return strings.Trim(name, `"`)
	}
	return "body"
}

func bad(field, format string, args ...any) error {
	return pos.FieldError(pos.ErrBadRequest, field, fmt.Errorf(format, args...))
}

func checkID(field, id string) error {
	if _, err := pos.ParsePaymentID(id); err != nil {
		return pos.FieldError(pos.ErrBadRequest, field, err)
	}
	return nil
}

func checkAmount(amount pos.Money) error {
	if amount <= 0 || amount > pos.MaxAmount {
		return bad("amount_fen", "%d fen: want 1 to %d", amount, pos.MaxAmount)
	}
	return nil
}

// checkLabel refuses what could not stand in a statement, whose CSV has no quoting.
func checkLabel(field, s string) error {
	outside := func(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' || r == '"' || r == '\ufffd' }
	if s == "" || len(s) > maxLabel || strings.ContainsFunc(s, outside) {
		return bad(field, "want 1 to %d bytes without blanks, commas and quotes", maxLabel)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
