package link_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"dcpos/central/fleet"
	"dcpos/pos"
	"dcpos/sync/wire"
)

func newUser() (nkeys.KeyPair, error) { return nkeys.CreateUser() }

func codeFor(t *till, reason pos.EpochReason) fleet.CodeRequest {
	return fleet.CodeRequest{Terminal: t.id, Reason: reason, By: "op"}
}

// weakStream leaves a stream in dir that lacks what money requires.
func weakStream(t *testing.T, dir string) {
	t.Helper()
	s := must(server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir,
		JetStreamMaxStore: 64 << 20,
	}))(t)
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server is not ready")
	}
	nc := must(nats.Connect(s.ClientURL()))(t)
	js := must(jetstream.New(nc))(t)
	must(js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: wire.JournalStream, Subjects: []string{wire.JournalFilter}, Discard: jetstream.DiscardOld,
	}))(t)
	nc.Close()
	s.Shutdown()
	s.WaitForShutdown()
}
