package checkout

import "dcpos/agent/health"

// StorageFailed shows that the journal takes nothing now: sales stop before anybody could
// promise what is not kept.
func (t *Till) StorageFailed(cause error) { t.health.Set(health.StorageCondition(), cause.Error()) }

// StorageRecovered tells that the journal takes entries again. Whatever was refused
// meanwhile stays refused; screens and clients read everything anew, since a decision
// that got an error may or may not be in the file.
func (t *Till) StorageRecovered() {
	t.health.Clear(health.StorageCondition())
	t.press.wake()
	t.publish(Event{Kind: EventReset})
}
