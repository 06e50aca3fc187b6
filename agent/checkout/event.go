package checkout

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"dcpos/agent/operator"
	"dcpos/pos"
)

// EventKind says what an Event tells.
type EventKind string

// The kinds of event.
const (
	EventPayment  EventKind = "payment"  // a payment or one of its refunds changed; Payment is how it is now
	EventLink     EventKind = "link"     // the centre came or went; Connected
	EventOperator EventKind = "operator" // somebody signed in or out; Operator is nil when nobody is
	EventScan     EventKind = "scan"     // a code was scanned; Scan says what it is
	EventNotice   EventKind = "notice"   // something that a person must know; Notice
	EventPrint    EventKind = "print"    // a print job changed; Print is how it is now
	EventDevice   EventKind = "device"   // a device came, went, fell ill or is well again; Device
	EventTap      EventKind = "tap"      // a card is wanted at the reader, works, or was not taken; Tap
	EventReset    EventKind = "reset"    // events were missed: read everything again
)

// Event is one change at the till, for screens and API clients.
type Event struct {
	ID        string             `json:"id"` // grows with every event; for Last-Event-ID
	Kind      EventKind          `json:"kind"`
	AtMS      int64              `json:"at_ms"`
	Payment   *pos.Payment       `json:"payment,omitempty"`
	Connected *bool              `json:"connected,omitempty"`
	Operator  *operator.Operator `json:"operator,omitempty"`
	Scan      *Scan              `json:"scan,omitempty"`
	Notice    *Notice            `json:"notice,omitempty"`
	Print     *Print             `json:"print,omitempty"`
	Device    *Device            `json:"device,omitempty"`
	Tap       *Tapped            `json:"tap,omitempty"`
}

// Device is how one device stands now, in the words of agent/devices.
type Device struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"` // printer, scanner, nfc, display
	Category  string    `json:"category"`
	State     string    `json:"state"`
	StateText pos.Text  `json:"state_text"`
	Reason    string    `json:"reason,omitempty"`
	Text      *pos.Text `json:"text,omitempty"` // what is wrong
	Hint      *pos.Text `json:"hint,omitempty"` // what to do
}

// DeviceChanged tells the screens and API clients how a device stands now.
func (t *Till) DeviceChanged(d Device) { t.publish(Event{Kind: EventDevice, Device: &d}) }

// Notice is something that happened without the cashier and that the cashier must know.
type Notice struct {
	AtMS    int64         `json:"at_ms"`
	Payment pos.PaymentID `json:"payment"`
	Text    pos.Text      `json:"text"`
}

const (
	ringSize   = 256
	noticeSize = 20
)

// hub keeps the latest events and hands them to subscribers. A subscriber that does
// not read is dropped: its channel is closed, and it may come back with its last id.
type hub struct {
	boot string

	mu      sync.Mutex
	next    uint64
	ring    []Event
	notices []Notice
	subs    map[chan Event]struct{}
}

func newHub(boot string) *hub { return &hub{boot: boot, subs: map[chan Event]struct{}{}} }

func (h *hub) publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	e.ID = h.id(h.next)
	h.ring = append(h.ring, e)
	if len(h.ring) > ringSize {
		h.ring = append([]Event(nil), h.ring[len(h.ring)-ringSize:]...)
	}
	if e.Notice != nil {
		h.notices = append(h.notices, *e.Notice)
		h.notices = h.notices[max(0, len(h.notices)-noticeSize):]
	}
	for c := range h.subs {
		select {
		case c <- e:
		default:
			delete(h.subs, c)
			close(c)
		}
	}
}

func (h *hub) id(n uint64) string { return fmt.Sprintf("%s-%d", h.boot, n) }

func (h *hub) subscribe(after string) (<-chan Event, func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan Event, 2*ringSize)
	for _, e := range h.missed(after) {
		c <- e
	}
	h.subs[c] = struct{}{}
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, ok := h.subs[c]; ok {
			delete(h.subs, c)
			close(c)
		}
	}
}

// missed lists what came after the id; a reset when that cannot be told.
func (h *hub) missed(after string) []Event {
	if after == "" {
		return nil
	}
	first := h.next - uint64(len(h.ring))
	boot, number, _ := strings.Cut(after, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if boot != h.boot || err != nil || n < first || n > h.next {
		return []Event{{ID: h.id(h.next), Kind: EventReset}}
	}
	return h.ring[n-first:]
}

func (h *hub) latest() []Notice {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Notice{}, h.notices...)
}

// Events delivers changes from now on, or from after the event with the id `after`
// on where they are still known; else the first event is EventReset. The channel is
// closed when its reader is too slow, and by stop. stop may be called twice.
func (t *Till) Events(after string) (events <-chan Event, stop func()) { return t.hub.subscribe(after) }

func (t *Till) publish(e Event) {
	e.AtMS = t.clock.Now().UnixMilli()
	t.hub.publish(e)
}

func (t *Till) notify(id pos.PaymentID, text pos.Text) {
	t.publish(Event{Kind: EventNotice, Notice: &Notice{AtMS: t.clock.Now().UnixMilli(), Payment: id, Text: text}})
}
