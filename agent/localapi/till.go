package localapi

import (
	"context"
	"errors"
	"net/http"

	"dcpos/agent/checkout"
	"dcpos/agent/devices"
	"dcpos/agent/operator"
	"dcpos/drivers/scanner/router"
	"dcpos/pos"
)

// Scan is what a scanned code was.
type Scan struct {
	Kind    router.Kind `json:"kind"`
	Code    string      `json:"code" doc:"Masked unless it is a goods code or a link"`
	Payment *Payment    `json:"payment,omitempty"`
	Text    pos.Text    `json:"text"`
}

type scanInput struct {
	Body struct {
		Code      string `json:"code" minLength:"1" maxLength:"4096"`
		Symbology string `json:"symbology,omitempty" maxLength:"3" doc:"AIM identifier, such as ]Q1"`
	}
}

type scanOutput struct{ Body Scan }

func scanOf(s checkout.Scan) Scan {
	out := Scan{Kind: s.Kind, Code: s.Code, Text: s.Text}
	if s.Payment != nil {
		p := present(*s.Payment)
		out.Payment = &p
	}
	return out
}

func (a *API) scan(ctx context.Context, in *scanInput) (*scanOutput, error) {
	s, err := a.till.Scan(ctx, in.Body.Code, in.Body.Symbology)
	if err != nil {
		return nil, err
	}
	return &scanOutput{Body: scanOf(s)}, nil
}

type signInInput struct {
	Body struct {
		Number string `json:"number" minLength:"1" maxLength:"16"`
		PIN    string `json:"pin" minLength:"1" maxLength:"12"`
	}
}

type operatorOutput struct{ Body operator.Operator }

func (a *API) signIn(ctx context.Context, in *signInInput) (*operatorOutput, error) {
	o, err := a.till.SignInOperator(ctx, in.Body.Number, in.Body.PIN)
	if err != nil {
		return nil, err
	}
	return &operatorOutput{Body: o}, nil
}

func (a *API) signOut(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, a.till.SignOutOperator(ctx)
}

// Status is how the till stands.
type Status struct {
	checkout.Status
	CurrentPayment *Payment         `json:"current,omitempty"`
	Devices        []devices.Status `json:"devices"`
	Version        string           `json:"version,omitempty"`
}

type statusOutput struct{ Body Status }

func (a *API) status(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	s, err := a.till.Status(ctx)
	if err != nil {
		return nil, err
	}
	out := Status{Status: s, Devices: a.deviceList(), Version: a.version}
	if s.Current != nil {
		p := present(*s.Current)
		out.CurrentPayment = &p
	}
	return &statusOutput{Body: out}, nil
}

type drawerInput struct {
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"64"`
	}
}

func (a *API) drawer(ctx context.Context, in *drawerInput) (*struct{}, error) {
	if who(ctx).name == "" {
		return nil, pos.NewError(pos.ErrForbidden, errors.New("nobody"))
	}
	return nil, a.till.OpenDrawer(ctx, who(ctx).name, in.Body.Reason)
}

func (a *API) registerTill() {
	post, get := http.MethodPost, http.MethodGet
	operation(a, "scan", post, "/v1/scan", ScopePay, "The one scan box: any code", a.scan)
	operation(a, "signIn", post, "/v1/session", ScopePay, "Sign an operator in", a.signIn)
	operation(a, "signOut", http.MethodDelete, "/v1/session", ScopePay, "Sign the operator out", a.signOut)
	operation(a, "status", get, "/v1/status", ScopeRead, "Link, outbox, limits, operator, devices, what is wrong", a.status)
	operation(a, "openDrawer", post, "/v1/drawer", ScopePay, "Open the cash drawer", a.drawer)
}
