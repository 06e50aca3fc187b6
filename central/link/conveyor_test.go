package link_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"dcpos/central/fleet"
	"dcpos/central/link"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

func newUser() (nkeys.KeyPair, error) { return nkeys.CreateUser() }

func codeFor(t *till, reason pos.EpochReason) fleet.CodeRequest {
	return fleet.CodeRequest{Terminal: t.id, Reason: reason, By: "op"}
}

// weakStream leaves a stream in dir that lacks what money requires.
func weakStream(t *testing.T, dir string) {
	t.Helper()
	s := serve(t, &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir,
		JetStreamMaxStore: 64 << 20,
	})
	nc := must(nats.Connect(s.ClientURL(), nats.Timeout(30*time.Second)))(t)
	js := must(jetstream.New(nc))(t)
	must(js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: wire.JournalStream, Subjects: []string{wire.JournalFilter}, Discard: jetstream.DiscardOld,
	}))(t)
	nc.Close()
	s.Shutdown()
	s.WaitForShutdown()
}

func serve(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	s := must(server.NewServer(opts))(t)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server is not ready")
	}
	return s
}

// external starts a server of its own from a configuration file as an operator writes
// it (DESIGN.md), and gives the conveyor to it.
func external(t *testing.T, syncInterval string) link.Conveyor {
	t.Helper()
	seed := func(k nkeys.KeyPair) (string, []byte) {
		return must(k.PublicKey())(t), must(k.Seed())(t)
	}
	centreKey, centreSeed := seed(must(nkeys.CreateUser())(t))
	systemKey, systemSeed := seed(must(nkeys.CreateUser())(t))
	issuerKey, issuerSeed := seed(must(nkeys.CreateAccount())(t))
	dir := t.TempDir()
	config := fmt.Sprintf(`
server_name: n1
listen: "127.0.0.1:-1"
jetstream { store_dir: %q, sync_interval: %s, max_file_store: 268435456 }
accounts {
  DCPOS { jetstream: enabled, users: [ { nkey: %s } ] }
  SYS { users: [ { nkey: %s } ] }
}
system_account: SYS
authorization { auth_callout { issuer: %s, account: DCPOS, auth_users: [ %s, %s ] } }
`, filepath.Join(dir, "js"), syncInterval, centreKey, systemKey, issuerKey, centreKey, systemKey)
	path := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	opts := must(server.ProcessConfigFile(path))(t)
	opts.NoSigs, opts.NoLog = true, true
	s := serve(t, opts)
	return link.Conveyor{
		URL: s.ClientURL(), CentreSeed: centreSeed, SystemSeed: systemSeed, IssuerSeed: issuerSeed, Account: "DCPOS",
		MaxStore: 256 << 20,
	}
}

// TestExternalConveyor does over a server of its own what the embedded one does.
func TestExternalConveyor(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db")
	c.cfg.Conveyor = external(t, "always")
	c.link = must(link.Start(t.Context(), c.cfg))(t)
	t.Cleanup(func() { _ = c.link.Close() })
	till, other := c.enrol(t, dcep.SM2SM3), c.enrol(t, dcep.SM2SM3)
	till.open(t, pos.EpochEnrolled, nil)
	till.payment(t, 100, pos.Asking, pos.Paid)
	denied := make(chan string, 8)
	nc := must(c.dial(t, till, till.id, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		denied <- strings.ToLower(err.Error())
	})))(t)
	marks := downs(t, c, nc, till)
	for _, b := range till.batches(t, 10) {
		if err := nc.Publish(wire.JournalSubject(till.id), b); err != nil {
			t.Fatal(err)
		}
	}
	waitReceipt(t, marks, 1, 4)
	if diff := cmp.Diff(map[string]pos.Money{"receivable:ICBC": 100, "merchant:m1": -100}, c.balances(t)); diff != "" {
		t.Fatal(diff)
	}
	if err := nc.Publish(wire.JournalSubject(other.id), []byte("x")); err != nil {
		t.Fatal(err)
	}
	expectDenied(t, denied, wire.JournalSubject(other.id))
	if err := c.fleet.Suspend(t.Context(), till.id, "stolen", "op"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection is cut", nc.IsClosed)
	if _, err := c.dial(t, till, till.id); err == nil {
		t.Fatal("a suspended till is let in")
	}
}

// TestExternalConveyorIsAudited: a server that flushes every two minutes, one that
// cannot be asked and one with too few replicas carry no money.
func TestExternalConveyorIsAudited(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db")
	for want, conveyor := range map[string]func() link.Conveyor{
		"sync_interval of n1 is periodic, want always": func() link.Conveyor { return external(t, `"2m"`) },
		"sync_interval is unknown (no system_seed to ask with), want always": func() link.Conveyor {
			v := external(t, "always")
			v.SystemSeed = nil
			return v
		},
		"servers that answer is 1, want at least 3": func() link.Conveyor {
			v := external(t, "always")
			v.Replicas = 3
			return v
		},
	} {
		c.cfg.Conveyor = conveyor()
		l, err := link.Start(t.Context(), c.cfg)
		if err == nil {
			_ = l.Close()
		}
		if pos.CodeOf(err) != pos.ErrConfig || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
