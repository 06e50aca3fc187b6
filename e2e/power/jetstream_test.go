package power_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dcpos/lab/forgetfs"
)

// conveyorCommand is the first argument by which the test binary becomes a nats-server.
const conveyorCommand = "conveyor"

// convey runs one nats-server with JetStream in dir and prints its address.
func convey(ctx context.Context, dir, interval string, out io.Writer) error {
	opts := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: interval == "always",
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(20 * time.Second) {
		return fmt.Errorf("nats-server on %s is not ready", dir)
	}
	if _, err := fmt.Fprintln(out, s.ClientURL()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

type conveyor struct {
	process *exec.Cmd
	url     string
}

func startConveyor(t *testing.T, dir, interval string) *conveyor {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	c := &conveyor{process: exec.CommandContext(ctx, os.Args[0], conveyorCommand, dir, interval)}
	var complaint strings.Builder
	c.process.Stderr = &complaint
	out, err := c.process.StdoutPipe()
	ok(t, err)
	ok(t, c.process.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		c.kill()
		t.Fatalf("nats-server did not start: %v: %s", err, complaint.String())
	}
	c.url = strings.TrimSpace(line)
	return c
}

func (c *conveyor) kill() {
	_ = c.process.Process.Kill()
	_ = c.process.Wait()
}

func (c *conveyor) connect(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	conn, err := nats.Connect(c.url, nats.NoReconnect(), nats.Timeout(10*time.Second))
	ok(t, err)
	js, err := jetstream.New(conn)
	ok(t, err)
	return conn, js
}

const streamName = "JOURNAL"

// createStream makes the stream, or finds it again.
func createStream(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	_, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"journal.>"}, Storage: jetstream.FileStorage,
	})
	ok(t, err)
}

// publish sends messages until the stream no longer answers and returns the
// acknowledged ones: what was said, by stream sequence. Each says something else.
func publish(ctx context.Context, js jetstream.JetStream, round int) map[uint64]string {
	acked := map[uint64]string{}
	for n := 0; ; n++ {
		said := fmt.Sprintf("round %d message %d", round, n)
		patience, cancel := context.WithTimeout(ctx, 2*time.Second)
		ack, err := js.Publish(patience, "journal.t1", []byte(said))
		cancel()
		if err != nil {
			return acked
		}
		acked[ack.Sequence] = said
	}
}

// lost counts acknowledged messages that the stream no longer holds, read by
// sequence number after recovery.
func lost(t *testing.T, c *conveyor, acked map[uint64]string) (count int) {
	t.Helper()
	conn, js := c.connect(t)
	defer conn.Close()
	stream, err := js.Stream(t.Context(), streamName)
	if err != nil {
		t.Logf("the stream itself is gone: %v", err)
		return len(acked)
	}
	for sequence, said := range acked {
		msg, err := stream.GetMsg(t.Context(), sequence)
		if err != nil || string(msg.Data) != said {
			count++
		}
	}
	return count
}

// JetStream keeps its word over a power cut only with sync_interval: always; with
// the default it must lose, or the harness would be blind.
func TestForgetfsJetStream(t *testing.T) {
	t.Logf("seed %d", *seed)
	for _, c := range []struct {
		interval   string
		cut, loses bool
	}{
		{"always", true, false},
		{"default", true, true},
		{"default", false, false},
	} {
		t.Run(fmt.Sprintf("%s, cut %t", c.interval, c.cut), func(t *testing.T) {
			m := mountEmpty(t, forgetfs.Seed(*seed))
			rng := rand.New(rand.NewPCG(*seed, 2))
			acked, gone := map[uint64]string{}, 0
			for round := 0; round < max(1, *rounds/4) && gone == 0; round++ {
				maps.Copy(acked, conveyRound(t, m, c.interval, c.cut, round, rng))
				again := startConveyor(t, filepath.Join(m.Path, "js"), c.interval)
				gone = lost(t, again, acked)
				again.kill()
			}
			t.Logf("%d of %d acknowledged messages lost", gone, len(acked))
			if len(acked) == 0 {
				t.Fatal("nothing was acknowledged")
			}
			if c.loses != (gone > 0) {
				t.Errorf("%d of %d lost, want any lost: %t (seed %d)", gone, len(acked), c.loses, *seed)
			}
		})
	}
}

// conveyRound publishes for a random span, kills the server, with a power cut
// before it if cut, boots again and returns what was acknowledged.
func conveyRound(
	t *testing.T, m *forgetfs.Mount, interval string, cut bool, round int, rng *rand.Rand,
) map[uint64]string {
	t.Helper()
	c := startConveyor(t, filepath.Join(m.Path, "js"), interval)
	conn, js := c.connect(t)
	defer conn.Close()
	createStream(t, js)
	acked := make(chan map[uint64]string, 1)
	go func() { acked <- publish(t.Context(), js, round) }()
	time.Sleep(time.Duration(300+rng.IntN(500)) * time.Millisecond)
	if cut {
		ok(t, m.Cut())
	}
	c.kill()
	got := <-acked
	ok(t, m.Remount(t.Context()))
	return got
}
