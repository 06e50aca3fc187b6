// Package wallet simulates a customer's digital-yuan wallet: it shows payment codes
// and scans QRs through its institution, and signs offline evidence by itself.
//
// It is the reference wallet of the lab. Commands of real e-CNY wallets are not
// public; what is signed, and how, is defined in pos/dcep.
package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Wallet is one customer's wallet. It is safe for concurrent use; two processes must
// not sign with one folder at the same time.
type Wallet struct {
	dir    string
	client Client
	key    dcep.Signer

	mu        sync.Mutex // guards what follows
	state     state
	envelopes []pos.EnvelopeUse // instead of those that it holds, in tests
}

// Opening says which wallet is to be opened.
type Opening struct {
	Dir         string    // where it is kept; "" keeps it in memory only
	Institution string    // such as ICBC; the Client must point there
	Name        string    // for people
	Balance     pos.Money // own money
	Envelope    pos.Money // red-envelope part
	Suite       string    // "" is sm2-sm3
	Tier        int       // class of the wallet, 1 to 4; 0: its certificate tells none
	Phone       string    // of the holder: claims the envelopes that were ordered for it
	// Valid is for how long its certificate is good; 0: for years, below 0 it has expired already, by at most 12 hours.
	Valid time.Duration
}

// Create makes a key, opens a wallet at the institution and keeps both. A folder that
// holds a wallet is refused: its key and counter must not be overwritten.
func Create(ctx context.Context, c Client, o Opening) (*Wallet, error) {
	if o.Suite == "" {
		o.Suite = dcep.SM2SM3
	}
	suite, err := dcep.SuiteByName(o.Suite)
	if err != nil {
		return nil, pos.FieldError(pos.ErrBadRequest, "suite", err)
	}
	w := &Wallet{dir: o.Dir, client: c}
	if err := prepare(o.Dir); err != nil {
		return nil, err
	}
	if w.key, err = suite.Generate(); err != nil {
		return nil, err
	}
	pem, err := dcep.MarshalKey(w.key)
	if err != nil {
		return nil, err
	}
	var opened api.WalletOpened
	err = c.call(ctx, http.MethodPost, "/wallets", api.NewWallet{
		Name: o.Name, Balance: o.Balance, Envelope: o.Envelope, Tier: o.Tier, Suite: o.Suite, PublicKey: w.key.Public(), Phone: o.Phone,
		ValidMS: o.Valid.Milliseconds(),
	}, &opened)
	if err != nil {
		return nil, err
	}
	w.state = state{
		ID: opened.WalletID, Name: o.Name, Institution: o.Institution, Suite: o.Suite, Certificate: opened.Certificate,
	}
	if err := w.save(keyFile, pem); err != nil {
		return nil, err
	}
	return w, w.saveState()
}

func prepare(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make wallet: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, keyFile)); !errors.Is(err, os.ErrNotExist) {
		return pos.FieldError(pos.ErrBadRequest, "wallet", fmt.Errorf("%s holds a wallet already", dir))
	}
	return nil
}

// ID is the institution's number of the wallet.
func (w *Wallet) ID() string { return w.state.ID }

// Name is what Opening called it.
func (w *Wallet) Name() string { return w.state.Name }

// Institution is whose wallet it is.
func (w *Wallet) Institution() string { return w.state.Institution }

// Certificate is the wallet's certificate in DER.
func (w *Wallet) Certificate() []byte { return w.state.Certificate }

// Counter is the counter of the last payment that was signed offline.
func (w *Wallet) Counter() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Counter
}

// Revoke has the institution revoke the wallet, as its holder would who lost it. Tills refuse it once they were told.
func (w *Wallet) Revoke(ctx context.Context) error {
	var nothing struct{}
	return w.client.call(ctx, http.MethodPost, "/wallets/"+w.state.ID+"/revoke", nil, &nothing)
}

// Trust reads what tills are to believe of the lab now, with every revoked wallet, as JSON.
func (w *Wallet) Trust(ctx context.Context) ([]byte, error) {
	var trust json.RawMessage
	lab := w.client
	lab.Base = strings.TrimSuffix(lab.Base, "/"+w.state.Institution+"/v1")
	err := lab.call(ctx, http.MethodGet, "/lab/trust", nil, &trust)
	return trust, err
}

// Code asks for a payment code: 19 digits, good for one minute and one payment.
func (w *Wallet) Code(ctx context.Context) (string, error) {
	var a api.CodeIssued
	err := w.client.call(ctx, http.MethodPost, "/wallets/"+w.state.ID+"/code", nil, &a)
	return a.Code, err
}

// Pass asks for a code of the laboratory's forwardable instrument: good for two days and one
// payment, and a till without a network may store it. No real institution has published one.
func (w *Wallet) Pass(ctx context.Context) (string, error) {
	var a api.CodeIssued
	err := w.client.call(ctx, http.MethodPost, "/wallets/"+w.state.ID+"/pass", nil, &a)
	return a.Code, err
}

// Scan pays the order whose QR text was scanned. A repeat pays once. A refusal is a
// result with Status F and its reason, not an error.
func (w *Wallet) Scan(ctx context.Context, qr string) (api.ScanResult, error) {
	var a api.ScanResult
	err := w.client.call(ctx, http.MethodPost, "/wallets/"+w.state.ID+"/scan", api.Scan{QR: qr}, &a)
	return a, err
}

// Balance asks what the wallet holds, own money and red-envelope part, and remembers the
// envelopes for payments without a network.
func (w *Wallet) Balance(ctx context.Context) (api.Balance, error) {
	var a api.Balance
	err := w.client.call(ctx, http.MethodGet, "/wallets/"+w.state.ID, nil, &a)
	if err == nil {
		err = w.remember(a.Envelopes)
	}
	return a, err
}

// Claim takes the envelopes that were ordered for the holder since the wallet was opened.
func (w *Wallet) Claim(ctx context.Context) error {
	return w.client.call(ctx, http.MethodPost, "/wallets/"+w.state.ID+"/claim", nil, new(struct{}))
}

// Answer signs the payment that a till's challenge QR asks for and gives the text of
// the answer QR. It needs no network. The counter is on the disk before anything is
// signed, so that a kill skips a counter and never uses one twice.
func (w *Wallet) Answer(challenge string, now time.Time) (string, error) {
	return w.answer(challenge, now, 1)
}

// DoubleSpend is Answer with the counter of the last payment once more, as a cloned
// wallet would: the institution honours only the first. It is for tests.
func (w *Wallet) DoubleSpend(challenge string, now time.Time) (string, error) {
	return w.answer(challenge, now, 0)
}

func (w *Wallet) answer(text string, now time.Time, step uint64) (string, error) {
	c, err := dcep.DecodeChallenge(text)
	if err != nil {
		return "", pos.FieldError(pos.ErrBadCode, "challenge", err)
	}
	if c.Env != pos.Lab {
		return "", pos.FieldError(pos.ErrEnvironment, "challenge", fmt.Errorf("this wallet is of the lab, the till says %q", c.Env))
	}
	if now.UnixMilli() > c.ExpiresMS {
		return "", pos.FieldError(pos.ErrExpired, "challenge", errors.New("the till's challenge is over"))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if step == 0 && w.state.Counter == 0 {
		return "", pos.NewError(pos.ErrIllegalMove, errors.New("nothing was signed yet that could be spent twice"))
	}
	w.state.Counter += step
	uses := w.uses(c, now)
	w.spent(uses)
	if err := w.saveState(); err != nil {
		return "", err
	}
	e, err := dcep.SignEvidence(w.key, w.state.Certificate, c, w.state.Counter, now, uses...)
	if err != nil {
		return "", err
	}
	return dcep.EncodeEvidence(e)
}
