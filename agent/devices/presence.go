package devices

import (
	"time"

	"dcpos/agent/devices/sysfs"
)

// missesMost is how many looks in a row have to miss a device before it is gone
// (facts: edge §2 D, the list that flaps).
const missesMost = 3

// presence damps what looks find: a device is gone when missesMost looks in a row miss
// it and the first and the last are at least a flap apart.
type presence struct {
	known map[string]*sighting
}

type sighting struct {
	device sysfs.Device
	misses int
	since  time.Time // of the first miss
}

// keyOf is by what a device is known again: its serial number, where no other device of
// its model has the same, else the socket with vendor and product.
func keyOf(d sysfs.Device, all []sysfs.Device) (key string, bySerial bool) {
	if d.Serial == "" {
		return "port " + d.Port + " " + d.ID(), false
	}
	for _, o := range all {
		if o.Port != d.Port && o.ID() == d.ID() && o.Serial == d.Serial {
			return "port " + d.Port + " " + d.ID(), false
		}
	}
	return "serial " + d.Serial + " " + d.ID(), true
}

// look takes a look's findings and reports whether another look is due: somebody is
// missed and not gone yet.
func (p *presence) look(now time.Time, found []sysfs.Device) (again bool) {
	if p.known == nil {
		p.known = map[string]*sighting{}
	}
	seen := map[string]bool{}
	for _, d := range found {
		key, _ := keyOf(d, found)
		seen[key] = true
		p.known[key] = &sighting{device: d}
	}
	for key, s := range p.known {
		if seen[key] {
			continue
		}
		if s.misses == 0 {
			s.since = now
		}
		s.misses++
		if s.misses >= missesMost && now.Sub(s.since) >= flap {
			delete(p.known, key)
			continue
		}
		again = true
	}
	return again
}

// at returns the device of a key, and whether the last look saw it.
func (p *presence) at(key string) (d sysfs.Device, known, seen bool) {
	s, ok := p.known[key]
	if !ok {
		return sysfs.Device{}, false, false
	}
	return s.device, true, s.misses == 0
}
