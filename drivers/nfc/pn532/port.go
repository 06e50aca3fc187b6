package pn532

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/nfc"
	"dcpos/drivers/nfc/pn532/wire"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
)

// lookAgain is after how long a wait for a card is begun anew, which shows that the chip
// is still there: a serial line tells nothing when the module behind it loses power.
const lookAgain = 10 * time.Second

// Dial makes a claimed reader of a serial line.
func Dial(p profiles.NFC, dial transport.Dial) nfc.Dial {
	return func(ctx context.Context) (nfc.Port, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return &port{timing: p.Timing, conn: conn, link: newLink(conn, p.Timing.Answer())}, nil
	}
}

// port is one chip.
type port struct {
	timing profiles.NFCTiming
	conn   transport.Conn
	link   *link
}

// Hello implements nfc.Port: it wakes the chip, takes it out of its virtual-card modes and
// lets it wait for cards for ever by itself.
func (p *port) Hello(ctx context.Context) (nfc.Identity, error) {
	if _, err := p.link.greet(ctx, cmdSAMConfiguration, samNormal); err != nil {
		return nfc.Identity{}, err
	}
	version, err := p.link.ask(ctx, cmdGetFirmwareVersion)
	if err != nil {
		return nfc.Identity{}, err
	}
	if len(version) < firmwareFields {
		return nfc.Identity{}, fmt.Errorf("%w: a version of %d bytes", drivers.ErrFailure, len(version))
	}
	if _, err := p.link.ask(ctx, cmdRFConfiguration, rfMaxRetries, retryForEver, retryPSL, retryForEver); err != nil {
		return nfc.Identity{}, err
	}
	return nfc.Identity{
		Maker: "NXP", Model: fmt.Sprintf("PN5%02X", version[0]),
		Firmware: fmt.Sprintf("%d.%d", version[1], version[2]), Extended: true,
	}, nil
}

// Activate implements nfc.Port. The chip itself waits; nothing is polled but for a sign
// of life. The field goes off for a moment before each wait: a card that was selected by a
// wait that was given up is in the state ACTIVE of ISO/IEC 14443-3 and hears no further
// call until it has lost its power.
func (p *port) Activate(ctx context.Context) (drivers.CardInfo, error) {
	for {
		if _, err := p.link.ask(ctx, cmdRFConfiguration, rfField, fieldOff); err != nil {
			return drivers.CardInfo{}, err
		}
		answer, err := p.link.watch(ctx, lookAgain, cmdInListPassive, wire.MostTargets, iso14443A106)
		if errors.Is(err, errSilent) && ctx.Err() == nil {
			continue // the next question shows whether the chip is there
		}
		if err != nil {
			return drivers.CardInfo{}, err
		}
		found, err := wire.Targets(answer)
		switch {
		case err != nil:
			return drivers.CardInfo{}, err
		case len(found) == 0:
			if err := nfc.Pause(ctx, p.timing, p.link.Ended()); err != nil {
				return drivers.CardInfo{}, err
			}
		case len(found) > 1:
			return drivers.CardInfo{}, p.refuse(ctx, drivers.ErrManyCards)
		case !found[0].ISODEP():
			return drivers.CardInfo{}, p.refuse(ctx, errNoAPDUs(found[0].SelRes))
		case found[0].Number != firstTarget:
			return drivers.CardInfo{}, fmt.Errorf("%w: target number %d", drivers.ErrFailure, found[0].Number)
		default:
			return drivers.CardInfo{UID: found[0].UID, ATS: found[0].ATS}, nil
		}
	}
}

// refuse lets go of what lies in the field and says why.
func (p *port) refuse(ctx context.Context, why error) error {
	if err := p.Deselect(ctx); err != nil {
		return err
	}
	return why
}

// Exchange implements nfc.Port; what does not fit one command goes and comes in pieces.
func (p *port) Exchange(ctx context.Context, command []byte) ([]byte, error) {
	for len(command) > mostData {
		if _, _, err := p.transfer(ctx, firstTarget|moreInfo, command[:mostData]); err != nil {
			return nil, err
		}
		command = command[mostData:]
	}
	response, more, err := p.transfer(ctx, firstTarget, command)
	for err == nil && more {
		var piece []byte
		if piece, more, err = p.transfer(ctx, firstTarget, nil); err == nil && len(piece) == 0 && more {
			return nil, errEndless
		}
		response = append(response, piece...)
		if len(response) > mostResponse {
			return nil, errEndless
		}
	}
	if err != nil {
		return nil, err
	}
	return response, nil
}

// mostResponse is the longest response APDU: 65,536 bytes and the status.
const mostResponse = 65_536 + 2

// errEndless is returned when a card promises more and more.
var errEndless = fmt.Errorf("%w: the answer does not end", drivers.ErrTorn)

// transfer is one InDataExchange. It is sent once, whatever happens.
func (p *port) transfer(ctx context.Context, tg byte, data []byte) (response []byte, more bool, err error) {
	limit := p.timing.Card()
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, max(time.Until(end), 0))
	}
	answer, err := p.link.tell(ctx, limit, append([]byte{cmdInDataExchange, tg}, data...))
	if err != nil {
		return nil, false, err
	}
	if len(answer) == 0 {
		return nil, false, fmt.Errorf("%w: an answer without status", drivers.ErrFailure)
	}
	return answer[1:], answer[0]&moreInfo != 0, status(answer[0]).err()
}

// Removed implements nfc.Port. The chip tells no removal by itself; it is asked every
// poll time of the profile.
func (p *port) Removed(ctx context.Context) error {
	for {
		answer, err := p.link.ask(ctx, cmdDiagnose, testPresence)
		if err != nil {
			return err
		}
		if len(answer) == 0 || status(answer[0]) != statusOK {
			return nil
		}
		if err := nfc.Pause(ctx, p.timing, p.link.Ended()); err != nil {
			return err
		}
	}
}

// Deselect implements nfc.Port.
func (p *port) Deselect(ctx context.Context) error {
	_, err := p.link.ask(ctx, cmdInRelease, allTargets)
	return err
}

// Control implements nfc.Port: the chip has neither light nor buzzer.
func (p *port) Control(context.Context, []byte) ([]byte, error) { return nil, drivers.ErrIllegal }

// Ended implements nfc.Noticing.
func (p *port) Ended() <-chan struct{} { return p.link.Ended() }

// Close implements nfc.Port.
func (p *port) Close() error { return p.link.Close() }

// String implements nfc.Port.
func (p *port) String() string { return p.conn.String() }
