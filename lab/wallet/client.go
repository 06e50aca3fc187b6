package wallet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

// Limits of one call to an institution.
const (
	callTimeout = 10 * time.Second
	maxAnswer   = 64 << 10
)

// Client calls the wallet side of one simulated institution. The zero Client is a
// phone without network: every call fails with pos.ErrOffline.
type Client struct {
	Base string       // such as http://127.0.0.1:9000/ICBC/v1
	Key  string       // the institution's API key
	HTTP *http.Client // nil is http.DefaultClient
}

// call sends one request and reads its answer. It never repeats: whether a lost
// answer may be asked for again is the caller's to know.
func (c Client) call(ctx context.Context, method, path string, in, out any) error {
	if c.Base == "" {
		return pos.NewError(pos.ErrOffline, errors.New("this wallet has no institution to call"))
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, body)
	if err != nil {
		return pos.FieldError(pos.ErrBadRequest, "url", err)
	}
	req.Header.Set(api.KeyHeader, c.Key)
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return pos.NewError(pos.ErrInstitution, err)
	}
	defer func() { _ = res.Body.Close() }() // only read from: nothing can be lost in closing
	return readAnswer(res, out)
}

func readAnswer(res *http.Response, out any) error {
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return pos.NewError(pos.ErrInstitution, err)
	}
	if res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(b, out); err != nil {
			return pos.NewError(pos.ErrInstitution, err)
		}
		return nil
	}
	var p api.Problem
	if err := json.Unmarshal(b, &p); err != nil {
		return pos.NewError(pos.ErrInstitution, fmt.Errorf("status %d without a reason", res.StatusCode))
	}
	cause := fmt.Errorf("institution says %d %s: %s", res.StatusCode, p.Code, p.Message)
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return pos.NewError(pos.ErrForbidden, cause)
	case res.StatusCode >= http.StatusInternalServerError:
		return pos.NewError(pos.ErrInstitution, cause)
	}
	return pos.NewError(pos.Code(p.Code), cause)
}
