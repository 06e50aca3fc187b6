package httpapi

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dcpos/pos"
)

// PaymentMetrics registers the time of answers to tills and returns what records one
// (central/payment's Config.Observe). Labels are few: question, institution, outcome.
func PaymentMetrics(reg prometheus.Registerer) (func(question string, a pos.Answer, took time.Duration), error) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "dcpos_payment_answer_seconds", Help: "Time from a till's question to the centre's answer.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
	}, []string{"question", "institution", "outcome"})
	if err := reg.Register(h); err != nil {
		return nil, fmt.Errorf("register metric: %w", err)
	}
	return func(question string, a pos.Answer, took time.Duration) {
		h.WithLabelValues(question, a.Institution, string(a.Outcome)).Observe(took.Seconds())
	}, nil
}
