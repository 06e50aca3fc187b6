// Package enrol makes a device a terminal: it shows the centre a one-time code and the
// keys that the device made, and gets name, epoch, the centre's key and the road.
package enrol

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// Client asks the centre at Base, such as https://pos.example.cn.
type Client struct {
	Base string
	HTTP *http.Client // nil: a client with a limit of 15 s
}

// Proof signs the code and the public key with the journal key, so that nobody enrols a key that is not its own.
func Proof(signer dcep.Signer, code string) ([]byte, error) {
	return signer.Sign(wire.DomainEnrol, ProofMessage(code, signer.Public()))
}

// ProofMessage is what the proof signs.
func ProofMessage(code string, public []byte) []byte {
	return append([]byte(code+"\x00"), public...)
}

// noAddress is the error of a centre's address that is none. It is not completed: whether the
// code may travel unencrypted is for the person to say.
func noAddress(base string) error {
	e := pos.FieldError(pos.ErrBadRequest, "centre", fmt.Errorf("%q: want http(s)://HOST[:PORT]", base))
	e.Text = pos.Text{
		ZH: fmt.Sprintf("中心地址 %q 不完整", base),
		EN: fmt.Sprintf("%q is no address of a centre", base),
	}
	e.Hint = pos.Text{
		ZH: "请写全,以 https:// 开头,例如 https://pos.example.cn;只有本机或测试环境可用 http://主机:端口,例如 http://127.0.0.1:8700",
		EN: "write it in full, beginning with https://, such as https://pos.example.cn; only on this machine or in the lab http://HOST:PORT, such as http://127.0.0.1:8700",
	}
	return e
}

// Enrol sends the request. Sending it again with the same code and keys gives the same answer.
func (c Client) Enrol(ctx context.Context, r wire.EnrolRequest) (wire.EnrolAnswer, error) {
	var a wire.EnrolAnswer
	base, err := url.Parse(c.Base)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return a, noAddress(c.Base)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return a, fmt.Errorf("encode enrolment: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		strings.TrimSuffix(c.Base, "/")+wire.EnrolPath, bytes.NewReader(body))
	if err != nil {
		return a, fmt.Errorf("ask %s: %w", c.Base, err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := c.HTTP
	if client == nil {
		client = &http.Client{Timeout: 15 * time.Second}
	}
	resp, err := client.Do(req)
	if err != nil {
		return a, pos.NewError(pos.ErrOffline, err)
	}
	defer func() { _ = resp.Body.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return a, pos.NewError(pos.ErrOffline, err)
	}
	if resp.StatusCode != http.StatusOK {
		return a, refusal(resp.StatusCode, b)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("read enrolment answer: %w", err)
	}
	return a, check(r, a)
}

func refusal(status int, body []byte) error {
	var e pos.Error
	if json.Unmarshal(body, &e) == nil && e.Code != "" {
		e.Err = fmt.Errorf("centre answered %d", status)
		return &e
	}
	return pos.NewError(pos.ErrForbidden, fmt.Errorf("centre answered %d", status))
}

// check refuses an answer that could not work, so that nothing half-made is kept.
func check(r wire.EnrolRequest, a wire.EnrolAnswer) error {
	if err := wire.CheckTerminal(a.Terminal); err != nil {
		return err
	}
	suite, err := dcep.SuiteByName(a.Suite)
	if err != nil {
		return fmt.Errorf("centre's key: %w", err)
	}
	if _, err := suite.Verifier(a.CentreKey); err != nil {
		return fmt.Errorf("centre's key: %w", err)
	}
	if a.Trust.Env != "" && a.Trust.Env != r.Env {
		return pos.NewError(pos.ErrEnvironment, fmt.Errorf("centre is %s, this device is %s", a.Trust.Env, r.Env))
	}
	if a.Epoch == 0 || a.NATSURL == "" || a.Merchant == "" {
		return fmt.Errorf("enrolment answer lacks epoch, nats_url or merchant")
	}
	return nil
}
