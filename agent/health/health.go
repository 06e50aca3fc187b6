// Package health declares, once each, the things that can be wrong with a till, and
// keeps which of them are wrong now. The list feeds the screens, the local API and
// the centre alike.
//
// To add a condition: a value of Condition next to the code that detects it, and a
// call of Set and Clear.
package health

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"dcpos/pos"
)

// Severity says how much a condition matters.
type Severity string

// The severities, the worst last.
const (
	Info    Severity = "info"    // worth knowing
	Warning Severity = "warning" // sales go on, something needs care
	Stop    Severity = "stop"    // no sale is possible
)

func (s Severity) rank() int {
	switch s {
	case Info:
		return 0
	case Warning:
		return 1
	case Stop:
		return 2
	}
	return 0
}

// Condition is one thing that can be wrong.
type Condition struct {
	Code     string
	Severity Severity
	Text     pos.Text // what is wrong
	Hint     pos.Text // what to do
	// After hides the condition until it has held so long, so that nothing flickers.
	After time.Duration
}

// Finding is a condition that holds now.
type Finding struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Text     pos.Text `json:"text"`
	Hint     pos.Text `json:"hint"`
	Detail   string   `json:"detail,omitempty"` // for logs, English
	SinceMS  int64    `json:"since_ms"`
}

// OfflineCondition holds while the centre cannot be reached.
func OfflineCondition() Condition {
	return Condition{
		Code: "offline", Severity: Warning, After: 3 * time.Second,
		Text: pos.Text{ZH: "未连接中心,离线收款中", EN: "not connected to the centre; payments are taken offline"},
		Hint: pos.Text{ZH: "付款码与退款需联网;可使用离线收款", EN: "payment codes and refunds need the network; offline payments go on"},
	}
}

// NearLimitCondition holds when the offline limits are nearly used up.
func NearLimitCondition() Condition {
	return Condition{
		Code: "limits_near", Severity: Warning,
		Text: pos.Text{ZH: "离线额度即将用完", EN: "the offline limits are nearly used up"},
		Hint: pos.Text{ZH: "请尽快恢复网络上传", EN: "reconnect soon so that payments are uploaded"},
	}
}

// LimitCondition holds when nothing more is accepted offline.
func LimitCondition() Condition {
	return Condition{
		Code: "limits_reached", Severity: Warning,
		Text: pos.Text{ZH: "离线额度已用完,不能再离线收款", EN: "the offline limits are used up; nothing more is taken offline"},
		Hint: pos.Text{ZH: "请恢复网络上传", EN: "reconnect so that payments are uploaded"},
	}
}

// PolicyCondition holds while a policy that came was refused.
func PolicyCondition() Condition {
	return Condition{
		Code: "policy_refused", Severity: Warning,
		Text: pos.Text{ZH: "收到的离线规则已被拒绝,沿用原规则", EN: "a policy for offline payments came and was refused; the one before holds"},
		Hint: pos.Text{ZH: "请联系中心核查", EN: "call the centre"},
	}
}

// PolicyNoneCondition holds while no policy for offline payments is in force.
func PolicyNoneCondition() Condition {
	return Condition{
		Code: "policy_none", Severity: Warning, After: 5 * time.Second,
		Text: pos.ErrPolicyNone.Text(), Hint: pos.ErrPolicyNone.Hint(),
	}
}

// ClockCondition holds when the wall clock cannot date an offline payment.
func ClockCondition() Condition {
	return Condition{
		Code: "clock", Severity: Warning, After: 5 * time.Second,
		Text: pos.ErrClock.Text(), Hint: pos.ErrClock.Hint(),
	}
}

// StorageCondition holds when the journal cannot be written.
func StorageCondition() Condition {
	return Condition{Code: "storage", Severity: Stop, Text: pos.ErrStorage.Text(), Hint: pos.ErrStorage.Hint()}
}

// QuarantineCondition holds when the centre has quarantined the till.
func QuarantineCondition() Condition {
	return Condition{Code: "quarantined", Severity: Stop, Text: pos.ErrQuarantined.Text(), Hint: pos.ErrQuarantined.Hint()}
}

// VerdictCondition holds when a verdict of the centre does not fit the journal.
func VerdictCondition() Condition {
	return Condition{
		Code: "verdict", Severity: Warning,
		Text: pos.Text{ZH: "中心的裁定与本机账簿不符", EN: "a decision of the centre does not fit this till's journal"},
		Hint: pos.Text{ZH: "请联系中心核对该笔支付", EN: "call the centre about the payment"},
	}
}

type held struct {
	condition Condition
	detail    string
	since     time.Time
}

// Tracker keeps what is wrong now. It is safe for concurrent use.
type Tracker struct {
	now func() time.Time

	mu   sync.Mutex
	held map[string]held
}

// New makes a tracker in which nothing is wrong. now is the wall clock; nil is time.Now.
func New(now func() time.Time) *Tracker {
	if now == nil {
		now = time.Now
	}
	return &Tracker{now: now, held: map[string]held{}}
}

// Set says that the condition holds; detail is for logs. A repeat keeps the time of the first.
func (t *Tracker) Set(c Condition, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.held[c.Code]
	if !ok {
		h.since = t.now()
	}
	h.condition, h.detail = c, detail
	t.held[c.Code] = h
}

// Clear says that the condition does not hold.
func (t *Tracker) Clear(c Condition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.held, c.Code)
}

// Holds reports whether the condition holds, shown yet or not.
func (t *Tracker) Holds(c Condition) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.held[c.Code]
	return ok
}

// Put is Set when err is not nil and Clear otherwise.
func (t *Tracker) Put(c Condition, err error) {
	if err == nil {
		t.Clear(c)
		return
	}
	t.Set(c, err.Error())
}

// Findings lists what has been wrong for long enough to show, the worst first.
func (t *Tracker) Findings() []Finding {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	list := []Finding{}
	for _, h := range t.held {
		if now.Sub(h.since) < h.condition.After {
			continue
		}
		list = append(list, Finding{
			Code: h.condition.Code, Severity: h.condition.Severity, Text: h.condition.Text,
			Hint: h.condition.Hint, Detail: h.detail, SinceMS: h.since.UnixMilli(),
		})
	}
	slices.SortFunc(list, func(a, b Finding) int {
		return cmp.Or(b.Severity.rank()-a.Severity.rank(), cmp.Compare(a.Code, b.Code))
	})
	return list
}
