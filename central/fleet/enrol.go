package fleet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// CodeLife is how long an enrolment code can be used.
const CodeLife = 2 * time.Hour

// MaxDevices bounds a batch that enrols by one code.
const MaxDevices = 1000

// codeSize is the length of a code: 40 bits, which with CodeLife and a limit on tries
// (httpapi's) cannot be guessed.
const codeSize = 8

// crockford is Crockford's base 32: no I, L, O, U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Classes are the terminal classes of firmware-profiles, and sdk.
func Classes() []string {
	return []string{"self-checkout", "counter", "smart-pos", "all-in-one", "sdk"}
}

// natsKeyForm is an nkey's public user key: "U" and 55 characters of base 32.
var natsKeyForm = regexp.MustCompile(`^U[A-Z2-7]{55}$`)

// CodeRequest says what a code is for.
type CodeRequest struct {
	Shop    string
	Class   string // "" allows each class
	Devices int    // 0 means 1
	// Terminal, when set, makes a code that opens this terminal's next epoch for Reason;
	// Shop, Class and Devices are then not looked at.
	Terminal string
	Reason   pos.EpochReason
	By       string
}

// IssueCode makes an enrolment code. Only its hash is kept: it is shown once.
func (f *Fleet) IssueCode(ctx context.Context, r CodeRequest) (code string, expires time.Time, err error) {
	c := Code{Shop: r.Shop, Class: r.Class, Left: max(1, r.Devices), By: r.By, Reason: pos.EpochEnrolled}
	if c.Left > MaxDevices {
		return "", expires, pos.FieldError(pos.ErrBadRequest, "devices", fmt.Errorf("at most %d", MaxDevices))
	}
	if r.Class != "" && !slices.Contains(Classes(), r.Class) {
		return "", expires, pos.FieldError(pos.ErrBadRequest, "class", fmt.Errorf("want one of %v", Classes()))
	}
	code = newCode()
	expires = f.cfg.Now().Add(CodeLife)
	c.Hash, c.ExpiresMS = codeHash(code), expires.UnixMilli()
	err = f.cfg.Store.Write(ctx, func(tx Tx) error {
		c := c
		if r.Terminal != "" {
			t, err := find(ctx, tx, r.Terminal)
			if err != nil {
				return err
			}
			c.Terminal, c.Reason, c.Shop, c.Class, c.Left = t.ID, r.Reason, t.Shop, t.Class, 1
		}
		if _, found, err := tx.Shop(ctx, c.Shop); err != nil || !found {
			return errors.Join(err, pos.FieldError(pos.ErrNotFound, "shop", fmt.Errorf("no store %.24q", c.Shop)))
		}
		if err := tx.PutCode(ctx, c); err != nil {
			return fmt.Errorf("keep enrolment code: %w", err)
		}
		return tx.Audit(ctx, r.By, "code_issued", c.Shop, fmt.Sprintf("devices %d class %q terminal %q", c.Left, c.Class, c.Terminal))
	})
	if err != nil {
		return "", expires, err
	}
	return code[:4] + "-" + code[4:], expires, nil
}

func newCode() string {
	var random [codeSize]byte
	_, _ = rand.Read(random[:]) // never returns an error
	for i, b := range random {
		random[i] = crockford[b%32]
	}
	return string(random[:])
}

// codeHash reads a code as Crockford reads it: case, hyphens and spaces do not count,
// I and L are 1, O is 0.
func codeHash(code string) []byte {
	plain := strings.NewReplacer("-", "", " ", "", "I", "1", "L", "1", "O", "0").Replace(strings.ToUpper(code))
	sum := sha256.Sum256([]byte("dcpos-code-1\x00" + plain))
	return sum[:]
}

// Enrol makes a device a terminal, or opens a terminal's next epoch. The same code
// with the same keys is a repeat and gives the same terminal and epoch, also after the
// code has expired. Errors are *pos.Error: pos.ErrForbidden for a code that is unknown,
// used up or expired, pos.ErrKeyConflict for keys that another terminal has.
func (f *Fleet) Enrol(ctx context.Context, r wire.EnrolRequest) (answer wire.EnrolAnswer, err error) {
	if err := f.check(r); err != nil {
		return answer, err
	}
	var enrolled string
	err = f.cfg.Store.Write(ctx, func(tx Tx) error {
		hash := codeHash(r.Code)
		terminal, epoch, found, err := tx.Enrolment(ctx, hash, r.PublicKey, r.NATSKey)
		if err != nil {
			return fmt.Errorf("find enrolment: %w", err)
		}
		enrolled = ""
		if !found {
			if terminal, epoch, err = f.admit(ctx, tx, hash, r); err != nil {
				return err
			}
			enrolled = terminal
		}
		answer, err = f.answer(ctx, tx, terminal, epoch)
		return err
	})
	if err == nil && enrolled != "" && f.cfg.Changed != nil {
		f.cfg.Changed(enrolled)
	}
	return answer, err
}

// check refuses what needs no database to be refused.
func (f *Fleet) check(r wire.EnrolRequest) error {
	switch {
	case r.Env != f.cfg.Env:
		return pos.FieldError(pos.ErrEnvironment, "env", fmt.Errorf("device is %.8q, this centre is %s", r.Env, f.cfg.Env))
	case !slices.Contains(Classes(), r.Class):
		return pos.FieldError(pos.ErrBadRequest, "class", fmt.Errorf("want one of %v", Classes()))
	case !natsKeyForm.MatchString(r.NATSKey):
		return pos.FieldError(pos.ErrBadRequest, "nats_key", errors.New("want an nkey's public user key"))
	case len(r.Code) > 32 || len(r.PublicKey) > 512:
		return pos.NewError(pos.ErrTooLarge, nil)
	case strings.HasSuffix(f.cfg.NATSURL, ":0"): // tills keep the address for good
		return pos.FieldError(pos.ErrConfig, "nats.listen", errors.New("port 0 is another port at each start of the centre: name a port, or nats.advertise"))
	}
	suite, err := dcep.SuiteByName(r.Suite)
	if err != nil {
		return pos.FieldError(pos.ErrBadRequest, "suite", err)
	}
	v, err := suite.Verifier(r.PublicKey)
	if err != nil {
		return pos.FieldError(pos.ErrBadRequest, "public_key", err)
	}
	if err := v.Verify(wire.DomainEnrol, append([]byte(r.Code+"\x00"), r.PublicKey...), r.Proof); err != nil {
		return pos.FieldError(pos.ErrForbidden, "proof", err)
	}
	return nil
}

// admit spends one use of the code.
func (f *Fleet) admit(ctx context.Context, tx Tx, hash []byte, r wire.EnrolRequest) (string, uint32, error) {
	c, found, err := tx.Code(ctx, hash)
	if err != nil {
		return "", 0, fmt.Errorf("find enrolment code: %w", err)
	}
	now := f.cfg.Now().UnixMilli()
	switch {
	case !found || c.Left <= 0:
		return "", 0, pos.FieldError(pos.ErrForbidden, "code", errors.New("unknown or used up"))
	case now >= c.ExpiresMS:
		return "", 0, pos.FieldError(pos.ErrForbidden, "code", errors.New("expired"))
	case c.Class != "" && c.Class != r.Class:
		return "", 0, pos.FieldError(pos.ErrBadRequest, "class", fmt.Errorf("the code is for %s", c.Class))
	}
	t, err := f.place(ctx, tx, c, r, now)
	if err != nil {
		return "", 0, err
	}
	if err := f.ownKeys(ctx, tx, t.ID, r); err != nil {
		return "", 0, err
	}
	if err := tx.UseCode(ctx, hash); err != nil {
		return "", 0, fmt.Errorf("use code: %w", err)
	}
	if err := tx.PutTerminal(ctx, t); err != nil {
		return "", 0, fmt.Errorf("register terminal %s: %w", t.ID, err)
	}
	if err := tx.OpenEpoch(ctx, Epoch{
		Terminal: t.ID, Epoch: t.Epoch, Suite: r.Suite, PublicKey: r.PublicKey, Reason: c.Reason, OpenedMS: now,
	}); err != nil {
		return "", 0, fmt.Errorf("open epoch %d of %s: %w", t.Epoch, t.ID, err)
	}
	if err := tx.AppendEnrolment(ctx, hash, r.PublicKey, r.NATSKey, t.ID, t.Epoch); err != nil {
		return "", 0, fmt.Errorf("note enrolment: %w", err)
	}
	return t.ID, t.Epoch, tx.Audit(ctx, c.By, "terminal_enrolled", t.ID,
		fmt.Sprintf("epoch %d reason %s key %s", t.Epoch, c.Reason, dcep.Fingerprint(r.PublicKey)))
}

// place finds the terminal that the code is for, or names a new one.
func (f *Fleet) place(ctx context.Context, tx Tx, c Code, r wire.EnrolRequest, now int64) (Terminal, error) {
	if c.Terminal != "" {
		t, err := find(ctx, tx, c.Terminal)
		if err != nil {
			return t, err
		}
		t.Epoch++
		t.NATSKey = r.NATSKey
		if t.State == Quarantined { // the person who issued the code has decided
			t.State, t.Reason = Active, ""
		}
		return t, nil
	}
	shop, found, err := tx.Shop(ctx, c.Shop)
	if err != nil || !found {
		return Terminal{}, errors.Join(err, pos.NewError(pos.ErrNotFound, fmt.Errorf("no store %q", c.Shop)))
	}
	number, err := tx.CountTerminal(ctx, shop.ID)
	if err != nil {
		return Terminal{}, fmt.Errorf("number a terminal of %s: %w", shop.ID, err)
	}
	return Terminal{
		ID: fmt.Sprintf("%s-%03d", shop.ID, number), Merchant: shop.Merchant, Shop: shop.ID, Env: f.cfg.Env,
		Class: r.Class, NATSKey: r.NATSKey, Epoch: 1, State: Active, EnrolledMS: now,
	}, nil
}

// ownKeys refuses keys that another terminal has: two boxes with one key are a clone.
func (f *Fleet) ownKeys(ctx context.Context, tx Tx, terminal string, r wire.EnrolRequest) error {
	owner, found, err := tx.KeyOwner(ctx, r.PublicKey)
	if err != nil {
		return fmt.Errorf("find owner of key: %w", err)
	}
	if found && owner != terminal {
		return pos.FieldError(pos.ErrKeyConflict, "public_key", fmt.Errorf("terminal %s has this key", owner))
	}
	other, found, err := tx.TerminalByNATSKey(ctx, r.NATSKey)
	if err != nil {
		return fmt.Errorf("find owner of NATS key: %w", err)
	}
	if found && other.ID != terminal {
		return pos.FieldError(pos.ErrKeyConflict, "nats_key", fmt.Errorf("terminal %s has this key", other.ID))
	}
	return nil
}

func (f *Fleet) answer(ctx context.Context, tx Tx, terminal string, epoch uint32) (wire.EnrolAnswer, error) {
	t, err := find(ctx, tx, terminal)
	if err != nil {
		return wire.EnrolAnswer{}, err
	}
	shop, _, err := tx.Shop(ctx, t.Shop)
	if err != nil {
		return wire.EnrolAnswer{}, fmt.Errorf("find store %s: %w", t.Shop, err)
	}
	covering, err := Covering(ctx, tx, t.Shop, t.ID, f.cfg.Now().UnixMilli())
	if err != nil {
		return wire.EnrolAnswer{}, err
	}
	var policies []dcep.Sealed
	for _, r := range covering {
		policies = append(policies, r.Sealed)
	}
	return wire.EnrolAnswer{
		Terminal: t.ID, Merchant: t.Merchant, Store: t.Shop, StoreName: shop.Name, Epoch: epoch,
		CentreKey: f.cfg.CentreKey, Suite: f.cfg.CentreSuite, NATSURL: f.cfg.NATSURL,
		Policies: policies, Trust: f.Trust(), CentreMS: f.cfg.Now().UnixMilli(),
	}, nil
}
