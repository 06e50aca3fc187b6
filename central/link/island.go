package link

import (
	"context"
	"fmt"

	"dcpos/central/ledger"
)

// islandsOf reads the islands of an epoch once.
func (k *keeping) islandsOf(ctx context.Context, name keyName) ([]Head, error) {
	if h, ok := k.islands[name]; ok {
		return h, nil
	}
	h, err := k.tx.Islands(ctx, name.terminal, name.epoch)
	if err != nil {
		return nil, fmt.Errorf("read islands of %s epoch %d: %w", name.terminal, name.epoch, err)
	}
	k.islands[name] = h
	return h, nil
}

// rejoin takes back out of suspense what the journal proper now says itself: the till came online after its
// salvage file was taken in. Where a person has credited it meanwhile, the money is counted already.
func (k *keeping) rejoin(ctx context.Context) error {
	var keys []string
	for _, p := range k.posts {
		if p.rejoins {
			key := ledger.ForkKey(p.item.Key)
			keys = append(keys, key, ledger.CreditKey(key), ledger.WriteOffKey(key))
		}
	}
	if len(keys) == 0 {
		return nil
	}
	have, err := k.tx.LedgerTransactions(ctx, keys)
	if err != nil {
		return fmt.Errorf("look up %d transactions in suspense: %w", len(keys), err)
	}
	posts := k.posts
	k.posts = nil
	for _, p := range posts {
		held, waits := have[ledger.ForkKey(p.item.Key)]
		_, credited := have[ledger.CreditKey(held.Key)]
		_, written := have[ledger.WriteOffKey(held.Key)]
		switch {
		case p.rejoins && waits && credited:
			continue
		case p.rejoins && waits && !written:
			k.posts = append(k.posts, post{terminal: p.terminal, item: ledger.Item{Transaction: ledger.Rejoined(held)}})
		}
		k.posts = append(k.posts, p)
	}
	return nil
}

// keepPiece takes in a run of entries that came by a file: as from the road where it connects, else as an island.
func (k *keeping) keepPiece(ctx context.Context, x examined) (outcome, error) {
	t, err := k.terminal(ctx, x.terminal)
	if err != nil {
		return outcome{}, err
	}
	name := keyName{x.terminal, x.batch.Epoch}
	heads, err := k.headsOf(ctx, name)
	if err != nil {
		return outcome{}, err
	}
	where, err := k.locate(ctx, x.batch, heads)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{terminal: x.terminal, epoch: x.batch.Epoch, fenced: t.Quarantined}
	switch where.kind {
	case isRepeat:
		o.head = Head{Branch: where.branch, Seq: x.batch.Last, Hash: x.batch.Head}
		return o, nil
	case isNew, isFork:
		return k.extend(ctx, t, x.batch, where, o)
	case isGap, isOrphan:
	}
	if where.kind == isOrphan {
		if err := k.noteOrphan(ctx, x.batch); err != nil {
			return o, err
		}
	}
	return k.keepIsland(ctx, t, name, x, o)
}

// keepIsland keeps what is new of a piece that connects with nothing: at the end of an island, or as one more.
func (k *keeping) keepIsland(ctx context.Context, t Terminal, name keyName, x examined, o outcome) (outcome, error) {
	islands, err := k.islandsOf(ctx, name)
	if err != nil {
		return o, err
	}
	b := x.batch
	places, err := k.tx.Places(ctx, b.Terminal, b.Epoch, b.First, b.Last)
	if err != nil {
		return o, fmt.Errorf("read entries of %s epoch %d: %w", b.Terminal, b.Epoch, err)
	}
	known := make(map[string]int) // by hash
	for _, p := range places {
		known[string(p.Hash)] = p.Branch
	}
	head := Head{Branch: islandBranch + len(islands), Parent: islandParent}
	fresh := b.Entries
	for len(fresh) > 0 {
		branch, kept := known[string(fresh[0].Hash)]
		if !kept {
			break
		}
		o.head = Head{Branch: branch, Seq: fresh[0].Seq, Hash: fresh[0].Hash}
		fresh = fresh[1:]
	}
	if len(fresh) == 0 {
		return o, nil
	}
	for _, h := range islands {
		if h.Seq+1 == fresh[0].Seq && string(h.Hash) == string(fresh[0].Prev) {
			head = h
		}
	}
	if head.First == 0 {
		head.First = fresh[0].Seq
	}
	for n, e := range fresh { // what another island begins with is kept there
		if _, kept := known[string(e.Hash)]; kept {
			fresh = fresh[:n]
			break
		}
	}
	if o, err = k.append(ctx, t, b.Epoch, head, fresh, o); err != nil {
		return o, err
	}
	k.islands[name] = replaceHead(islands, o.head)
	return o, nil
}
