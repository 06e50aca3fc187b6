package devices

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dcpos/agent/devices/sysfs"
	"dcpos/agent/devices/uevent"
	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

// Set is the devices of one till.
type Set struct {
	open    Opener
	o       Options
	auto    bool
	feed    chan drivers.ScanData
	hearing atomic.Bool // the kernel tells what comes and goes

	telling sync.Mutex // keeps changes in order

	mu       sync.Mutex
	stations []*station
	presence presence
	found    []sysfs.Device // by the last look
	start    func(*station) // nil while the set does not run
	lines    []string       // what the customer is shown; nil: nobody said
}

// New makes the set; Run opens it.
func New(c Config, open Opener, o Options) *Set {
	s := &Set{open: open, o: o.withDefaults(), auto: c.Auto, feed: make(chan drivers.ScanData)}
	add := func(kind profiles.Kind, d *drivers.DeviceConfig) {
		if d != nil && open.of(kind) != nil {
			s.stations = append(s.stations, newStation(s, kind, s.freeName(d.Name, kind), *d, true))
		}
	}
	add(profiles.KindPrinter, c.Printer)
	for _, d := range c.Scanners {
		add(profiles.KindScanner, &d)
	}
	add(profiles.KindNFC, c.NFC)
	add(profiles.KindDisplay, c.Display)
	return s
}

// freeName is the wanted name, or the role's, with a number where it is taken.
func (s *Set) freeName(want string, kind profiles.Kind) string {
	if want == "" {
		want = role(kind)
	}
	name := want
	for n := 2; slices.ContainsFunc(s.stations, func(st *station) bool { return st.name == name }); n++ {
		name = fmt.Sprintf("%s-%d", want, n)
	}
	return name
}

// shows is what customer displays show.
func (s *Set) shows() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines
}

// hears reports whether the kernel tells what comes and goes.
func (s *Set) hears() bool { return s.hearing.Load() }

// Run keeps the devices working until ctx ends, then gives them back. scan is called for
// each code of any scanner, one after the other; nil throws codes away.
func (s *Set) Run(ctx context.Context, scan func(ctx context.Context, code, symbology string)) {
	var group sync.WaitGroup
	ears, err := s.o.Listen()
	if err != nil {
		s.o.Log.WarnContext(ctx, "the kernel's device events cannot be heard: looking now and then", "err", err)
	}
	s.hearing.Store(err == nil)
	s.look(ctx, time.Now())
	s.mu.Lock()
	s.start = func(st *station) { group.Go(func() { st.run(ctx) }) }
	for _, st := range s.stations {
		s.start(st)
	}
	s.mu.Unlock()
	group.Go(func() { s.o.Identify(profiles.Seen{}) }) // it reads all profiles the first time: not when a device waits
	group.Go(func() { s.watch(ctx, ears) })
	group.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case d := <-s.feed:
				if scan != nil {
					scan(ctx, d.Text(), d.Symbology)
				}
			}
		}
	})
	<-ctx.Done()
	s.mu.Lock()
	s.start = nil // nobody is started beside the wait below
	s.mu.Unlock()
	group.Wait()
}

// The times of looking.
const (
	lookSettle  = 150 * time.Millisecond // silence after a ring: a device comes as several events
	lookLatest  = time.Second            // look at the latest then, however much rings
	lookAgain   = flap / 2               // for a device that is missed
	lookOnce    = flap                   // more after a ring: the kernel rings before its files say the same
	lookWithout = 30 * time.Second       // where the kernel cannot be heard
)

// watch looks when the kernel rings.
func (s *Set) watch(ctx context.Context, ear Ear) {
	ring := make(chan struct{}, 1)
	var group sync.WaitGroup
	defer group.Wait()
	if ear != nil && s.hears() {
		group.Go(func() { s.listen(ctx, ear, ring) })
	}
	due := time.NewTimer(0) // what came between the first look and the ear
	defer due.Stop()
	var first time.Time // of the rings that wait
	rung := false       // since the last look
	for {
		select {
		case <-ctx.Done():
			return
		case <-ring:
			rung = true
			if first.IsZero() {
				first = time.Now()
			}
			due.Reset(min(lookSettle, max(0, lookLatest-time.Since(first))))
			continue
		case <-due.C:
		}
		first = time.Time{}
		switch again := s.look(ctx, time.Now()); {
		case again:
			due.Reset(lookAgain)
		case rung:
			due.Reset(lookOnce)
		case !s.hears():
			due.Reset(lookWithout)
		}
		rung = false
	}
}

// listen rings for what may be a till's device, and for lost events. It ends with ctx;
// an ear that breaks makes watch look by itself.
func (s *Set) listen(ctx context.Context, ear Ear, ring chan<- struct{}) {
	defer ear.Close() //nolint:errcheck // nothing is written
	for {
		e, err := ear.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, uevent.ErrOverrun):
		case err != nil:
			s.hearing.Store(false)
			s.o.Log.WarnContext(ctx, "the kernel's device events cannot be heard any more", "err", err)
		case !e.OfTill():
			continue
		}
		select {
		case ring <- struct{}{}:
		default:
		}
		if !s.hears() {
			return
		}
	}
}

// look reads what is plugged in and tells the stations; it reports whether another look
// is due soon.
func (s *Set) look(ctx context.Context, now time.Time) (again bool) {
	found, err := s.o.Tree.USB()
	if err != nil {
		s.o.Log.WarnContext(ctx, "look for devices", "err", err)
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = found
	again = s.presence.look(now, found)
	taken := map[string]bool{}
	for _, st := range s.stations { // the pinned come first
		s.place(st, taken)
	}
	if s.auto {
		s.adopt(taken)
	}
	return again
}

// place tells a station where its device is now.
func (s *Set) place(st *station, taken map[string]bool) {
	key := st.keyed()
	if key == "" {
		key = s.pin(st, taken)
	}
	if key == "" {
		st.poke()
		return
	}
	d, known, seen := s.presence.at(key)
	if !known && st.pinned { // it may be back in another socket
		st.unbind()
		if key = s.pin(st, taken); key != "" {
			d, known, seen = s.presence.at(key)
		}
	}
	if !known {
		st.forget()
		return
	}
	taken[key] = true
	var moved *drivers.DeviceConfig
	if !st.pinned {
		if c, ok := s.recognise(d); ok {
			moved = &c.config
		}
	}
	st.rebind(&d, key, seen, moved)
}

// pin finds the device that a configured station means.
func (s *Set) pin(st *station, taken map[string]bool) string {
	config := st.configured()
	for _, d := range s.found {
		key, _ := keyOf(d, s.found)
		if !taken[key] && s.means(config, st.kind, d) {
			return key
		}
	}
	return ""
}

// means reports whether a configuration means this device.
func (s *Set) means(c drivers.DeviceConfig, kind profiles.Kind, d sysfs.Device) bool {
	t := c.Transport
	if t.Path != "" {
		return s.hasPath(d, t.Path)
	}
	switch {
	case t.Kind == drivers.TransportSerial || t.Kind == drivers.TransportTCP || t.Kind == drivers.TransportPrinter,
		t.Serial != "" && t.Serial != d.Serial, t.Port != "" && t.Port != d.Port:
		return false
	case t.VID != "":
		return strings.EqualFold(t.VID, d.VID) && strings.EqualFold(t.PID, d.PID)
	}
	return slices.ContainsFunc(s.o.Identify(Seen(d)), func(c2 profiles.Candidate) bool {
		return c2.Kind == kind && c2.Profile == c.Profile && (c2.Reason != profiles.ByBridge || t.Kind == drivers.TransportUSB)
	})
}

// hasPath reports whether a file, or what a link leads to, is one of the device's nodes.
func (s *Set) hasPath(d sysfs.Device, path string) bool {
	target := path
	if root := s.o.Tree.Root; root == "/" {
		if p, err := filepath.EvalSymlinks(path); err == nil {
			target = p
		}
	}
	for _, i := range d.Interface {
		for _, n := range i.Nodes {
			if n.Path == target || n.Path == path || n.ByID == path {
				return true
			}
		}
	}
	return false
}

// maxStations bounds what auto adopts, over the life of the program.
const maxStations = 32

// adopt makes stations of recognised devices that nobody has. An absent one of the same
// model that has no serial number is taken to have moved to another socket.
func (s *Set) adopt(taken map[string]bool) {
	for _, d := range s.found {
		key, bySerial := keyOf(d, s.found)
		if taken[key] {
			continue
		}
		r, ok := s.recognise(d)
		if !ok || s.open.of(r.kind) == nil {
			continue
		}
		i := slices.IndexFunc(s.stations, func(st *station) bool { return !bySerial && st.movedFrom(d, r.kind) })
		switch {
		case i >= 0:
			s.stations[i].unbind()
			s.stations[i].rebind(&d, key, true, &r.config)
		case len(s.stations) < maxStations:
			st := newStation(s, r.kind, s.freeName("", r.kind), r.config, false)
			s.stations = append(s.stations, st)
			st.rebind(&d, key, true, nil)
			if s.start != nil {
				s.start(st)
			}
		}
		taken[key] = true
	}
}

func (st *station) keyed() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.key
}

func (st *station) configured() drivers.DeviceConfig {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.config
}

func (st *station) unbind() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.key, st.seen = "", false
}

// movedFrom reports whether the station's absent device may be this one in another socket.
func (st *station) movedFrom(d sysfs.Device, kind profiles.Kind) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return !st.pinned && st.kind == kind && !st.seen && st.usb != nil && st.usb.ID() == d.ID() && st.usb.Serial == d.Serial
}
