package institution

import (
	"slices"
	"sync"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

// faults are the ordered faults of one institution that are still to strike. They
// live in memory: a restart of the simulator clears them.
type faults struct {
	mu   sync.Mutex
	list []api.Fault
}

func (f *faults) add(x api.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, x)
}

func (f *faults) all() []api.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]api.Fault{}, f.list...)
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = nil
}

// take uses up one count of the oldest fault that fits; its Count is 1. The zero
// Fault, whose Kind is empty, means that nothing goes wrong.
func (f *faults) take(op api.Op, amount pos.Money) api.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, x := range f.list {
		if x.Op != op || x.Kind == api.Planted || (x.Amount != 0 && x.Amount != amount && x.Kind != api.ShortCredit) {
			continue
		}
		if f.list[i].Count--; f.list[i].Count == 0 {
			f.list = slices.Delete(f.list, i, i+1)
		}
		x.Count = 1
		return x
	}
	return api.Fault{}
}

// giveBack returns a fault that struck nothing because the request was a repeat.
func (f *faults) giveBack(x api.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = slices.Insert(f.list, 0, x)
}

// planting gives and removes the orders of planted differences.
func (f *faults) planting() []api.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []api.Fault
	f.list = slices.DeleteFunc(f.list, func(x api.Fault) bool {
		if x.Kind == api.Planted {
			out = append(out, x)
		}
		return x.Kind == api.Planted
	})
	return out
}
