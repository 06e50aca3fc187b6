package power_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dcpos/lab/forgetfs"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

var sales = flag.Int("sales", 60, "payments that a till's journal is to acknowledge before each power cut, on average")

// tillCommand is the first argument by which the test binary becomes a till that takes
// offline payments as fast as it can.
const tillCommand = "till"

const powerTerminal = "T-POWER"

// seller takes payments into a journal and tells each one after it was acknowledged. A part of them are
// codes that are stored to be charged later; some of these are charged.
type seller struct {
	*offline.Store
	rng    *rand.Rand
	out    *bufio.Writer
	taken  int // payments in the file
	stored []pos.PaymentID
}

// keyFile is the till's key; it lies beside the mount, for a key is not what is tested.
func keyFile(mount string) string { return filepath.Join(filepath.Dir(mount), "key.pem") }

func makeKey(mount, suiteName string) (dcep.Signer, error) {
	suite, err := dcep.SuiteByName(suiteName)
	if err != nil {
		return nil, err
	}
	key, err := suite.Generate()
	if err != nil {
		return nil, err
	}
	pem, err := dcep.MarshalKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(keyFile(mount), pem, 0o600)
}

func journalConfig(dir, mount string) (offline.Config, error) {
	pem, err := os.ReadFile(keyFile(mount))
	if err != nil {
		return offline.Config{}, err
	}
	key, err := dcep.ParseKey(pem)
	return offline.Config{Path: filepath.Join(dir, databaseName), Signer: key, Env: pos.Lab, Terminal: powerTerminal}, err
}

// openJournal opens the journal in dir, or makes it where there is none: a cut may have
// come before the first entry was durable, and then nothing was acknowledged.
func openJournal(ctx context.Context, dir, mount string) (*offline.Store, error) {
	c, err := journalConfig(dir, mount)
	if err != nil {
		return nil, err
	}
	s, err := offline.Open(ctx, c)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	return offline.Create(ctx, c, pos.EpochOpened{Reason: pos.EpochEnrolled, Merchant: "M1", Store: "S1"}, 1, moment(), businessDay)
}

const businessDay = pos.Date("2026-11-26")

func moment() pos.Instant {
	return pos.Instant{WallMS: time.Now().UnixMilli(), BootID: "power"}
}

// take is the till: it tells every entry that it finds, then every payment that it takes.
func take(ctx context.Context, dir, seed string, out io.Writer) error {
	var n uint64
	if _, err := fmt.Sscan(seed, &n); err != nil {
		return err
	}
	const most = 16 // payments that share a commit
	s := &seller{rng: rand.New(rand.NewPCG(n, 2)), out: bufio.NewWriter(out)}
	var err error
	if s.Store, err = openJournal(ctx, dir, dir); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if err := s.found(ctx); err != nil {
		return err
	}
	for {
		last, err := s.sell(ctx, 1+s.rng.IntN(most))
		if err != nil {
			return fmt.Errorf("take payments: %w", err)
		}
		_, _ = fmt.Fprintln(s.out, last)
		if err := s.out.Flush(); err != nil {
			return err
		}
	}
}

// sell takes n payments in one commit, and says with which words they are acknowledged.
func (s *seller) sell(ctx context.Context, n int) (string, error) {
	before := slices.Clone(s.stored)
	entries, err := s.Update(ctx, func(pos.JournalView) ([]pos.Draft, error) {
		s.stored = slices.Clone(before)
		return s.payments(n)
	})
	if err != nil {
		s.stored = before // which of them are there the next start tells
		return "", err
	}
	s.taken += n
	last := entries[len(entries)-1] // its hash covers all before it
	return fmt.Sprintf("ack %d %s %d", last.Seq, hex.EncodeToString(last.Hash), s.taken), nil
}

func (s *seller) found(ctx context.Context) error {
	entries, err := s.Unsent(ctx, 0, 0, 1<<20, 1<<30)
	for _, e := range entries {
		if e.Kind == pos.KindPaymentCreated {
			s.taken++
		}
		_, _ = fmt.Fprintf(s.out, "has %d %s\n", e.Seq, hex.EncodeToString(e.Hash))
	}
	if err == nil {
		err = s.codes(ctx)
	}
	_, _ = fmt.Fprintln(s.out, "open")
	return errors.Join(err, s.out.Flush())
}

// codes holds the stored codes against the journal: each payment that is stored has its code, whole, and
// one that was charged has none.
func (s *seller) codes(ctx context.Context) error {
	s.stored = nil
	list, err := s.Payments(ctx, offline.Query{States: []pos.State{pos.Stored, pos.Paid}})
	if err != nil {
		return err
	}
	return s.View(ctx, func(v pos.JournalView) error {
		for _, p := range list {
			sealed, there, err := v.Secret(p.ID)
			switch {
			case err != nil:
				return err
			case p.State != pos.Stored && there:
				return fmt.Errorf("payment %s is %s, and its code is kept", p.ID, p.State)
			case p.State != pos.Stored:
				continue
			}
			if code, err := dcep.OpenCode(codeSuite(), codeKey, p.ID, sealed); err != nil || code != codeOf(p.ID) {
				return fmt.Errorf("payment %s is stored, and its code is not: %w", p.ID, err)
			}
			s.stored = append(s.stored, p.ID)
		}
		return nil
	})
}

// codeKey seals stored codes; as the terminal's key it is not what is tested.
var codeKey = []byte("a till's secret for codes")

func codeSuite() dcep.Suite {
	s, _ := dcep.SuiteByName(dcep.Ed25519SHA256) // it ships
	return s
}

func codeOf(id pos.PaymentID) string { return "lab-pass of " + id.String() }

// payments are n offline payments, two entries each, of one commit: one in four a stored code, and before them
// perhaps the end of one that was stored earlier.
func (s *seller) payments(n int) (drafts []pos.Draft, err error) {
	if len(s.stored) > 0 && s.rng.IntN(3) == 0 {
		drafts = append(drafts, pos.Draft{
			Kind: pos.KindPaymentMoved, Payment: s.stored[0], Operator: pos.OperatorSystem, At: moment(), BusinessDate: businessDay,
			Body: pos.PaymentMoved{From: pos.Stored, To: pos.Paid, Source: "centre", Institution: "ICBC", InstitutionTxn: "T", SettlementDate: businessDay},
		})
		s.stored = s.stored[1:]
	}
	for range n {
		var random [10]byte
		for i := range random {
			random[i] = byte(s.rng.Uint32())
		}
		id := pos.NewPaymentID(time.Now(), random)
		amount := pos.Money(1 + s.rng.IntN(500_00))
		draft := func(kind pos.Kind, body any) {
			drafts = append(drafts, pos.Draft{Kind: kind, Payment: id, Operator: "1001", At: moment(), BusinessDate: businessDay, Body: body})
		}
		created := pos.PaymentCreated{
			OrderID: id.String(), OrderAmount: amount, Amount: amount, Mode: pos.Evidence, Caller: "screen", Key: id.String(), BodyHash: "h", Attempt: 1,
		}
		taken := pos.PaymentMoved{
			From: pos.Created, To: pos.AcceptedEvidence, Source: "wallet", Institution: "ICBC",
			Wallet: "w", Counter: s.rng.Uint64() >> 1, Evidence: random[:],
		}
		var sealed []byte
		if s.rng.IntN(4) == 0 {
			created.Mode = pos.BScanC
			taken = pos.PaymentMoved{
				From: pos.Created, To: pos.Stored, Source: "till", Institution: "ICBC", Instrument: "lab-pass",
				CodeHash: random[:], ExpiresMS: time.Now().Add(time.Hour).UnixMilli(),
			}
			if sealed, err = dcep.SealCode(codeSuite(), codeKey, id, codeOf(id)); err != nil {
				return nil, err
			}
			s.stored = append(s.stored, id)
		}
		draft(pos.KindPaymentCreated, created)
		draft(pos.KindPaymentMoved, taken)
		drafts[len(drafts)-1].Secret = sealed
	}
	return drafts, nil
}

// life is one run of the till as its watcher hears it.
type life struct {
	process *exec.Cmd
	lines   *bufio.Scanner
	errs    strings.Builder
}

func startTill(ctx context.Context, dir string, seed uint64) (*life, error) {
	l := &life{process: exec.CommandContext(ctx, os.Args[0], tillCommand, dir, fmt.Sprint(seed))}
	out, err := l.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.process.Stderr = &l.errs
	l.lines = bufio.NewScanner(out)
	return l, l.process.Start()
}

// hear reads one line; what was acknowledged goes into the book, with how many payments that makes.
func (l *life) hear(book map[uint64]string, has map[uint64]string) (word string, payments int, ok bool) {
	if !l.lines.Scan() {
		return "", 0, false
	}
	word, rest, _ := strings.Cut(l.lines.Text(), " ")
	number, rest, _ := strings.Cut(rest, " ")
	hash, count, _ := strings.Cut(rest, " ")
	seq, err := strconv.ParseUint(number, 10, 64)
	switch {
	case err != nil || len(hash) != 64: // the last line may be half
	case word == "ack":
		book[seq] = hash
		payments, _ = strconv.Atoi(count) // half a number is a smaller one
	case word == "has":
		has[seq] = hash
	}
	return word, payments, true
}

// sums are what the rounds add up to.
type sums struct {
	rounds, files, acknowledged, lost, kept int
}

// blackouts is a till that loses its power again and again.
type blackouts struct {
	t     *testing.T
	mount *forgetfs.Mount
	rng   *rand.Rand
	book  map[uint64]string // entries of the present file that were acknowledged
	taken int               // payments of it that were
	sum   sums
	fault *forgetfs.Faults // of the medium all the time; nil: it is well
}

// filesAfter is after how many cuts the till gets a new file: each start reads all of it.
const filesAfter = 3

// round starts the till, hears what it still has, lets it sell until a random moment,
// and cuts the power: before the kill, or right after it.
func (b *blackouts) round(n int) error {
	if b.fault != nil {
		if err := b.mount.SetFaults(*b.fault); err != nil {
			return err
		}
	}
	l, err := startTill(b.t.Context(), b.mount.Path, *seed+uint64(n))
	if err != nil {
		return err
	}
	has := map[uint64]string{}
	enough := b.last() + uint64(*sales+b.rng.IntN(2*(*sales)+1)) // two entries a payment
	for b.last() < enough {
		word, taken, more := l.hear(b.book, has)
		b.taken = max(b.taken, taken)
		if !more {
			_ = l.process.Wait()
			return fmt.Errorf("the till ended by itself: %s", l.errs.String())
		}
		if word == "open" {
			b.compare(has)
		}
	}
	kill := func() error { return l.process.Process.Kill() }
	steps := []func() error{b.mount.Cut, kill}
	if b.rng.IntN(2) == 0 {
		steps = []func() error{kill, b.mount.Cut}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	for more := true; more; { // what was told before it died counts
		var taken int
		_, taken, more = l.hear(b.book, has)
		b.taken = max(b.taken, taken)
	}
	_ = l.process.Wait()
	b.sum.rounds++
	return b.mount.Remount(b.t.Context())
}

// last is the last entry that was acknowledged.
func (b *blackouts) last() (seq uint64) {
	for n := range b.book {
		seq = max(seq, n)
	}
	return seq
}

// compare holds what the till still has against what it had acknowledged.
func (b *blackouts) compare(has map[uint64]string) {
	for seq, hash := range b.book {
		if has[seq] != hash {
			b.sum.lost++
			delete(b.book, seq)
		}
	}
}

// finish verifies the file as it lies on the medium, every signature, and begins a new one.
func (b *blackouts) finish() error {
	c, err := journalConfig(b.mount.Path, b.mount.Path)
	if err != nil {
		return err
	}
	last := b.last()
	head, err := hex.DecodeString(b.book[last])
	if err != nil {
		return err
	}
	r, err := offline.Verify(b.t.Context(), c.Path, offline.VerifyOptions{
		Trust: []string{dcep.Fingerprint(c.Signer.Public())}, ExpectSeq: last, ExpectHead: head,
	})
	if err != nil {
		return err
	}
	b.sum.acknowledged += b.taken
	b.taken = 0
	b.sum.kept += r.Payments
	b.sum.files++
	b.book = map[uint64]string{}
	for _, suffix := range append(offline.Suffixes(), "") {
		if err := os.Remove(c.Path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return b.newFile()
}

// newFile gives the next file a key of its own, of either suite by turns.
func (b *blackouts) newFile() error {
	suites := []string{dcep.Ed25519SHA256, dcep.Ed25519SHA256, dcep.SM2SM3}
	_, err := makeKey(b.mount.Path, suites[b.sum.files%len(suites)])
	return err
}

func (b *blackouts) run(rounds int) error {
	if err := b.newFile(); err != nil {
		return err
	}
	for n := range rounds {
		if err := b.round(n); err != nil {
			return fmt.Errorf("round %d: %w", n, err)
		}
		if n%filesAfter == filesAfter-1 || n == rounds-1 {
			if err := b.finish(); err != nil {
				return fmt.Errorf("after round %d: %w", n, err)
			}
		}
		if n%100 == 99 {
			b.t.Logf("%d rounds, %+v", n+1, b.sum)
		}
	}
	return nil
}

func cutAgainAndAgain(t *testing.T, rounds int, fault *forgetfs.Faults) (sums, error) {
	t.Helper()
	m := mountEmpty(t, forgetfs.Torn, forgetfs.StrictDirs, forgetfs.Seed(*seed))
	b := &blackouts{t: t, mount: m, rng: rand.New(rand.NewPCG(*seed, 3)), book: map[uint64]string{}, fault: fault}
	err := b.run(rounds)
	return b.sum, err
}

// The journal of a till, cut at random moments of its life: pages torn at a sector, pages
// and directory changes lost or reordered. Whatever the journal had acknowledged is there
// again, the chain and every signature verify, and nobody repairs anything.
// The long form: -rounds=5000 -sales=200.
func TestJournalPowerCutsLoseNothingThatWasAccepted(t *testing.T) {
	t.Logf("seed %d, %d rounds", *seed, *rounds)
	began := time.Now()
	sum, err := cutAgainAndAgain(t, *rounds, nil)
	if err != nil {
		t.Fatalf("%+v: %v", sum, err)
	}
	t.Logf("%d power cuts, %d journals, %d payments acknowledged, %d lost, %d in the journals; %.0f s",
		sum.rounds, sum.files, sum.acknowledged, sum.lost, sum.kept, time.Since(began).Seconds())
	if sum.lost > 0 || sum.acknowledged < *rounds || sum.kept < sum.acknowledged {
		t.Errorf("%+v", sum)
	}
}

// The control: on a disk that says yes to an fsync and does nothing, the same till loses
// what it had acknowledged, and the test sees it, as loss or as a journal that does not open.
func TestJournalOnADiskThatLiesIsSeenToLose(t *testing.T) {
	sum, err := cutAgainAndAgain(t, filesAfter, &forgetfs.Faults{Deaf: true})
	if sum.lost == 0 && err == nil {
		t.Errorf("nothing was lost: %+v", sum)
	}
	t.Logf("%+v %v", sum, err)
}
