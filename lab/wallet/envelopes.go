package wallet

import (
	"encoding/hex"
	"slices"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Spend has the wallet pay a part of each later payment from these envelopes, where the
// till's challenge offers it, whatever it holds. They are not kept in its folder.
func (w *Wallet) Spend(uses ...pos.EnvelopeUse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.envelopes = uses
}

// remember keeps what the institution says that the wallet holds, in the order of spending,
// for payments without a network. What was promised since and has not reached the
// institution yet would be counted again: refresh after the tills have delivered.
func (w *Wallet) remember(held []api.HeldEnvelope) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(held) == 0 && len(w.state.Envelopes) == 0 {
		return nil
	}
	w.state.Envelopes = slices.Clone(held)
	return w.saveState()
}

// uses are the envelopes for a challenge that is answered now; the lock is held.
func (w *Wallet) uses(c dcep.Challenge, now time.Time) []pos.EnvelopeUse {
	if c.Category == "" {
		return nil
	}
	if w.envelopes != nil {
		return w.envelopes
	}
	var uses []pos.EnvelopeUse
	open := c.Amount
	for _, e := range w.state.Envelopes { // the one that ends first is first
		take := min(e.Left, open)
		whole := c.Amount >= e.Threshold && take == e.Amount
		hash, err := hex.DecodeString(e.Hash)
		if err != nil || take <= 0 || e.Threshold > 0 && !whole || now.UnixMilli() < e.FromMS || now.UnixMilli() >= e.UntilMS {
			continue
		}
		if len(uses) == pos.MaxEnvelopes {
			break
		}
		uses = append(uses, pos.EnvelopeUse{Envelope: e.Envelope, Campaign: e.Campaign, Hash: hash, Amount: take})
		open -= take
	}
	return uses
}

// spent takes what was promised off what the wallet holds; the lock is held, and the caller
// saves the state before anybody hears the promise.
func (w *Wallet) spent(uses []pos.EnvelopeUse) {
	for _, u := range uses {
		for i := range w.state.Envelopes {
			if e := &w.state.Envelopes[i]; e.Envelope == u.Envelope {
				e.Left -= min(e.Left, u.Amount)
			}
		}
	}
}
