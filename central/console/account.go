package console

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"dcpos/pos"
)

// Role says what an account may do; a higher one may do what a lower one may.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // look
	Operator Role = "operator" // make enrolment codes
	Approver Role = "approver" // release from quarantine
)

// rank orders the roles; 0 is none.
func (r Role) rank() int {
	return 1 + slices.Index([]Role{Viewer, Operator, Approver}, r)
}

// Valid reports whether r is a role.
func (r Role) Valid() bool { return r.rank() > 0 }

// May reports that the role includes what the other may do.
func (r Role) May(other Role) bool { return r.Valid() && other.Valid() && r.rank() >= other.rank() }

// Text names the role for a person.
func (r Role) Text() pos.Text {
	switch r {
	case Viewer:
		return pos.Text{ZH: "查看", EN: "viewer"}
	case Operator:
		return pos.Text{ZH: "操作", EN: "operator"}
	case Approver:
		return pos.Text{ZH: "审批", EN: "approver"}
	}
	return pos.Text{ZH: string(r), EN: string(r)}
}

// Account is a person who may sign in.
type Account struct {
	Name     string
	Role     Role
	Hash     string // of the password, PHC string of argon2id
	Disabled bool
}

// Accounts keeps accounts. Changes are written into the audit trail in the same transaction.
type Accounts interface {
	// InsertAccount refuses a name that exists with pos.ErrKeyConflict.
	InsertAccount(ctx context.Context, a Account, by string) error
	// UpdateAccount replaces an account and ends its sessions; pos.ErrNotFound for an unknown one.
	UpdateAccount(ctx context.Context, a Account, by string) error
	// Account finds an account; the boolean tells whether there is one.
	Account(ctx context.Context, name string) (Account, bool, error)
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9._-]{1,31}$`)

// Bounds of a password, in characters and bytes.
const (
	minPassword = 12
	maxPassword = 256
)

// CreateAccount makes an account. by is who did it, for the audit trail. There is no
// default password, and none is made here.
func CreateAccount(ctx context.Context, s Accounts, name string, role Role, password, by string) error {
	if !nameForm.MatchString(name) {
		return pos.FieldError(pos.ErrBadRequest, "name", fmt.Errorf("want %s", nameForm))
	}
	if !role.Valid() {
		return pos.FieldError(pos.ErrBadRequest, "role", fmt.Errorf("%q: want viewer, operator or approver", role))
	}
	if err := checkPassword(name, password); err != nil {
		return err
	}
	hash, err := hashPassword(password, standard())
	if err != nil {
		return err
	}
	return s.InsertAccount(ctx, Account{Name: name, Role: role, Hash: hash}, by)
}

// SetPassword gives an account another password and ends its sessions.
func SetPassword(ctx context.Context, s Accounts, name, password, by string) error {
	a, err := known(ctx, s, name)
	if err != nil {
		return err
	}
	if err := checkPassword(name, password); err != nil {
		return err
	}
	if a.Hash, err = hashPassword(password, standard()); err != nil {
		return err
	}
	return s.UpdateAccount(ctx, a, by)
}

// Disable shuts an account and ends its sessions.
func Disable(ctx context.Context, s Accounts, name, by string) error {
	a, err := known(ctx, s, name)
	if err != nil {
		return err
	}
	a.Disabled = true
	return s.UpdateAccount(ctx, a, by)
}

func known(ctx context.Context, s Accounts, name string) (Account, error) {
	a, found, err := s.Account(ctx, name)
	if err == nil && !found {
		err = pos.FieldError(pos.ErrNotFound, "name", fmt.Errorf("no account %.32q", name))
	}
	return a, err
}

func checkPassword(name, password string) error {
	switch {
	case utf8.RuneCountInString(password) < minPassword || len(password) > maxPassword:
		return pos.FieldError(pos.ErrBadRequest, "password",
			fmt.Errorf("want %d characters or more, at most %d bytes", minPassword, maxPassword))
	case strings.Contains(strings.ToLower(password), name):
		return pos.FieldError(pos.ErrBadRequest, "password", errors.New("must not contain the name"))
	case strings.Count(password, password[:1]) == len(password):
		return pos.FieldError(pos.ErrBadRequest, "password", errors.New("must not be one letter"))
	}
	return nil
}
