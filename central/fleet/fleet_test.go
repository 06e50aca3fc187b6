package fleet_test

import (
	"crypto/rand"
	"encoding/base32"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/fleet"
	"dcpos/central/store"
	"dcpos/internal/testpg"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// centreKey is the key that signs policies.
func centreKey(t *testing.T) dcep.Signer {
	t.Helper()
	suite, err := dcep.SuiteByName(dcep.SM2SM3)
	if err != nil {
		t.Fatal(err)
	}
	key, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// each runs a body with a fleet of one merchant and one store, on both engines.
func each(t *testing.T, body func(t *testing.T, f *fleet.Fleet, c *clock)) {
	t.Helper()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			url := "sqlite:" + filepath.Join(t.TempDir(), "centre.db")
			if engine == "postgres" {
				url = testpg.Start(t)
			}
			c := &clock{now: time.UnixMilli(1_612_900_000_000)}
			s, err := store.Open(t.Context(), store.Config{URL: url, Now: c.Now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			f := fleet.New(fleet.Config{Store: s.Fleet(), Env: pos.Lab, NATSURL: "nats://x", Now: c.Now, Signer: centreKey(t)})
			if err := f.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := f.AddMerchant(t.Context(), fleet.Merchant{ID: "m1", Name: pos.Text{ZH: "商户", EN: "merchant"}}, "op"); err != nil {
				t.Fatal(err)
			}
			if err := f.AddShop(t.Context(), fleet.Shop{ID: "wfj", Merchant: "m1", Name: pos.Text{ZH: "店", EN: "store"}}, "op"); err != nil {
				t.Fatal(err)
			}
			body(t, f, c)
		})
	}
}

// TestATillIsNotToldAPortThatChanges: it would look for the centre where it never is.
func TestATillIsNotToldAPortThatChanges(t *testing.T) {
	f := fleet.New(fleet.Config{Env: pos.Lab, NATSURL: "nats://127.0.0.1:0"})
	_, err := f.Enrol(t.Context(), newDevice(t, dcep.Ed25519SHA256).request(t, "A1B2-C3D4"))
	if pos.CodeOf(err) != pos.ErrConfig || !strings.Contains(err.Error(), "nats.advertise") {
		t.Errorf("enrolled: %v", err)
	}
}

type device struct {
	signer  dcep.Signer
	natsKey string
}

func newDevice(t *testing.T, suiteName string) device {
	t.Helper()
	suite, err := dcep.SuiteByName(suiteName)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 35)
	_, _ = rand.Read(random)
	return device{signer, "U" + base32.StdEncoding.EncodeToString(random)[:55]}
}

func (d device) request(t *testing.T, code string) wire.EnrolRequest {
	t.Helper()
	proof, err := d.signer.Sign(wire.DomainEnrol, append([]byte(code+"\x00"), d.signer.Public()...))
	if err != nil {
		t.Fatal(err)
	}
	return wire.EnrolRequest{
		Code: code, Env: pos.Lab, Class: "counter", Suite: d.signer.Suite().Name(),
		PublicKey: d.signer.Public(), NATSKey: d.natsKey, Proof: proof,
	}
}

func issue(t *testing.T, f *fleet.Fleet, r fleet.CodeRequest) string {
	t.Helper()
	r.By = "op"
	code, _, err := f.IssueCode(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestEnrolOnce(t *testing.T) {
	each(t, func(t *testing.T, f *fleet.Fleet, c *clock) {
		t.Helper()
		code := issue(t, f, fleet.CodeRequest{Shop: "wfj"})
		if len(strings.ReplaceAll(code, "-", "")) != 8 {
			t.Fatalf("code %q", code)
		}
		d := newDevice(t, dcep.SM2SM3)
		first, err := f.Enrol(t.Context(), d.request(t, code))
		if err != nil {
			t.Fatal(err)
		}
		if first.Terminal != "wfj-001" || first.Merchant != "m1" || first.Epoch != 1 || len(first.Policies) != 1 {
			t.Fatalf("%+v", first)
		}
		c.add(3 * time.Hour) // the answer was lost; a repeat is answered also after expiry
		again, err := f.Enrol(t.Context(), d.request(t, strings.ToLower(code)))
		if err != nil {
			t.Fatal(err)
		}
		first.CentreMS = again.CentreMS
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatal(diff)
		}
		if _, err := f.Enrol(t.Context(), newDevice(t, dcep.SM2SM3).request(t, code)); pos.CodeOf(err) != pos.ErrForbidden {
			t.Fatalf("a second device with a single code: %v", err)
		}
		e, err := f.Epoch(t.Context(), "wfj-001", 1)
		if err != nil || !cmp.Equal(e.PublicKey, d.signer.Public()) || e.Suite != dcep.SM2SM3 || e.Reason != pos.EpochEnrolled {
			t.Fatal(e, err)
		}
	})
}

func TestEnrolRefuses(t *testing.T) {
	each(t, func(t *testing.T, f *fleet.Fleet, c *clock) {
		t.Helper()
		good := newDevice(t, dcep.Ed25519SHA256)
		other := newDevice(t, dcep.Ed25519SHA256)
		code := issue(t, f, fleet.CodeRequest{Shop: "wfj", Class: "counter", Devices: 5})
		if _, err := f.Enrol(t.Context(), other.request(t, code)); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			change func(r *wire.EnrolRequest)
			want   pos.Code
		}{
			"live device":     {func(r *wire.EnrolRequest) { r.Env = pos.Live }, pos.ErrEnvironment},
			"unknown class":   {func(r *wire.EnrolRequest) { r.Class = "toaster" }, pos.ErrBadRequest},
			"other class":     {func(r *wire.EnrolRequest) { r.Class = "sdk" }, pos.ErrBadRequest},
			"bad proof":       {func(r *wire.EnrolRequest) { r.Proof[3] ^= 1 }, pos.ErrForbidden},
			"other suite":     {func(r *wire.EnrolRequest) { r.Suite = dcep.SM2SM3 }, pos.ErrBadRequest},
			"no suite":        {func(r *wire.EnrolRequest) { r.Suite = "x" }, pos.ErrBadRequest},
			"foreign proof":   {func(r *wire.EnrolRequest) { r.PublicKey = other.signer.Public() }, pos.ErrForbidden},
			"nats wildcard":   {func(r *wire.EnrolRequest) { r.NATSKey = ">" }, pos.ErrBadRequest},
			"cloned keys":     {func(r *wire.EnrolRequest) { *r = other.request(t, r.Code); r.NATSKey = good.natsKey }, pos.ErrKeyConflict},
			"cloned nats key": {func(r *wire.EnrolRequest) { r.NATSKey = other.natsKey }, pos.ErrKeyConflict},
			"unknown code":    {func(r *wire.EnrolRequest) { *r = good.request(t, "0000-0000") }, pos.ErrForbidden},
		} {
			r := good.request(t, code)
			c.change(&r)
			if _, err := f.Enrol(t.Context(), r); pos.CodeOf(err) != c.want {
				t.Errorf("%s: got %v, want %s", name, err, c.want)
			}
		}
		c.add(fleet.CodeLife)
		if _, err := f.Enrol(t.Context(), good.request(t, code)); pos.CodeOf(err) != pos.ErrForbidden {
			t.Errorf("expired: %v", err)
		}
		if list, err := f.List(t.Context(), "", 10); err != nil || len(list) != 1 {
			t.Errorf("refused requests left terminals: %v %v", list, err)
		}
	})
}

// TestBatchCode: N devices at once share a code, the N+1st is refused, names are unique.
func TestBatchCode(t *testing.T) {
	each(t, func(t *testing.T, f *fleet.Fleet, _ *clock) {
		t.Helper()
		code := issue(t, f, fleet.CodeRequest{Shop: "wfj", Devices: 6})
		var group sync.WaitGroup
		var mu sync.Mutex
		names, refused := map[string]int{}, 0
		for range 9 {
			r := newDevice(t, dcep.Ed25519SHA256).request(t, code)
			group.Go(func() {
				for range 2 { // each repeats itself
					a, err := f.Enrol(t.Context(), r)
					mu.Lock()
					if err != nil {
						refused++
					} else {
						names[a.Terminal]++
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if len(names) != 6 || refused != 6 {
			t.Fatalf("names %v, refused %d", names, refused)
		}
		for name, n := range names {
			if n != 2 {
				t.Errorf("%s given %d times, want 2", name, n)
			}
		}
	})
}

func TestNextEpoch(t *testing.T) {
	each(t, func(t *testing.T, f *fleet.Fleet, _ *clock) {
		t.Helper()
		old := newDevice(t, dcep.SM2SM3)
		a, err := f.Enrol(t.Context(), old.request(t, issue(t, f, fleet.CodeRequest{Shop: "wfj"})))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Quarantine(t.Context(), a.Terminal, "fork", "system"); err != nil {
			t.Fatal(err)
		}
		code := issue(t, f, fleet.CodeRequest{Terminal: a.Terminal, Reason: pos.EpochForked})
		fresh := newDevice(t, dcep.Ed25519SHA256)
		b, err := f.Enrol(t.Context(), fresh.request(t, code))
		if err != nil {
			t.Fatal(err)
		}
		if b.Terminal != a.Terminal || b.Epoch != 2 {
			t.Fatalf("%+v", b)
		}
		term, err := f.Terminal(t.Context(), a.Terminal)
		if err != nil || term.State != fleet.Active || term.NATSKey != fresh.natsKey || term.Epoch != 2 {
			t.Fatal(term, err)
		}
		first, err := f.Epoch(t.Context(), a.Terminal, 1)
		if err != nil || first.ClosedMS == 0 || first.Suite != dcep.SM2SM3 {
			t.Fatal(first, err)
		}
		if _, err := f.ByNATSKey(t.Context(), old.natsKey); pos.CodeOf(err) != pos.ErrNotFound {
			t.Fatalf("the old connection key is still known: %v", err)
		}
	})
}
