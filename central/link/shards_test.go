package link_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nkeys"

	"dcpos/central/link"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/segment"
	"dcpos/central/store"
	"dcpos/lab/statements"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

var (
	shardKills = flag.Int("shard-kills", 8, "SIGKILLs of coordinator and workers of a reconciliation")
	shardSeed  = flag.Uint64("shard-seed", 0, "seed of their moments; 0 takes one of the time")
)

// shardChild, in the environment, makes this binary a coordinator or a worker.
const (
	shardRole = "DCPOS_TEST_SHARD_ROLE"
	shardArgs = "DCPOS_TEST_SHARD_ARGS"
	testLease = time.Second
)

// shardJob is what the processes of one run share.
type shardJob struct {
	Dir, Listen, URL, Out string
	Ours, Theirs          string
	Seed                  []byte
	WorkerKey             string
}

func (j shardJob) depot(notes reconcile.Notes) reconcile.Depot {
	return reconcile.Depot{Store: segment.Folder(filepath.Join(j.Dir, "data")), Notes: notes}
}

func (j shardJob) job() reconcile.Job {
	return reconcile.Job{
		Ours: []reconcile.Source{{Path: j.Ours}}, Theirs: []reconcile.Source{{Path: j.Theirs}}, Out: j.Out, Memory: 16 << 20,
	}
}

func shardChild(role string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var j shardJob
	if err := json.Unmarshal([]byte(os.Getenv(shardArgs)), &j); err != nil {
		return err
	}
	if role == "worker" {
		return shardWorker(ctx, j)
	}
	l, shards, err := shardCentre(ctx, j)
	if err != nil {
		return err
	}
	if _, err := fmt.Println(l.URL()); err != nil {
		return err
	}
	_, err = reconcile.RunInParts(ctx, j.job(), j.depot(shards), reconcile.Elsewhere{Queue: shards})
	return errors.Join(err, l.Close())
}

func shardCentre(ctx context.Context, j shardJob) (*link.Link, *link.Shards, error) {
	s, err := store.Open(ctx, store.Config{URL: "sqlite:" + filepath.Join(j.Dir, "centre.db"), Env: pos.Lab})
	if err != nil {
		return nil, nil, err
	}
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		return nil, nil, err
	}
	signer, err := suite.Generate()
	if err != nil {
		return nil, nil, err
	}
	l, err := link.Start(ctx, link.Config{
		Store: s.Link(), Env: pos.Lab, Signer: signer, Asks: &asks{}, Workers: []string{j.WorkerKey},
		Log:      slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Conveyor: link.Conveyor{Listen: j.Listen, StoreDir: filepath.Join(j.Dir, "nats"), MaxStore: 256 << 20},
	})
	if err != nil {
		return nil, nil, err
	}
	shards, err := l.Shards(ctx, link.ShardsConfig{Lease: testLease})
	return l, shards, err
}

// shardWorker works until it is ended; a centre that is away is tried again.
func shardWorker(ctx context.Context, j shardJob) error {
	for {
		shards, err := link.DialShards(ctx, link.WorkerRoad{URL: j.URL, Seed: j.Seed})
		if err == nil {
			w := reconcile.NewWorker(j.depot(shards), j.Dir, 16<<20, 2)
			shards.Serve(ctx, 2, w.DoQueued)
			shards.Close()
			return w.Close()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// shardProcess is a child of this test.
type shardProcess struct {
	cmd    *exec.Cmd
	url    string
	ended  chan error
	stderr bytes.Buffer
}

func startShard(tb testing.TB, role string, j shardJob) *shardProcess {
	tb.Helper()
	args, err := json.Marshal(j)
	if err != nil {
		tb.Fatal(err)
	}
	p := &shardProcess{cmd: exec.Command(os.Args[0]), ended: make(chan error, 1)} //nolint:noctx // killed by the test
	p.cmd.Env = append(os.Environ(), shardRole+"="+role, shardArgs+"="+string(args))
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.kill)
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		lines <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, out)
		p.ended <- p.cmd.Wait()
		close(p.ended)
	}()
	if role == "coordinator" {
		if p.url = <-lines; p.url == "" {
			tb.Fatalf("coordinator does not start: %s", p.stderr.String())
		}
	}
	return p
}

func (p *shardProcess) kill() {
	_ = p.cmd.Process.Kill()
	for range p.ended { // "killed", or how it had ended by itself
		continue
	}
}

// shardFiles writes both sides and reconciles them in this process.
func shardFiles(tb testing.TB, dir string, pairs int64) (j shardJob, want map[string]string) {
	tb.Helper()
	var files [2]*os.File
	for i, name := range []string{"ours.csv", "theirs.csv"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		files[i] = f
	}
	_, err := statements.Plan{Pairs: pairs, Seed: 9, HotPercent: 30}.Write(tb.Context(), files[0], files[1])
	if err = errors.Join(err, files[0].Close(), files[1].Close()); err != nil {
		tb.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		tb.Fatal(err)
	}
	j = shardJob{Ours: files[0].Name(), Theirs: files[1].Name(), Listen: "127.0.0.1:0", Out: filepath.Join(dir, "single")}
	if j.WorkerKey, err = user.PublicKey(); err != nil {
		tb.Fatal(err)
	}
	if j.Seed, err = user.Seed(); err != nil {
		tb.Fatal(err)
	}
	if _, err := reconcile.Run(tb.Context(), j.job()); err != nil {
		tb.Fatal(err)
	}
	return j, shardResults(tb, j.Out)
}

// shardResults are the bytes that do not depend on who made them.
func shardResults(tb testing.TB, out string) map[string]string {
	tb.Helper()
	got := map[string]string{}
	for _, name := range []string{"breaks.csv", "totals.csv", "summary.json"} {
		b, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			tb.Fatal(err)
		}
		got[name] = string(b)
	}
	var s map[string]any
	if err := json.Unmarshal([]byte(got["summary.json"]), &s); err != nil {
		tb.Fatal(err)
	}
	delete(s, "seconds")
	delete(s, "shards")
	b, err := json.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	got["summary.json"] = string(b)
	return got
}

// TestShardsSurviveKills kills coordinator and workers of reconciliations at random moments:
// every run ends with the bytes of a run in one process.
func TestShardsSurviveKills(t *testing.T) {
	seed := *shardSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-shard-seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	base := t.TempDir()
	j, want := shardFiles(t, base, 60_000)
	kills, runs := [3]int{}, 0
	const killsOfARun = 12
	for total := 0; total < *shardKills; runs++ {
		j.Dir, j.Listen = filepath.Join(base, fmt.Sprint("run", runs)), "127.0.0.1:0"
		j.Out = filepath.Join(j.Dir, "out")
		if err := os.MkdirAll(j.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		var p [3]*shardProcess
		p[0] = startShard(t, "coordinator", j)
		j.URL = p[0].url
		j.Listen = strings.TrimPrefix(j.URL, "nats://") // the workers find it again
		p[1], p[2] = startShard(t, "worker", j), startShard(t, "worker", j)
		last := min(total+killsOfARun, *shardKills)
		for over := false; !over; {
			wait := time.Duration(r.Int64N(int64(400 * time.Millisecond)))
			select {
			case err := <-p[0].ended:
				if err != nil {
					t.Fatalf("coordinator: %v: %s", err, p[0].stderr.String())
				}
				over = true
			case <-time.After(wait):
				if total >= last {
					continue
				}
				victim := r.IntN(3)
				p[victim].kill()
				kills[victim]++
				total++
				p[victim] = startShard(t, []string{"coordinator", "worker", "worker"}[victim], j)
			}
		}
		p[1].kill()
		p[2].kill()
		if diff := cmp.Diff(want, shardResults(t, j.Out)); diff != "" {
			t.Fatalf("run %d gives other bytes after %v kills:\n%.2000s", runs, kills, diff)
		}
		if err := os.RemoveAll(j.Dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d runs, killed: coordinator %d, workers %d and %d times", runs, kills[0], kills[1], kills[2])
}

// TestWorkersComeAndGo: tasks wait for a worker, one that is ended gives its tasks back, a
// stranger is not let in, and a worker can do nothing but work.
func TestWorkersComeAndGo(t *testing.T) {
	base := t.TempDir()
	j, want := shardFiles(t, base, 3000)
	j.Dir, j.Out = filepath.Join(base, "run"), filepath.Join(base, "run", "out")
	if err := os.MkdirAll(j.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, shards, err := shardCentre(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	j.URL = l.URL()
	ended := make(chan error, 1)
	go func() {
		_, err := reconcile.RunInParts(t.Context(), j.job(), j.depot(shards), reconcile.Elsewhere{Queue: shards})
		ended <- err
	}()
	stranger, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := stranger.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := link.DialShards(t.Context(), link.WorkerRoad{URL: j.URL, Seed: seed}); err == nil {
		s.Close()
		t.Fatal("a stranger was let in")
	}
	worker, err := link.DialShards(t.Context(), link.WorkerRoad{URL: j.URL, Seed: j.Seed})
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	// The first worker takes a task and leaves with it.
	leaving, leave := context.WithCancel(t.Context())
	worker.Serve(leaving, 1, func(ctx context.Context, _ []byte) error {
		leave()
		return ctx.Err()
	})
	if err := worker.Offer(t.Context(), map[string][]byte{"step-x": nil}, func(int) {}); err == nil {
		t.Error("a worker offered a task")
	}
	w := reconcile.NewWorker(j.depot(worker), j.Dir, 16<<20, 2)
	working, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan struct{})
	go func() {
		defer close(served)
		worker.Serve(working, 2, w.DoQueued)
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	stop()
	<-served
	if diff := cmp.Diff(want, shardResults(t, j.Out)); diff != "" {
		t.Errorf("%.2000s", diff)
	}
}

// TestATaskThatNobodyCanDoEndsItsRun: workers fail at it, each time another may try, and at
// last the run says why.
func TestATaskThatNobodyCanDoEndsItsRun(t *testing.T) {
	dir := t.TempDir()
	l, shards, err := shardCentre(t.Context(), shardJob{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	working, stop := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() {
		defer close(served)
		shards.Serve(working, 5, func(context.Context, []byte) error { return errors.New("the disk is full") })
	}()
	key := "step-" + strings.Repeat("0", 64)
	err = shards.Offer(t.Context(), map[string][]byte{key: []byte("{}")}, func(int) {})
	if err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("got %v", err)
	}
	stop()
	<-served
	first, err := shards.Keep(t.Context(), key, []byte("one"))
	second, err2 := shards.Keep(t.Context(), key, []byte("two"))
	if err = errors.Join(err, err2); err != nil || string(first) != "one" || string(second) != "one" {
		t.Errorf("kept %q, then %q: %v", first, second, err)
	}
}
