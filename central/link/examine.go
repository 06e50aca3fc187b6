package link

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// maxBatch bounds a message in bytes: what a batch may hold, with room for its frame.
const maxBatch = 2 * wire.BatchBytes

// The reasons for which a message is no batch.
const (
	reasonTooLarge      = "too_large"
	reasonUndecodable   = "undecodable"
	reasonEnvironment   = "wrong_env"
	reasonOtherTerminal = "other_terminal"
	reasonUnknown       = "unknown_key"
	reasonSignature     = "bad_signature"
	reasonChain         = "bad_chain"
)

// examined is a message that was looked at: a batch that verifies, or a reason.
type examined struct {
	terminal string
	batch    wire.Batch
	payload  []byte
	reason   string
	err      error // with reason: why; without: the database could not be asked
}

func (x examined) refused(reason string, err error) examined {
	x.reason, x.err = reason, err
	return x
}

// message is what arrives: the subject names the terminal that was let in.
type message struct {
	subject string
	data    []byte
}

// examineAll verifies messages on all cores; signatures are the larger part of taking in.
// An error means that the database could not be asked: nothing is known of any message.
func (l *Link) examineAll(ctx context.Context, messages []message) ([]examined, error) {
	out := make([]examined, len(messages))
	next := make(chan int)
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(messages)) {
		group.Go(func() {
			for i := range next {
				out[i] = l.examine(ctx, messages[i])
			}
		})
	}
	for i := range messages {
		next <- i
	}
	close(next)
	group.Wait()
	for _, x := range out {
		if x.reason == "" && x.err != nil {
			return nil, x.err
		}
	}
	return out, nil
}

func (l *Link) examine(ctx context.Context, m message) examined {
	x := examined{payload: m.data}
	terminal, err := wire.TerminalOf(m.subject)
	if err != nil {
		return x.refused(reasonOtherTerminal, err)
	}
	x.terminal = terminal
	if len(m.data) > maxBatch {
		return x.refused(reasonTooLarge, fmt.Errorf("%d bytes, at most %d", len(m.data), maxBatch))
	}
	if err := dcep.Unmarshal(m.data, &x.batch); err != nil {
		return x.refused(reasonUndecodable, err)
	}
	b := &x.batch
	switch {
	case b.Env != l.cfg.Env:
		return x.refused(reasonEnvironment, fmt.Errorf("batch is %.8q, centre is %s", b.Env, l.cfg.Env))
	case b.Terminal != terminal:
		return x.refused(reasonOtherTerminal, fmt.Errorf("batch of %.32q", b.Terminal))
	case b.Last > clamp(b.Last):
		return x.refused(reasonChain, fmt.Errorf("entry %d is beyond any journal", b.Last))
	}
	key, err := l.keys.find(ctx, l.store, terminal, b.Epoch)
	if err != nil {
		x.err = err
		return x
	}
	if key == nil {
		return x.refused(reasonUnknown, fmt.Errorf("no key for epoch %d", b.Epoch))
	}
	if err = b.Check(key.suite, key.verifier); errors.Is(err, dcep.ErrSignature) {
		if sender := l.successor(ctx, terminal, b.Epoch); sender != nil {
			err = b.CheckBy(key.suite, key.verifier, sender)
		}
	}
	switch {
	case errors.Is(err, dcep.ErrChain):
		return x.refused(reasonChain, err)
	case err != nil:
		return x.refused(reasonSignature, err)
	}
	return x
}

// successor is the key of the terminal's open epoch, when that is a later one: the key of the
// batch's epoch may be lost. Nil where there is none.
func (l *Link) successor(ctx context.Context, terminal string, epoch uint32) dcep.Verifier {
	var t Terminal
	err := l.store.Read(ctx, func(r Reader) (err error) {
		t, _, err = r.Terminal(ctx, terminal)
		return err
	})
	if err != nil || t.Epoch <= epoch {
		return nil
	}
	k, err := l.keys.find(ctx, l.store, terminal, t.Epoch)
	if err != nil || k == nil {
		return nil
	}
	return k.verifier
}

// keyring keeps verifiers of keys that were looked up; a key of an epoch never changes.
type keyring struct {
	mu   sync.Mutex
	keys map[keyName]*key
}

type keyName struct {
	terminal string
	epoch    uint32
}

type key struct {
	suite    dcep.Suite
	verifier dcep.Verifier
}

// maxKeys bounds the keyring; it is emptied when full.
const maxKeys = 20_000

func newKeyring() *keyring { return &keyring{keys: make(map[keyName]*key)} }

// find gives the key, or nil when the registry has none.
func (k *keyring) find(ctx context.Context, s Store, terminal string, epoch uint32) (*key, error) {
	name := keyName{terminal, epoch}
	k.mu.Lock()
	have := k.keys[name]
	k.mu.Unlock()
	if have != nil {
		return have, nil
	}
	var registered Key
	var found bool
	err := s.Read(ctx, func(r Reader) (err error) {
		registered, found, err = r.Key(ctx, terminal, epoch)
		return err
	})
	if err != nil || !found {
		return nil, err
	}
	suite, err := dcep.SuiteByName(registered.Suite)
	if err != nil {
		return nil, pos.NewError(pos.ErrSchema, fmt.Errorf("key of %s epoch %d: %w", terminal, epoch, err))
	}
	verifier, err := suite.Verifier(registered.PublicKey)
	if err != nil {
		return nil, pos.NewError(pos.ErrSchema, fmt.Errorf("key of %s epoch %d: %w", terminal, epoch, err))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) >= maxKeys {
		clear(k.keys)
	}
	k.keys[name] = &key{suite, verifier}
	return k.keys[name], nil
}
