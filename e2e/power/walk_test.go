package power_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dcpos/lab/forgetfs"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

var (
	faults   = flag.Int("faults", 10, "faults of each kind; 400 for the long forms")
	faultMax = flag.Int("fault-max", 300, "the n-th write or fsync of a till's life fails, n evenly from 1 to this (fsyncs: to a fifth of it); 400 and 2000 for the long forms")
	// A heal takes a few hundred writes and about eight fsyncs: with fewer between two faults no till becomes well.
	faultAgain = flag.Int("fault-again", 0, "every n up to fault-max is tried, so many faults apart in one life: with 500 the lives fail at 1, 501, 1001 …, then at 2, 502 … (fsyncs: 50); 0: each life has one fault")
)

// sturdyCommand is the first argument by which the test binary becomes a till that goes on
// after its disk has failed.
const sturdyCommand = "sturdy"

// sturdy lives a life for each line "folder payments" that it reads: a new journal, so many
// payments, a clean stop. When the disk fails it takes nothing more until the store has
// healed; what failed is never tried again.
func sturdy(ctx context.Context, root string, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var folder string
		var payments int
		if _, err := fmt.Sscan(lines.Text(), &folder, &payments); err != nil {
			return err
		}
		l := &oneLife{dir: filepath.Join(root, folder), mount: root, out: out}
		l.rng = rand.New(rand.NewPCG(uint64(payments), 4))
		if err := l.live(ctx, payments); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, "done"); err != nil {
			return err
		}
	}
	return nil
}

type oneLife struct {
	seller
	dir, mount string
	out        io.Writer
}

func (l *oneLife) tell(format string, args ...any) { _, _ = fmt.Fprintf(l.out, format+"\n", args...) }

// patience is how long a till may take to become well on a disk that is well.
const patience = time.Minute

func again(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func (l *oneLife) live(ctx context.Context, payments int) error {
	if err := again(ctx, func() error { return os.MkdirAll(l.dir, 0o700) }); err != nil {
		return err
	}
	err := again(ctx, func() (err error) { l.Store, err = openJournal(ctx, l.dir, l.mount); return err })
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	for taken := 0; taken < payments; {
		n := 1 + l.rng.IntN(2)
		acknowledged, err := l.sell(ctx, n)
		if err != nil {
			if err := l.heal(ctx, err); err != nil {
				return err
			}
			continue
		}
		taken += n
		l.tell("%s", acknowledged)
	}
	if err := l.Close(); err != nil { // the fault may hit the last checkpoint: the next start settles it
		l.tell("unclean")
	}
	return nil
}

func (l *oneLife) heal(ctx context.Context, err error) error {
	if pos.CodeOf(err) != pos.ErrStorage {
		return fmt.Errorf("not a finding about the disk: %w", err)
	}
	l.tell("failed")
	if _, err := l.sell(ctx, 1); err == nil {
		return errors.New("a failed store took a payment")
	}
	if err := again(ctx, func() error { return l.Heal(ctx) }); err != nil {
		return fmt.Errorf("does not heal: %w", err)
	}
	return l.codes(ctx) // what failed may be there or not, entry and code together
}

// sturdyTill is the watcher's side of one process of sturdy.
type sturdyTill struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	errs    strings.Builder
}

func startSturdy(ctx context.Context, root string) (*sturdyTill, error) {
	s := &sturdyTill{process: exec.CommandContext(ctx, os.Args[0], sturdyCommand, root, "-")}
	in, err := s.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.in, s.out, s.process.Stderr = in, bufio.NewScanner(out), &s.errs
	return s, s.process.Start()
}

// told is what a life has told.
type told struct {
	last            uint64
	head            string
	payments        int
	failed, unclean int
}

func (s *sturdyTill) life(folder string, payments int) (l told, err error) {
	if _, err := fmt.Fprintln(s.in, folder, payments); err != nil {
		return l, err
	}
	for s.out.Scan() {
		word, rest, _ := strings.Cut(s.out.Text(), " ")
		switch word {
		case "done":
			return l, nil
		case "failed":
			l.failed++
		case "unclean":
			l.unclean++
		case "ack":
			if _, err := fmt.Sscan(rest, &l.last, &l.head, &l.payments); err != nil {
				return l, err
			}
		}
	}
	_ = s.process.Wait()
	return l, fmt.Errorf("the till ended: %s", s.errs.String())
}

// walk takes one kind of fault over the first operations of many lives.
type walk struct {
	t     *testing.T
	mount *forgetfs.Mount
	fault func(st forgetfs.Status, n uint64) forgetfs.Faults
	till  *sturdyTill
	lives map[string]told // since the last cut

	fired, failed, unclean, acked, more int
	again, most                         int // faults of one life are so far apart (0: it has one); the last n
}

// cutEvery is after how many lives the power is cut: only then it shows what was durable.
const cutEvery = 25

func (w *walk) run(faults int) error {
	most, syncs := *faultMax, w.fault(forgetfs.Status{}, 1).FailSync > 0
	switch w.again = *faultAgain; {
	case w.again > 0 && syncs:
		w.again = max(1, w.again/10)
		faults = w.again
	case w.again > 0:
		faults = w.again
	case syncs:
		most /= 5 // a commit has one fsync and half a dozen writes
	}
	for i := range faults {
		n := 1 + i*(most-1)/max(1, faults-1)
		if w.again > 0 {
			n = 1 + i
		}
		if w.till == nil {
			var err error
			if w.till, err = startSturdy(w.t.Context(), w.mount.Path); err != nil {
				return err
			}
		}
		if err := w.life(i, n); err != nil {
			return fmt.Errorf("fault at operation %d: %w", n, err)
		}
		if i%cutEvery == cutEvery-1 || i == faults-1 {
			if err := w.cut(); err != nil {
				return fmt.Errorf("cut after life %d: %w", n, err)
			}
		}
	}
	return nil
}

// life is long enough that its last fault hits an operation of it: a payment has more than six writes
// and one fsync of its own.
func (w *walk) life(i, n int) error {
	st, err := w.mount.Status()
	if err != nil {
		return err
	}
	fault, last := w.fault(st, uint64(n)), n
	if w.again > 0 {
		fault.Every, last = uint64(w.again), n+(*faultMax-n)/w.again*w.again
	}
	if err := w.mount.SetFaults(fault); err != nil {
		return err
	}
	payments := 6 + last/6
	if fault.FailSync > 0 {
		payments = 6 + 2*last // one or two share a commit
		if w.again > 0 {
			payments = 6 + 3*last/2 // each heal has fsyncs of its own
		}
	}
	folder := fmt.Sprintf("life-%d-%d", i, n)
	l, err := w.till.life(folder, payments)
	if err != nil {
		return err
	}
	if err := w.mount.SetFaults(forgetfs.Faults{}); err != nil {
		return err
	}
	after, err := w.mount.Status()
	if err != nil {
		return err
	}
	if base := uint64(last); fault.FailSync > 0 && after.Syncs < st.Syncs+base || fault.FailSync == 0 && after.Writes < st.Writes+base {
		return fmt.Errorf("the life was too short: %+v, %+v", fault, after)
	}
	w.fired, w.most = w.fired+1, max(w.most, last)
	if w.again > 0 {
		w.fired += (last - n) / w.again
	}
	w.failed += l.failed
	w.unclean += l.unclean
	w.lives[folder] = l
	return nil
}

// cut cuts the power and holds every life against what is left of it.
func (w *walk) cut() error {
	if err := w.mount.Cut(); err != nil {
		return err
	}
	_ = w.till.process.Process.Kill()
	_ = w.till.process.Wait()
	w.till = nil
	if err := w.mount.Remount(w.t.Context()); err != nil {
		return err
	}
	for folder, l := range w.lives {
		dir := filepath.Join(w.mount.Path, folder)
		if err := w.judge(dir, l); err != nil {
			return fmt.Errorf("%s %+v: %w", folder, l, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	w.lives = map[string]told{}
	return nil
}

func (w *walk) judge(dir string, l told) error {
	head, err := hex.DecodeString(l.head)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, databaseName)
	r, err := offline.Verify(w.t.Context(), path, offline.VerifyOptions{ExpectSeq: l.last, ExpectHead: head})
	if err != nil {
		return err
	}
	w.acked += l.payments
	w.more += max(0, r.Payments-l.payments)
	return nil
}

// The n-th write or fsync of a till's life fails: by an I/O error, a full disk,
// a short write, an fsync that drops its pages or that leaves them where only programs see
// them. The till takes nothing until it is well again, becomes well by itself, and when the
// power is cut afterwards everything that it has ever acknowledged is there.
func TestJournalSurvivesEveryFaultOfItsMedium(t *testing.T) {
	for name, fault := range map[string]func(st forgetfs.Status, n uint64) forgetfs.Faults{
		"write EIO":    func(st forgetfs.Status, n uint64) forgetfs.Faults { return forgetfs.Faults{FailWrite: st.Writes + n} },
		"write ENOSPC": func(st forgetfs.Status, n uint64) forgetfs.Faults { return forgetfs.Faults{FullWrite: st.Writes + n} },
		"short write":  func(st forgetfs.Status, n uint64) forgetfs.Faults { return forgetfs.Faults{ShortWrite: st.Writes + n} },
		"fsync EIO, its pages are dropped": func(st forgetfs.Status, n uint64) forgetfs.Faults {
			return forgetfs.Faults{FailSync: st.Syncs + n, DropOnSyncError: true}
		},
		"fsync EIO, its pages are called clean": func(st forgetfs.Status, n uint64) forgetfs.Faults {
			return forgetfs.Faults{FailSync: st.Syncs + n, StaleOnSyncError: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := mountEmpty(t)
			if _, err := makeKey(m.Path, dcep.Ed25519SHA256); err != nil {
				t.Fatal(err)
			}
			w := &walk{t: t, mount: m, fault: fault, lives: map[string]told{}}
			err := w.run(*faults)
			t.Logf("%d faults at n up to %d, %d of them stopped the till, %d hit its last checkpoint; %d payments acknowledged, all kept; %d kept beyond that",
				w.fired, w.most, w.failed, w.unclean, w.acked, w.more)
			if err != nil {
				t.Fatal(err)
			}
			if w.failed == 0 || w.acked == 0 {
				t.Error("the faults hit nothing")
			}
		})
	}
}
