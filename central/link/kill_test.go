package link_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"dcpos/central/link"
	"dcpos/central/store"
	"dcpos/internal/testpg"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// childURL, in the environment, makes this binary a centre that takes in until it is killed.
const (
	childURL = "DCPOS_TEST_CENTRE_DB"
	childDir = "DCPOS_TEST_CENTRE_DIR"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(shardRole); role != "" {
		if err := shardChild(role); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if url := os.Getenv(childURL); url != "" {
		if err := child(url, os.Getenv(childDir)); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(url, dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := store.Open(ctx, store.Config{URL: url, Env: pos.Lab})
	if err != nil {
		return err
	}
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		return err
	}
	signer, err := suite.Generate()
	if err != nil {
		return err
	}
	l, err := link.Start(ctx, link.Config{
		Store: s.Link(), Env: pos.Lab, Signer: signer, Asks: &asks{},
		Log:      slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Conveyor: link.Conveyor{Listen: "127.0.0.1:0", StoreDir: dir, MaxStore: 256 << 20},
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(os.Stdout, l.URL()); err != nil {
		return err
	}
	<-ctx.Done()
	if err := l.Close(); err != nil {
		return err
	}
	return s.Close()
}

// TestKilledCentre kills the centre again and again while tills deliver: afterwards
// every entry is kept once and the ledger is exact.
func TestKilledCentre(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			url := "sqlite:" + filepath.Join(t.TempDir(), "centre.db")
			if engine == "postgres" {
				url = testpg.Start(t)
			}
			c := newCentre(t, url)
			tills := make([]*till, 4)
			want := make(map[string]pos.Money)
			for i := range tills {
				tills[i] = c.enrol(t, dcep.Ed25519SHA256)
				tills[i].open(t, pos.EpochEnrolled, nil)
				for range 100 {
					tills[i].payment(t, 7, pos.Asking, pos.Paid)
				}
				want["receivable:ICBC"] += 700
				want["merchant:m1"] -= 700
			}
			dir := t.TempDir()
			for round := range 6 {
				p := startChild(t, url, dir)
				deliverTo(t, c, p.url, tills)
				time.Sleep(time.Duration(20+30*round) * time.Millisecond)
				p.kill(t)
				t.Logf("killed with %d entries kept", len(c.kept(t, tills[0].id, 1)))
			}
			p := startChild(t, url, dir)
			deliverTo(t, c, p.url, tills)
			eventually(t, "everything is kept", func() bool {
				for _, till := range tills {
					if len(c.kept(t, till.id, 1)) < len(till.entries) {
						return false
					}
				}
				return true
			})
			p.kill(t)
			if diff := cmp.Diff(want, c.balances(t)); diff != "" {
				t.Fatal(diff)
			}
			for _, till := range tills {
				for i, place := range c.kept(t, till.id, 1) {
					if place.Branch != 0 || place.Seq != uint64(i)+1 || !cmp.Equal(place.Hash, till.entries[i].Hash) {
						t.Fatalf("%s: entry %d is not the till's", till.id, i+1)
					}
				}
			}
		})
	}
}

type process struct {
	cmd *exec.Cmd
	out io.ReadCloser
	url string
}

func startChild(t *testing.T, url, dir string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(t.Context(), must(os.Executable())(t))}
	p.cmd.Env = append(os.Environ(), childURL+"="+url, childDir+"="+dir)
	p.cmd.Stderr = io.Discard
	p.out = must(p.cmd.StdoutPipe())(t)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.url = strings.TrimSpace(must(bufio.NewReader(p.out).ReadString('\n'))(t))
	return p
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed: the error says so
}

// deliverTo publishes every till's journal from the first entry that is not kept.
func deliverTo(t *testing.T, c *centre, url string, tills []*till) {
	t.Helper()
	for _, till := range tills {
		nc := must(nats.Connect(url, nats.Nkey(till.natsKey, till.user.Sign), nats.NoReconnect(), nats.Timeout(30*time.Second)))(t)
		from := len(c.kept(t, till.id, 1))
		for _, b := range till.batchesOf(t, till.entries[from:], 9) {
			if err := nc.Publish(wire.JournalSubject(till.id), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.FlushTimeout(30 * time.Second); err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
}
