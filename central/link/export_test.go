package link

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// Take runs the taking in of messages without the conveyor.
func (l *Link) Take(ctx context.Context, subjects []string, data [][]byte) error {
	messages := make([]message, len(data))
	for i := range data {
		messages[i] = message{subjects[i], data[i]}
	}
	_, err := l.take(ctx, messages)
	return err
}

// AuditStream is auditStream.
func AuditStream(have, want jetstream.StreamConfig) []Finding { return auditStream(have, want) }

// Wanted is the stream that a conveyor wants.
func Wanted(c Conveyor) jetstream.StreamConfig {
	r := road{conveyor: c.withDefaults()}
	return r.wanted()
}
