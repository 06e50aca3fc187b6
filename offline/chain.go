package offline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// ErrNotDatabase is returned for a file that is no SQLite database.
var ErrNotDatabase = errors.New("not a database")

// Broken names the first place at which a journal does not hold. It is the cause of a
// pos.ErrChainBroken.
type Broken struct {
	Epoch uint32
	Seq   uint64
	Err   error
}

// Error names the first bad sequence number.
func (b *Broken) Error() string {
	return fmt.Sprintf("epoch %d: first bad sequence number %d: %v", b.Epoch, b.Seq, b.Err)
}

// Unwrap gives what is wrong there.
func (b *Broken) Unwrap() error { return b.Err }

// finding keeps the smallest bad place. It is safe for concurrent use.
type finding struct {
	mu    sync.Mutex
	at    place
	cause error
}

func (f *finding) note(at place, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause == nil || at.before(f.at) {
		f.at, f.cause = at, cause
	}
}

func (f *finding) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause == nil {
		return nil
	}
	return pos.NewError(pos.ErrChainBroken, &Broken{Epoch: f.at.epoch, Seq: f.at.seq, Err: f.cause})
}

// epochKey is who signs an epoch.
type epochKey struct {
	suite    dcep.Suite
	verifier dcep.Verifier
	public   []byte
	epochs   int // of the file so far, this one included
}

// chain walks the entries of a file in order.
type chain struct {
	terminal string
	env      pos.Environment
	at       place
	head     []byte
	key      epochKey
	folds    folds
	prints   printFolds
	kinds    map[pos.Kind]int
	entries  int
	begun    bool           // at a checkpoint, or by a first entry
	from     *checkpointRow // where it began; nil at the very first entry
	vouched  bool           // the entry of that checkpoint was met
}

func newChain() *chain {
	return &chain{folds: folds{}, prints: printFolds{}, kinds: map[pos.Kind]int{}}
}

// next takes one entry; an error names the place that is bad. Signatures are the caller's.
func (c *chain) next(e pos.Entry) (place, error) {
	if e.Epoch != c.at.epoch {
		if at, err := c.enter(e); err != nil {
			return at, err
		}
	}
	if e.Seq > c.at.seq+1 {
		return place{c.at.epoch, c.at.seq + 1}, fmt.Errorf("entry is missing; the next one is %d: %w", e.Seq, dcep.ErrChain)
	}
	if err := dcep.CheckLink(c.key.suite, c.at.seq, c.head, e); err != nil {
		return placeOf(e), err
	}
	if e.Terminal != c.terminal || e.Env != c.env {
		return placeOf(e), fmt.Errorf("entry of terminal %q (%s) in the journal of %q (%s): %w", e.Terminal, e.Env, c.terminal, c.env, dcep.ErrChain)
	}
	if e.Kind == pos.KindEpochOpened && e.Seq != 1 {
		return placeOf(e), fmt.Errorf("an epoch opens at 1: %w", dcep.ErrChain)
	}
	if _, _, err := c.folds.apply(e); err != nil {
		return placeOf(e), err
	}
	if err := c.prints.apply(e); err != nil {
		return placeOf(e), err
	}
	if e.Kind == pos.KindCheckpoint {
		if err := c.noteCheckpoint(e); err != nil {
			return placeOf(e), err
		}
	}
	c.at, c.head = placeOf(e), e.Hash
	c.kinds[e.Kind]++
	c.entries++
	return c.at, nil
}

// enter begins an epoch. Its first entry names key and suite and the head before it.
func (c *chain) enter(e pos.Entry) (place, error) {
	if e.Seq != 1 {
		// A row whose epoch was changed stands alone; rows that lost their first one do not.
		if !vouched(e) && c.begun && e.Seq == c.at.seq+1 {
			return place{c.at.epoch, e.Seq}, fmt.Errorf("entry names epoch %d: hash differs from content: %w", e.Epoch, dcep.ErrChain)
		}
		if !vouched(e) {
			return placeOf(e), fmt.Errorf("hash differs from content: %w", dcep.ErrChain)
		}
		return place{e.Epoch, 1}, fmt.Errorf("entry is missing; the next one is %d: %w", e.Seq, dcep.ErrChain)
	}
	if e.Kind != pos.KindEpochOpened {
		return placeOf(e), fmt.Errorf("epoch begins with %q: %w", e.Kind, dcep.ErrChain)
	}
	opened, err := openedBody(e)
	if err != nil {
		return placeOf(e), err
	}
	if c.begun && opened.PrevEpoch == c.at.epoch && opened.PrevSeq > c.at.seq {
		return place{c.at.epoch, c.at.seq + 1}, fmt.Errorf("entry is missing; epoch %d follows %d: %w", e.Epoch, opened.PrevSeq, dcep.ErrChain)
	}
	if c.begun && (opened.PrevEpoch != c.at.epoch || opened.PrevSeq != c.at.seq || !bytes.Equal(opened.PrevHead, c.head)) {
		return placeOf(e), fmt.Errorf("epoch names another previous head: %w", dcep.ErrChain)
	}
	suite, err := dcep.SuiteByName(opened.Suite)
	if err != nil {
		return placeOf(e), err
	}
	verifier, err := suite.Verifier(opened.PublicKey)
	if err != nil {
		return placeOf(e), err
	}
	if !c.begun {
		c.terminal, c.env, c.begun = e.Terminal, e.Env, true
	}
	c.key = epochKey{suite: suite, verifier: verifier, public: opened.PublicKey, epochs: c.key.epochs + 1}
	c.at, c.head = place{e.Epoch, 0}, nil
	return c.at, nil
}

// expected is where a row that could not be read whole belongs, as far as its place is known.
func (c *chain) expected(e pos.Entry) place {
	if e.Epoch != 0 && e.Epoch != c.at.epoch {
		return placeOf(e)
	}
	return place{max(c.at.epoch, 1), c.at.seq + 1}
}

// vouched reports that an entry is what was hashed, under either suite.
func vouched(e pos.Entry) bool {
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		suite, err := dcep.SuiteByName(name)
		if err != nil {
			continue
		}
		if h, err := dcep.HashEntry(suite, e); err == nil && bytes.Equal(h, e.Hash) {
			return true
		}
	}
	return false
}

// walk reads every row of the journal into a chain and stops at the first bad place. The
// signatures of entries beyond signedAfter are verified too, on all cores.
func walk(ctx context.Context, db file.Querier, signedAfter place, each func(pos.Entry) error) (*chain, error) {
	c := newChain()
	if err := c.begin(ctx, db); err != nil {
		return c, err
	}
	var bad finding
	checks := newSignatureChecks(&bad)
	err := c.rows(ctx, db, &bad, func(e pos.Entry) error {
		if signedAfter.before(placeOf(e)) {
			checks.add(c.key.verifier, e)
		}
		return each(e)
	})
	checks.wait()
	if err := errors.Join(bad.err(), err); err != nil {
		return c, err
	}
	return c, nil
}

func (c *chain) rows(ctx context.Context, db file.Querier, bad *finding, each func(pos.Entry) error) error {
	rows, err := db.QueryContext(ctx, `SELECT `+entryColumns+` FROM journal ORDER BY epoch, seq`)
	if err != nil {
		return storage(err)
	}
	defer func() { _ = rows.Close() }()
	var stray error
	for rows.Next() {
		e, err := scanEntry(rows)
		if errors.Is(err, errStray) {
			stray = errors.Join(stray, err)
			continue
		}
		at := c.expected(e)
		if err == nil {
			at, err = c.next(e)
		}
		if err != nil {
			bad.note(at, err)
			return nil
		}
		if err := each(e); err != nil {
			return err
		}
	}
	if err := rows.Err(); file.Broken(err) && !file.Damaged(err) {
		return storage(err) // the disk does not answer: that says nothing about the chain
	} else if err != nil {
		bad.note(place{c.at.epoch, c.at.seq + 1}, fmt.Errorf("the file cannot be read further: %w", err))
		return nil
	}
	if stray != nil {
		bad.note(place{c.at.epoch, c.at.seq + 1}, stray)
	}
	if c.entries == 0 {
		bad.note(place{max(c.at.epoch, 1), c.at.seq + 1}, fmt.Errorf("no entries: %w", dcep.ErrChain))
	} else if err := c.ended(); err != nil {
		bad.note(place{c.from.epoch, c.from.seq + 1}, err)
	}
	return nil
}

// signatureChecks verifies signatures on every core, since one takes a hundred times longer
// than a link.
type signatureChecks struct {
	jobs chan signatureJob
	done sync.WaitGroup
}

type signatureJob struct {
	verifier dcep.Verifier
	entry    pos.Entry
}

func newSignatureChecks(bad *finding) *signatureChecks {
	s := &signatureChecks{jobs: make(chan signatureJob, 256)}
	for range runtime.GOMAXPROCS(0) {
		s.done.Go(func() {
			for j := range s.jobs {
				if err := dcep.CheckHead(j.verifier, j.entry); err != nil {
					bad.note(placeOf(j.entry), err)
				}
			}
		})
	}
	return s
}

func (s *signatureChecks) add(v dcep.Verifier, e pos.Entry) { s.jobs <- signatureJob{v, e} }

func (s *signatureChecks) wait() {
	close(s.jobs)
	s.done.Wait()
}
