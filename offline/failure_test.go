package offline_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// The test binary is also the till that is killed and the till whose disk is full.
const childVar = "DCPOS_OFFLINE_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childVar); mode != "" {
		os.Exit(child(mode, os.Args[len(os.Args)-2], os.Args[len(os.Args)-1]))
	}
	os.Exit(m.Run())
}

// child writes sales until it is stopped, and tells each entry's number and hash after it was acknowledged.
func child(mode, path, keyFile string) int {
	b, err := os.ReadFile(keyFile)
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	signer, err := dcep.ParseKey(b)
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	tl := &till{cfg: offline.Config{Path: path, Signer: signer, Env: pos.Lab, Terminal: terminal}, at: time.Now().UnixMilli()}
	ctx := context.Background()
	if tl.Store, err = offline.Open(ctx, tl.cfg); err != nil {
		fmt.Println("error", err)
		return 1
	}
	if mode == "full" {
		signal.Ignore(syscall.SIGXFSZ)
		limit := syscall.Rlimit{Cur: 200 << 10, Max: 200 << 10} // the WAL cannot grow beyond it
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			fmt.Println("error", err)
			return 1
		}
	}
	for i := range 100000 {
		_, d := tl.create(fmt.Sprintf("%d-%d", tl.at, i), 100)
		entries, err := tl.Update(ctx, func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{d}, nil })
		if err != nil {
			fmt.Println("stopped", pos.CodeOf(err))
			if _, again := tl.Update(ctx, func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{d}, nil }); pos.CodeOf(again) != pos.ErrStorage {
				fmt.Println("error", "a failed store wrote again:", again)
			}
			return 0
		}
		for _, e := range entries {
			fmt.Println("ack", e.Seq, hex.EncodeToString(e.Hash))
		}
	}
	return 0
}

// childTill makes a closed journal and the command of a child that writes to it.
func childTill(t *testing.T) (*till, string) {
	t.Helper()
	tl := newTill(t, dcep.Ed25519SHA256)
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	key, err := dcep.MarshalKey(tl.cfg.Signer)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	return tl, keyFile
}

func runChild(t *testing.T, mode, path, keyFile string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], path, keyFile)
	cmd.Env = append(os.Environ(), childVar+"="+mode)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// readAcks collects what the child called written.
func readAcks(t *testing.T, out io.Reader, acked map[uint64]string) (stopped string) {
	t.Helper()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var seq uint64
		var hash string
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "stopped "):
			stopped = strings.TrimPrefix(line, "stopped ")
		case strings.HasPrefix(line, "ack "):
			if n, _ := fmt.Sscanf(line, "ack %d %s", &seq, &hash); n == 2 && len(hash) == 64 {
				acked[seq] = hash
			}
		default:
			t.Errorf("child: %s", line)
		}
	}
	return stopped
}

// atFirstByte calls do when there is something to read for the first time.
type atFirstByte struct {
	io.Reader
	do func()
}

func (r *atFirstByte) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 && r.do != nil {
		r.do()
		r.do = nil
	}
	return n, err
}

func wantAcked(t *testing.T, tl *till, acked map[uint64]string) {
	t.Helper()
	kept := map[uint64]string{}
	for _, e := range tl.all(t) {
		kept[e.Seq] = hex.EncodeToString(e.Hash)
	}
	for seq, hash := range acked {
		if kept[seq] != hash {
			t.Errorf("acknowledged entry %d is %q in the journal, was %q", seq, kept[seq], hash)
		}
	}
}

func TestNothingAcknowledgedIsLostByAKill(t *testing.T) {
	tl, keyFile := childTill(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	acked := map[uint64]string{}
	for n := range 20 {
		cmd, out := runChild(t, "kill", tl.cfg.Path, keyFile)
		timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		moment := time.Duration(rng.IntN(120)) * time.Millisecond
		if n%4 == 0 { // while it opens the file, perhaps
			timer.Reset(moment)
		} else {
			out = &atFirstByte{out, func() { timer.Reset(moment) }}
		}
		readAcks(t, out, acked)
		timer.Stop()
		_ = cmd.Wait()
		if _, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{}); err != nil {
			t.Fatalf("after a kill: %v", err)
		}
	}
	tl.reopen(t)
	defer func() { _ = tl.Close() }()
	wantAcked(t, tl, acked)
	if len(acked) < 15 { // one a round that was not cut while it opened
		t.Errorf("only %d entries were acknowledged in 20 rounds: the test proves nothing", len(acked))
	}
	t.Logf("%d acknowledged entries, all kept", len(acked))
}

func TestAFullDiskAcknowledgesNothingAndSaysSo(t *testing.T) {
	tl, keyFile := childTill(t)
	acked := map[uint64]string{}
	cmd, out := runChild(t, "full", tl.cfg.Path, keyFile)
	stopped := readAcks(t, out, acked)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if stopped != string(pos.ErrStorage) || len(acked) == 0 {
		t.Errorf("stopped by %q after %d entries, want %s", stopped, len(acked), pos.ErrStorage)
	}
	if _, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{}); err != nil {
		t.Errorf("after a full disk: %v", err)
	}
	tl.reopen(t)
	defer func() { _ = tl.Close() }()
	wantAcked(t, tl, acked)
	o, err := tl.Outbox(t.Context())
	if err != nil || o.Seq > uint64(len(acked)+2) {
		t.Errorf("outbox %+v %v after %d acknowledged", o, err, len(acked))
	}
	tl.sell(t, "after the disk was cleared", 100)
}

func TestVerifyBesideAnotherProcessThatWrites(t *testing.T) {
	tl, keyFile := childTill(t)
	cmd, out := runChild(t, "kill", tl.cfg.Path, keyFile)
	acked := map[uint64]string{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		readAcks(t, out, acked)
	}()
	var last uint64
	for deadline := time.Now().Add(20 * time.Second); last < 100 && time.Now().Before(deadline); {
		r, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{})
		if err != nil || r.LastSeq < last {
			t.Errorf("beside a writer: %+v %v after %d", r, err, last)
			break
		}
		last = r.LastSeq
	}
	_ = cmd.Process.Kill()
	<-done
	_ = cmd.Wait()
	if last < 100 {
		t.Errorf("only %d entries were seen", last)
	}
	tl.reopen(t)
	wantAcked(t, tl, acked)
	if err := tl.Close(); err != nil {
		t.Error(err)
	}
}
