package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dcpos/pos"
	"dcpos/sync/wire"
)

// consumerName is the durable consumer that all centres share.
const consumerName = "dcpos-ingest"

// The consumer's settings: ackWait is longer than the worst commit, maxAckPending
// bounds what is under way.
const (
	ackWait       = 60 * time.Second
	maxAckPending = 1024
)

// Finding is one setting of the conveyor that is not as money requires.
type Finding struct {
	Setting string `json:"setting"`
	Have    string `json:"have"`
	Want    string `json:"want"`
}

// String says it in one line.
func (f Finding) String() string { return fmt.Sprintf("%s is %s, want %s", f.Setting, f.Have, f.Want) }

// auditError tells which settings keep money from flowing.
func auditError(findings []Finding) error {
	if len(findings) == 0 {
		return nil
	}
	lines := make([]string, len(findings))
	for i, f := range findings {
		lines[i] = f.String()
	}
	return pos.FieldError(pos.ErrConfig, "conveyor", errors.New(strings.Join(lines, "; ")))
}

// wanted is the stream as money requires it.
func (r *road) wanted() jetstream.StreamConfig {
	c := r.conveyor
	return jetstream.StreamConfig{
		Name: wire.JournalStream, Subjects: []string{wire.JournalFilter},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxBytes: c.MaxBytes, MaxAge: c.MaxAge, MaxMsgSize: maxBatch, Duplicates: c.Duplicates, Replicas: c.Replicas,
		DenyDelete: true, DenyPurge: true, AllowDirect: true,
	}
}

// prepare makes the stream where there is none and audits what is there. It never
// changes an existing stream: that is a person's decision.
func (r *road) prepare(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	findings, err := r.auditServer(ctx)
	if err != nil {
		return nil, err
	}
	if err := auditError(findings); err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, wire.JournalStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, r.wanted())
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", wire.JournalStream, err)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", wire.JournalStream, err)
	}
	if err := auditError(auditStream(info.Config, r.wanted())); err != nil {
		return nil, err
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: consumerName, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: ackWait, MaxAckPending: maxAckPending, MaxDeliver: -1, Replicas: r.conveyor.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("open consumer %s: %w", consumerName, err)
	}
	if r.server == nil {
		return consumer, nil
	}
	// Nobody else takes in: what was handed to the centre that ended must not wait for ackWait.
	if _, err := stream.ResetConsumer(ctx, consumerName); err != nil {
		return nil, fmt.Errorf("reset consumer %s: %w", consumerName, err)
	}
	return consumer, nil
}

// auditStream compares a stream with what is wanted. Larger bounds than wanted are fine.
func auditStream(have, want jetstream.StreamConfig) []Finding {
	var out []Finding
	check := func(setting string, have, want any) {
		if h, w := fmt.Sprint(have), fmt.Sprint(want); h != w {
			out = append(out, Finding{setting, h, w})
		}
	}
	check("storage", have.Storage, want.Storage)
	check("discard", have.Discard, want.Discard)
	check("retention", have.Retention, want.Retention)
	check("subjects", have.Subjects, want.Subjects)
	check("deny_delete", have.DenyDelete, true)
	check("deny_purge", have.DenyPurge, true)
	check("no_ack", have.NoAck, false)
	check("sealed", have.Sealed, false)
	// Async persistence acknowledges before the disk has it.
	check("persist_mode", have.PersistMode, jetstream.DefaultPersistMode)
	// Compression has lost blocks on compaction.
	check("compression", have.Compression, jetstream.NoCompression)
	check("max_msgs", max(have.MaxMsgs, 0), 0) // the server says -1 for no bound
	check("max_msgs_per_subject", max(have.MaxMsgsPerSubject, 0), 0)
	check("mirror", have.Mirror != nil, false)
	if have.Replicas < want.Replicas {
		check("replicas", have.Replicas, want.Replicas)
	}
	if have.MaxAge != 0 && have.MaxAge < want.MaxAge {
		check("max_age", have.MaxAge, want.MaxAge)
	}
	if have.MaxMsgSize != -1 && have.MaxMsgSize < want.MaxMsgSize {
		check("max_msg_size", have.MaxMsgSize, want.MaxMsgSize)
	}
	return out
}

// auditServer asks each server whether it flushes before it acknowledges.
func (r *road) auditServer(ctx context.Context) ([]Finding, error) {
	if r.server != nil {
		c := r.server.JetStreamConfig()
		if c == nil {
			return []Finding{{"jetstream", "off", "on"}}, nil
		}
		return syncFindings("embedded", c.SyncAlways), nil
	}
	if r.system == nil {
		return []Finding{{"sync_interval", "unknown (no system_seed to ask with)", "always"}}, nil
	}
	return r.askServers(ctx)
}

func syncFindings(server string, always bool) []Finding {
	if always {
		return nil
	}
	return []Finding{{"sync_interval of " + server, "periodic", "always"}}
}

// serverAnswers is how long servers of a cluster have to answer the audit.
const serverAnswers = 2 * time.Second

// askServers asks all servers of the cluster at once. Fewer answers than replicas are
// a finding too.
func (r *road) askServers(ctx context.Context) ([]Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, serverAnswers)
	defer cancel()
	inbox := r.system.NewRespInbox()
	sub, err := r.system.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask servers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection forgets it anyway
	if err := r.system.PublishRequest("$SYS.REQ.SERVER.PING.JSZ", inbox, []byte(`{"config":true}`)); err != nil {
		return nil, fmt.Errorf("ask servers: %w", err)
	}
	var out []Finding
	answers := 0
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("ask servers: %w", err)
		}
		var a struct {
			Server struct {
				Name string `json:"name"`
			} `json:"server"`
			Data struct {
				Disabled bool `json:"disabled"`
				Config   struct {
					SyncAlways bool `json:"sync_always"`
				} `json:"config"`
			} `json:"data"`
		}
		if err := json.Unmarshal(m.Data, &a); err != nil {
			return nil, fmt.Errorf("ask servers: %w", err)
		}
		if a.Data.Disabled { // carries no stream
			continue
		}
		answers++
		out = append(out, syncFindings(a.Server.Name, a.Data.Config.SyncAlways)...)
	}
	if answers < r.conveyor.Replicas {
		out = append(out, Finding{"servers that answer", fmt.Sprint(answers), fmt.Sprintf("at least %d", r.conveyor.Replicas)})
	}
	return out, nil
}
