package console

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dcpos/pos"
)

type policiesBody struct {
	List      []Policy
	Form      []policyField
	Published uint64
}

// policyField is one limit of the form.
type policyField struct {
	Name  string
	Text  pos.Text
	Value string
	set   func(*pos.Limits, string) error
}

// policyFields are the limits that people change often; the others stay as they are.
func policyFields(l pos.Limits) []policyField {
	yuan := func(name, zh, en string, v pos.Money, at func(*pos.Limits) *pos.Money) policyField {
		return policyField{name, pos.Text{ZH: zh, EN: en}, v.String(), func(l *pos.Limits, s string) (err error) {
			*at(l), err = pos.ParseMoney(s)
			return err
		}}
	}
	count := func(name, zh, en string, v int, at func(*pos.Limits) *int) policyField {
		return policyField{name, pos.Text{ZH: zh, EN: en}, strconv.Itoa(v), func(l *pos.Limits, s string) (err error) {
			*at(l), err = strconv.Atoi(s)
			return err
		}}
	}
	span := func(name, zh, en string, v time.Duration, at func(*pos.Limits) *time.Duration) policyField {
		return policyField{name, pos.Text{ZH: zh, EN: en}, v.String(), func(l *pos.Limits, s string) (err error) {
			*at(l), err = time.ParseDuration(s)
			return err
		}}
	}
	return []policyField{
		yuan("per_payment", "单笔上限(元)", "Per payment (yuan)", l.PerPayment, func(l *pos.Limits) *pos.Money { return &l.PerPayment }),
		yuan("stored_total", "累计上限(元)", "Stored total (yuan)", l.StoredTotal, func(l *pos.Limits) *pos.Money { return &l.StoredTotal }),
		count("stored_count", "笔数上限", "Stored count", l.StoredCount, func(l *pos.Limits) *int { return &l.StoredCount }),
		span("oldest_warn", "最早一笔:提醒", "Oldest: warn", l.OldestWarn, func(l *pos.Limits) *time.Duration { return &l.OldestWarn }),
		span("oldest_stop", "最早一笔:停止", "Oldest: stop", l.OldestStop, func(l *pos.Limits) *time.Duration { return &l.OldestStop }),
		yuan("wallet_total", "单个钱包累计(元)", "Per wallet (yuan)", l.WalletTotal, func(l *pos.Limits) *pos.Money { return &l.WalletTotal }),
		count("wallet_count", "单个钱包笔数", "Per wallet, count", l.WalletCount, func(l *pos.Limits) *int { return &l.WalletCount }),
		yuan("split_total", "拆单合计上限(元)", "Split sale, together (yuan)", l.SplitTotal, func(l *pos.Limits) *pos.Money { return &l.SplitTotal }),
		span("split_window", "拆单识别时间", "Split sale, within", l.SplitWindow, func(l *pos.Limits) *time.Duration { return &l.SplitWindow }),
		span("revocation_max", "吊销名单最长时效", "List of revoked wallets, at most", l.RevocationMax, func(l *pos.Limits) *time.Duration { return &l.RevocationMax }),
		yuan("fare_max", "定额闸机上限(元)", "Fixed fare, at most (yuan)", l.FareMax, func(l *pos.Limits) *pos.Money { return &l.FareMax }),
	}
}

// inForce are the fleet's limits now, which a new policy changes.
func (c *Console) inForce(list []Policy) pos.Limits {
	var s pos.Schedule
	for _, p := range list {
		if p.Store == "" && p.Terminal == "" {
			s = append(s, p.Policy)
		}
	}
	p, err := s.In(pos.IntervalAt(c.cfg.Now()))
	if err != nil {
		return pos.DefaultLimits()
	}
	return p.Limits
}

func (c *Console) policies(w http.ResponseWriter, r *http.Request, s Session) {
	c.showPolicies(w, r, s, 0)
}

func (c *Console) showPolicies(w http.ResponseWriter, r *http.Request, s Session, published uint64) {
	if c.cfg.Actions.Policies == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, errors.New("policies are not available here")))
		return
	}
	list, err := c.cfg.Actions.Policies(r.Context())
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	c.show(w, r, http.StatusOK, "policies", s, policiesBody{List: list, Form: policyFields(c.inForce(list)), Published: published})
}

// publish signs the form's limits.
func (c *Console) publish(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Actions.Policies == nil || c.cfg.Actions.Publish == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, errors.New("policies are not available here")))
		return
	}
	list, err := c.cfg.Actions.Policies(r.Context())
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	p, err := policyOf(r, c.inForce(list))
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	version, err := c.cfg.Actions.Publish(r.Context(), p, s.Account)
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	c.showPolicies(w, r, s, version)
}

func policyOf(r *http.Request, limits pos.Limits) (pos.Policy, error) {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	p := pos.Policy{Store: value("store"), Terminal: value("terminal"), Limits: limits}
	for name, into := range map[string]*int64{"from": &p.FromMS, "expires": &p.ExpiresMS} {
		if v := value(name); v != "" {
			t, err := time.ParseInLocation("2006-01-02T15:04", v, pos.Shanghai())
			if err != nil {
				return p, pos.FieldError(pos.ErrBadRequest, name, fmt.Errorf("want yyyy-mm-ddThh:mm: %w", err))
			}
			*into = t.UnixMilli()
		}
	}
	for _, f := range policyFields(limits) {
		if err := f.set(&p.Limits, value(f.Name)); err != nil {
			return p, pos.FieldError(pos.ErrBadRequest, f.Name, err)
		}
	}
	return p, nil
}
