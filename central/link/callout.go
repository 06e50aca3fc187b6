package link

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"dcpos/pos"
	"dcpos/sync/wire"
)

// calloutSubject is where a NATS server asks who a client is (NATS auth callout).
const calloutSubject = "$SYS.REQ.USER.AUTH"

// changedPrefix carries the names of terminals whose rights changed, among centres.
const changedPrefix = wire.Root + ".changed."

// calloutTime bounds one decision; the server waits 2 s by default.
const calloutTime = 1500 * time.Millisecond

// permitLife is how long a permission of an external cluster lasts: a connection that
// no centre remembers ends by then.
const permitLife = 15 * time.Minute

// gate lets terminals in, and out again. Tills are nkey users: they sign the
// server's nonce, and the gate verifies the signature against the registry, since in
// a delegated connection the server has not.
type gate struct {
	link *Link
	mu   sync.Mutex
	open map[string][]visit // by terminal, oldest first
}

// visit is one connection.
type visit struct {
	server string
	client uint64
	key    string // the nkey it came with
}

func (g *gate) listen() ([]*nats.Subscription, error) {
	ask, err := g.link.road.nc.QueueSubscribe(calloutSubject, "dcpos-gate", func(m *nats.Msg) {
		g.link.spawn(func() { g.decide(m) })
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to auth callout: %w", err)
	}
	changed, err := g.link.road.nc.Subscribe(changedPrefix+"*", func(m *nats.Msg) {
		terminal := strings.TrimPrefix(m.Subject, changedPrefix)
		g.link.spawn(func() { g.recheck(terminal) })
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to changes: %w", err)
	}
	return []*nats.Subscription{ask, changed}, nil
}

// decide answers one auth callout. An answer with an error refuses the connection.
func (g *gate) decide(m *nats.Msg) {
	ctx, cancel := context.WithTimeout(g.link.ctx, calloutTime)
	defer cancel()
	request, err := jwt.DecodeAuthorizationRequestClaims(string(m.Data))
	if err != nil {
		g.link.log.WarnContext(ctx, "auth callout is not readable", "err", err)
		return
	}
	answer := jwt.NewAuthorizationResponseClaims(request.UserNkey)
	answer.Audience = request.Server.ID
	guest, err := g.admit(ctx, request)
	if err == nil {
		answer.Jwt, err = g.permit(request.UserNkey, guest)
	}
	if err != nil {
		answer.Error = "not admitted"
		g.link.log.WarnContext(ctx, "connection refused", "host", request.ClientInformation.Host, "err", err)
	}
	token, err := answer.Encode(g.link.road.issuer)
	if err == nil {
		err = m.Respond([]byte(token))
	}
	if err != nil {
		g.link.log.WarnContext(ctx, "auth callout is not answered", "err", err)
		return
	}
	if answer.Error == "" && guest.terminal {
		terminal := guest.name
		g.note(ctx, terminal, visit{request.Server.ID, request.ClientInformation.ID, request.ConnectOptions.Nkey})
		g.recheck(terminal) // a suspension during the decision is not missed
	}
}

// guest is who was let in, and the subjects that it may use.
type guest struct {
	name               string
	terminal           bool // else a worker of reconciliations
	publish, subscribe []string
}

// admit finds the terminal or the worker that the client proves to be.
func (g *gate) admit(ctx context.Context, request *jwt.AuthorizationRequestClaims) (guest, error) {
	key := request.ConnectOptions.Nkey
	if err := proven(key, request); err != nil {
		return guest{}, err
	}
	if slices.Contains(g.link.cfg.Workers, key) {
		publish, subscribe := workerPermissions(key)
		return guest{"worker " + key, false, publish, subscribe}, nil
	}
	terminal, err := g.terminal(ctx, key)
	publish, subscribe := wire.Permissions(terminal)
	return guest{terminal, true, publish, subscribe}, err
}

// proven verifies that the client holds the key it names.
func proven(key string, request *jwt.AuthorizationRequestClaims) error {
	user, err := nkeys.FromPublicKey(key)
	if err != nil || !nkeys.IsValidPublicUserKey(key) {
		return errors.New("no nkey user")
	}
	sig, err := base64.RawURLEncoding.DecodeString(request.ConnectOptions.SignedNonce)
	if err != nil {
		// Older clients sign in the standard alphabet; the server takes both.
		if sig, err = base64.StdEncoding.DecodeString(request.ConnectOptions.SignedNonce); err != nil {
			return fmt.Errorf("signed nonce: %w", err)
		}
	}
	if request.ClientInformation.Nonce == "" {
		return errors.New("the server sent no nonce")
	}
	if err := user.Verify([]byte(request.ClientInformation.Nonce), sig); err != nil {
		return fmt.Errorf("nonce of %s: %w", key, err)
	}
	return nil
}

func (g *gate) terminal(ctx context.Context, key string) (string, error) {
	var terminal Terminal
	err := g.link.store.Read(ctx, func(r Reader) error {
		var found bool
		var err error
		if terminal, found, err = r.TerminalByNATSKey(ctx, key); err == nil && !found {
			err = fmt.Errorf("key %s is not registered", key)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if terminal.Suspended {
		return "", pos.NewError(pos.ErrForbidden, fmt.Errorf("terminal %s is suspended", terminal.ID))
	}
	return terminal.ID, nil
}

// permit signs exactly the guest's subjects for the connection: a terminal's are
// wire.Permissions.
func (g *gate) permit(userNkey string, of guest) (string, error) {
	user := jwt.NewUserClaims(userNkey)
	user.Name = of.name
	user.Audience = g.link.road.conveyor.Account
	user.Pub.Allow.Add(of.publish...)
	user.Sub.Allow.Add(of.subscribe...)
	user.Limits.Payload = maxPayload
	user.Subs = 64
	if g.link.road.server == nil { // another centre, or this one before a restart, let it in
		user.Expires = time.Now().Add(permitLife).Unix()
	}
	token, err := user.Encode(g.link.road.issuer)
	if err != nil {
		return "", fmt.Errorf("sign permission of %s: %w", of.name, err)
	}
	return token, nil
}

// maxVisits bounds a terminal's connections; the oldest is cut for one more.
const maxVisits = 16

func (g *gate) note(ctx context.Context, terminal string, v visit) {
	g.mu.Lock()
	visits := append(g.open[terminal], v)
	var oldest *visit
	if len(visits) > maxVisits {
		oldest, visits = &visits[0], visits[1:]
	}
	g.open[terminal] = visits
	g.mu.Unlock()
	if oldest != nil {
		g.cutOrWarn(ctx, terminal, *oldest)
	}
}

// recheck cuts the terminal's connections that would not be let in now.
func (g *gate) recheck(id string) {
	ctx, cancel := context.WithTimeout(g.link.ctx, calloutTime)
	defer cancel()
	g.mu.Lock()
	visits := slices.Clone(g.open[id])
	g.mu.Unlock()
	for _, v := range visits {
		err := g.link.store.Read(ctx, func(r Reader) error {
			t, found, err := r.TerminalByNATSKey(ctx, v.key)
			if err == nil && (!found || t.ID != id || t.Suspended) {
				err = errNotAdmitted
			}
			return err
		})
		if !errors.Is(err, errNotAdmitted) {
			continue
		}
		g.cutOrWarn(ctx, id, v)
		g.mu.Lock()
		g.open[id] = slices.DeleteFunc(g.open[id], func(o visit) bool { return o == v })
		g.mu.Unlock()
	}
}

func (g *gate) cutOrWarn(ctx context.Context, terminal string, v visit) {
	if err := g.cut(ctx, v); err != nil {
		g.link.log.WarnContext(ctx, "connection is not cut", "terminal", terminal, "err", err)
	}
}

var errNotAdmitted = errors.New("not admitted any longer")

func (g *gate) cut(ctx context.Context, v visit) error {
	switch {
	case g.link.road.server != nil:
		_ = g.link.road.server.DisconnectClientByID(v.client) // it may be gone by itself
		return nil
	case g.link.road.system != nil:
		body, err := json.Marshal(map[string]uint64{"cid": v.client})
		if err != nil {
			return err
		}
		_, err = g.link.road.system.RequestWithContext(ctx, "$SYS.REQ.SERVER."+v.server+".KICK", body)
		return err
	}
	return nil // its permission runs out
}
