package ccid

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/nfc"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
)

const (
	// lookAgain is how often the slot is asked although the reader would tell: a lost
	// notification costs this much, and a reader that hangs is found out.
	lookAgain = 5 * time.Second
	// mostTries is how often a card that did not wake is tried before the tap counts as torn.
	mostTries = 3
)

// Dial makes a claimed reader of a USB function.
func Dial(p profiles.NFC, dial transport.Dial) nfc.Dial {
	return func(ctx context.Context) (nfc.Port, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return newPort(p.Timing, conn), nil
	}
}

// port is one reader's first slot.
type port struct {
	timing profiles.NFCTiming
	conn   transport.Conn
	link   *link

	changes chan struct{} // holds one token when the slot changed
	told    chan struct{} // closed when the reader tells no changes (any more)
	done    sync.WaitGroup
	stop    context.CancelFunc

	mu       sync.Mutex
	removals int // the reader told so many
	visit    int // removals when the card was activated
	can      abilities
}

func newPort(t profiles.NFCTiming, conn transport.Conn) *port {
	ctx, stop := context.WithCancel(context.Background())
	p := &port{
		timing: t, conn: conn, link: newLink(conn),
		changes: make(chan struct{}, 1), told: make(chan struct{}), stop: stop,
		can: abilities{maxMessage: shortMessage},
	}
	p.done.Add(1)
	go p.listen(ctx)
	return p
}

// listen takes the notifications of the interrupt endpoint.
func (p *port) listen(ctx context.Context) {
	defer p.done.Done()
	defer close(p.told)
	f, ok := p.conn.(transport.Function)
	if !ok {
		return
	}
	for {
		packet, err := f.Interrupt(ctx)
		if err != nil {
			return
		}
		n, err := parseNotification(packet)
		if err != nil || !n.change {
			continue
		}
		p.mu.Lock()
		if !n.present {
			p.removals++
		}
		p.mu.Unlock()
		select {
		case p.changes <- struct{}{}:
		default:
		}
	}
}

// Hello implements nfc.Port.
func (p *port) Hello(ctx context.Context) (nfc.Identity, error) {
	if f, ok := p.conn.(transport.Function); ok {
		limited, cancel := context.WithTimeout(ctx, p.timing.Answer())
		class, err := f.Class(limited)
		cancel()
		if err != nil {
			return nfc.Identity{}, err
		}
		can, err := parseClass(class)
		if err != nil {
			return nfc.Identity{}, fmt.Errorf("%w: %w", drivers.ErrIllegal, err)
		}
		p.mu.Lock()
		p.can = can
		p.mu.Unlock()
	}
	if _, err := p.status(ctx); err != nil {
		return nfc.Identity{}, err
	}
	return nfc.Identity{Extended: p.abilities().extended}, nil
}

func (p *port) abilities() abilities {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.can
}

// status asks the slot. A reader may call the question failed because no card is there.
func (p *port) status(ctx context.Context) (icc byte, err error) {
	m, err := p.ask(ctx, message{kind: getStatus})
	if m.kind == slotStatus && errors.Is(err, drivers.ErrTorn) {
		return m.icc(), nil
	}
	return m.icc(), err
}

// ask is for commands that the reader answers by itself.
func (p *port) ask(ctx context.Context, m message) (message, error) {
	return p.link.ask(ctx, m, p.timing.Answer())
}

// Activate implements nfc.Port. A card that left before it woke was torn; but where
// another one lies in its place already, that one counts.
func (p *port) Activate(ctx context.Context) (drivers.CardInfo, error) {
	var torn error
	for tries := 0; ; {
		icc, err := p.status(ctx)
		switch {
		case err != nil:
			return drivers.CardInfo{}, err
		case icc != iccAbsent:
			info, err := p.wake(ctx)
			if tries++; err == nil || !errors.Is(err, drivers.ErrTorn) || tries == mostTries {
				return info, err
			}
			torn = err
			continue
		case torn != nil:
			return drivers.CardInfo{}, torn
		}
		if err := p.change(ctx); err != nil {
			return drivers.CardInfo{}, err
		}
	}
}

// wake powers the card on and asks who it is.
func (p *port) wake(ctx context.Context) (drivers.CardInfo, error) {
	p.mu.Lock()
	p.visit = p.removals
	p.mu.Unlock()
	if _, err := p.link.ask(ctx, message{kind: powerOn}, p.timing.Card()); err != nil {
		return drivers.CardInfo{}, err
	}
	return nfc.AskIdentity(ctx, p.Exchange)
}

// change waits until the slot may have changed: the reader told so, or it is time to look.
func (p *port) change(ctx context.Context) error {
	select {
	case <-p.told:
		return nfc.Pause(ctx, p.timing, p.link.Ended())
	default:
	}
	timer := time.NewTimer(lookAgain)
	defer timer.Stop()
	select {
	case <-p.changes:
	case <-timer.C:
	case <-p.link.Ended():
		return p.link.Failure()
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Levels of wLevelParameter and bChainParameter (6.1.4, 6.2.1).
const (
	whole    = 0x00 // begins and ends here
	begins   = 0x01 // begins here and goes on
	ends     = 0x02 // ends here
	goesOn   = 0x03
	wantMore = 0x10 // empty: the other side is to go on
)

// Exchange implements nfc.Port.
func (p *port) Exchange(ctx context.Context, command []byte) ([]byte, error) {
	most := p.abilities().maxMessage - headerSize
	level := byte(whole)
	for len(command) > most {
		if !p.abilities().extended {
			return nil, fmt.Errorf("%w: %d bytes, the reader takes %d", drivers.ErrIllegal, len(command), most)
		}
		level = next(level)
		answer, err := p.transfer(ctx, level, command[:most])
		if err != nil {
			return nil, err
		}
		if answer.chain() != wantMore {
			return nil, fmt.Errorf("%w: %w: chain parameter %02x", drivers.ErrTorn, errNotCCID, answer.chain())
		}
		command = command[most:]
	}
	if level != whole {
		level = ends
	}
	answer, err := p.transfer(ctx, level, command)
	if err != nil {
		return nil, err
	}
	return p.collect(ctx, answer)
}

func next(level byte) byte {
	if level == whole {
		return begins
	}
	return goesOn
}

// collect fetches the rest of a response that comes in pieces.
func (p *port) collect(ctx context.Context, answer message) ([]byte, error) {
	response := answer.data
	for answer.chain() == begins || answer.chain() == goesOn {
		var err error
		if answer, err = p.transfer(ctx, wantMore, nil); err != nil {
			return nil, err
		}
		response = append(response, answer.data...)
		if len(answer.data) == 0 || len(response) > maxMessage {
			return nil, fmt.Errorf("%w: %w: the answer does not end", drivers.ErrTorn, errNotCCID)
		}
	}
	if answer.chain() != whole && answer.chain() != ends {
		return nil, fmt.Errorf("%w: %w: chain parameter %02x", drivers.ErrTorn, errNotCCID, answer.chain())
	}
	return response, nil
}

// transfer is one PC_to_RDR_XfrBlock. A card that was replaced since it was activated is
// torn, whatever the new one would answer.
func (p *port) transfer(ctx context.Context, level byte, data []byte) (message, error) {
	if p.left(iccActive) {
		return message{}, fmt.Errorf("%w: the card left", drivers.ErrTorn)
	}
	m := message{kind: xfrBlock, specific: [3]byte{0, level, 0}, data: data}
	answer, err := p.link.ask(ctx, m, p.timing.Card())
	if err == nil && p.left(answer.icc()) {
		return answer, fmt.Errorf("%w: the card left", drivers.ErrTorn)
	}
	if err != nil && answer.kind != 0 && answer.icc() == iccAbsent {
		return answer, fmt.Errorf("%w: %w", drivers.ErrTorn, err)
	}
	return answer, err
}

// left reports whether the activated card is gone, by the slot's state in an answer: a card
// that took its place is inactive. Only where the reader activates cards by itself do its
// notifications tell them apart; they may come late, and are not leaned on otherwise.
func (p *port) left(icc byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return icc != iccActive || p.can.activatesItself && p.removals != p.visit
}

// Removed implements nfc.Port.
func (p *port) Removed(ctx context.Context) error {
	for {
		icc, err := p.status(ctx)
		if err != nil {
			return err
		}
		if p.left(icc) {
			return nil
		}
		if err := p.change(ctx); err != nil {
			return err
		}
	}
}

// Deselect implements nfc.Port.
func (p *port) Deselect(ctx context.Context) error {
	m, err := p.ask(ctx, message{kind: powerOff})
	if m.kind == slotStatus && errors.Is(err, drivers.ErrTorn) {
		return nil // it is gone already
	}
	return err
}

// Control implements nfc.Port by PC_to_RDR_Escape (6.1.8).
func (p *port) Control(ctx context.Context, command []byte) ([]byte, error) {
	limit := p.timing.Answer()
	if end, ok := ctx.Deadline(); ok { // a reader answers a sound when it has ended
		limit = max(limit, time.Until(end))
	}
	m, err := p.link.ask(ctx, message{kind: escape, data: command}, limit)
	return m.data, err
}

// Ended implements nfc.Noticing.
func (p *port) Ended() <-chan struct{} { return p.link.Ended() }

// Close implements nfc.Port.
func (p *port) Close() error {
	p.stop()
	err := p.link.Close()
	p.done.Wait()
	return err
}

// String implements nfc.Port.
func (p *port) String() string { return p.conn.String() }
