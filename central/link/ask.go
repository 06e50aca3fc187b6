package link

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// maxAsk bounds a question or a mark request in bytes.
const maxAsk = 16 << 10

// askTime bounds the work on one question: longer than any institution takes, so that
// its own time-outs decide.
const askTime = 2 * time.Minute

func (l *Link) listenAsks() ([]*nats.Subscription, error) {
	sub, err := l.road.nc.QueueSubscribe(wire.AskFilter, "dcpos-ask", func(m *nats.Msg) {
		select {
		case l.asking <- struct{}{}:
		default:
			l.rejectBusy(m)
			return
		}
		l.spawn(func() {
			defer func() { <-l.asking }()
			l.ask(m)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to questions: %w", err)
	}
	return []*nats.Subscription{sub}, nil
}

// rejectBusy refuses a question that finds no place. It runs in the subscription's one
// goroutine, so it looks nothing up.
func (l *Link) rejectBusy(m *nats.Msg) {
	terminal, _, err := wire.ParseAsk(m.Subject)
	if err != nil {
		return
	}
	ids := struct {
		Payment pos.PaymentID `json:"payment"`
		Refund  pos.RefundID  `json:"refund"`
	}{}
	if len(m.Data) <= maxAsk {
		_ = dcep.Unmarshal(m.Data, &ids) // without ids the answer is still a refusal
	}
	l.reply(m, terminal, l.rejected(ids.Payment, ids.Refund, pos.ErrTooMany, errors.New("all places are taken")))
}

func (l *Link) rejected(id pos.PaymentID, refund pos.RefundID, code pos.Code, err error) pos.Answer {
	return pos.Answer{
		Payment: id, Refund: refund, Outcome: pos.OutcomeRejected, Reason: code, Detail: err.Error(),
		CentreMS: l.now().UnixMilli(),
	}
}

// question is one decoded ask: its ids, its environment, and how to have it answered.
type question struct {
	env     pos.Environment
	payment pos.PaymentID
	refund  pos.RefundID
	expires int64 // Unix ms; 0: it does not expire
	answer  func(ctx context.Context, terminal string) pos.Answer
}

func (l *Link) ask(m *nats.Msg) {
	terminal, verb, err := wire.ParseAsk(m.Subject)
	if err != nil {
		return // permissions let nobody publish there
	}
	ctx, cancel := context.WithTimeout(l.ctx, askTime)
	defer cancel()
	q, err := l.parse(verb, m.Data)
	if err == nil {
		err = l.mayAsk(ctx, terminal, q)
	}
	if err != nil {
		e := pos.AsError(err)
		l.reply(m, terminal, l.rejected(q.payment, q.refund, e.Code, e))
		return
	}
	answer := q.answer(ctx, terminal)
	answer.CentreMS = l.now().UnixMilli()
	l.reply(m, terminal, answer)
}

func (l *Link) parse(verb wire.Verb, data []byte) (question, error) {
	if len(data) > maxAsk {
		return question{}, pos.NewError(pos.ErrTooLarge, fmt.Errorf("%d bytes, at most %d", len(data), maxAsk))
	}
	var q question
	var err error
	switch verb {
	case wire.VerbPay:
		q, err = read(data, func(a pos.AskPay) question {
			return question{a.Env, a.Payment, pos.RefundID{}, positive(a.ExpiresMS), func(ctx context.Context, t string) pos.Answer {
				return l.cfg.Asks.Pay(ctx, t, a)
			}}
		})
	case wire.VerbPresent:
		q, err = read(data, func(a pos.AskPresent) question {
			return question{a.Env, a.Payment, pos.RefundID{}, positive(a.ExpiresMS), func(ctx context.Context, t string) pos.Answer {
				return l.cfg.Asks.Present(ctx, t, a)
			}}
		})
	case wire.VerbQuery:
		q, err = read(data, func(a pos.AskQuery) question {
			return question{a.Env, a.Payment, a.Refund, 0, func(ctx context.Context, t string) pos.Answer {
				return l.cfg.Asks.Query(ctx, t, a)
			}}
		})
	case wire.VerbAbandon:
		q, err = read(data, func(a pos.AskAbandon) question {
			return question{a.Env, a.Payment, pos.RefundID{}, 0, func(ctx context.Context, t string) pos.Answer {
				return l.cfg.Asks.Abandon(ctx, t, a)
			}}
		})
	case wire.VerbRefund:
		q, err = read(data, func(a pos.AskRefund) question {
			return question{a.Env, a.Payment, a.Refund, positive(a.ExpiresMS), func(ctx context.Context, t string) pos.Answer {
				return l.cfg.Asks.Refund(ctx, t, a)
			}}
		})
	default:
		err = fmt.Errorf("verb %.16q is unknown", verb)
	}
	if err != nil {
		return q, pos.NewError(pos.ErrBadRequest, err)
	}
	return q, nil
}

// positive makes an absent expiry one that is over: a question to take or give money
// must have one.
func positive(ms int64) int64 { return max(ms, 1) }

func read[T any](data []byte, into func(T) question) (question, error) {
	var ask T
	if err := dcep.Unmarshal(data, &ask); err != nil {
		return question{}, err
	}
	return into(ask), nil
}

// starts reports a question that may move money; the others only look or give up, and
// a terminal in quarantine needs them to learn what became of its customers' money.
func (q question) starts() bool { return q.expires != 0 }

// mayAsk refuses what must not be started: another environment, a terminal that may
// not ask, an expired question.
func (l *Link) mayAsk(ctx context.Context, terminal string, q question) error {
	if q.env != l.cfg.Env {
		return pos.NewError(pos.ErrEnvironment, fmt.Errorf("till is %.8q, centre is %s", q.env, l.cfg.Env))
	}
	if q.payment.IsZero() {
		return pos.FieldError(pos.ErrBadRequest, "payment", errors.New("no payment is named"))
	}
	err := l.store.Read(ctx, func(r Reader) error {
		t, found, err := r.Terminal(ctx, terminal)
		switch {
		case err != nil:
			return err
		case !found:
			return pos.NewError(pos.ErrNotEnrolled, fmt.Errorf("no terminal %s", terminal))
		case t.Suspended && q.starts():
			return pos.NewError(pos.ErrForbidden, fmt.Errorf("terminal %s is suspended", terminal))
		case t.Quarantined && q.starts():
			return pos.NewError(pos.ErrQuarantined, fmt.Errorf("terminal %s is quarantined", terminal))
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Last, so that nothing slow lies between the look at the clock and the start.
	if now := l.now().UnixMilli(); q.starts() && q.expires <= now {
		return pos.NewError(pos.ErrExpired, fmt.Errorf("%d ms ago", now-q.expires))
	}
	return nil
}

func (l *Link) reply(m *nats.Msg, terminal string, a pos.Answer) {
	b, err := dcep.Marshal(a)
	if err != nil {
		l.log.ErrorContext(l.ctx, "answer is not encoded", "terminal", terminal, "err", err)
		return
	}
	l.respond(m, terminal, b)
}

// respond answers into the terminal's own inbox and nowhere else: a reply subject that
// names another's would make the centre speak in its name.
func (l *Link) respond(m *nats.Msg, terminal string, data []byte) {
	if !strings.HasPrefix(m.Reply, wire.InboxPrefix(terminal)+".") {
		l.log.WarnContext(l.ctx, "reply subject is not the terminal's", "terminal", terminal)
		return
	}
	if err := m.Respond(data); err != nil {
		l.log.WarnContext(l.ctx, "answer is not sent", "terminal", terminal, "err", err)
	}
}
