package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/agent/identity"
	"dcpos/internal/cli"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/pos/dcep/salvage"
)

// tillFolder is a data folder with one payment whose state is given, nothing of it receipted.
type tillFolder struct {
	dir    string
	centre dcep.Signer
	till   dcep.Signer
	id     pos.PaymentID
}

func newFolder(t *testing.T, state pos.State) *tillFolder {
	t.Helper()
	suite, err := dcep.SuiteByName(dcep.SM2SM3)
	if err != nil {
		t.Fatal(err)
	}
	f := &tillFolder{dir: t.TempDir(), id: pos.PaymentID{1}}
	if f.centre, err = suite.Generate(); err != nil {
		t.Fatal(err)
	}
	folder := identity.Folder(f.dir)
	keys, err := folder.Keys(suite, identity.FileKeeper{})
	if err != nil {
		t.Fatal(err)
	}
	f.till = keys.Journal
	id := identity.Identity{Env: pos.Lab, Terminal: "T-1", Epoch: 1, CentreKey: f.centre.Public(), Suite: dcep.SM2SM3}
	if err := folder.Save(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s, err := offline.Create(t.Context(), f.config(), pos.EpochOpened{Reason: pos.EpochEnrolled}, 1, pos.Instant{}, "2026-11-21")
	if err != nil {
		t.Fatal(err)
	}
	d := pos.Draft{Kind: pos.KindPaymentCreated, Payment: f.id, Operator: "1001", BusinessDate: "2026-11-21", Body: pos.PaymentCreated{
		OrderID: "o", OrderAmount: 1250, Amount: 1250, Mode: pos.BScanC, Caller: "screen", Key: "k", BodyHash: "h", Attempt: 1,
	}}
	drafts := []pos.Draft{d}
	for from := pos.Created; from != state; {
		to := pos.Asking
		if from == pos.Asking {
			to = state
		}
		d.Kind, d.Body = pos.KindPaymentMoved, pos.PaymentMoved{From: from, To: to, Source: "till", Institution: "ICBC"}
		drafts, from = append(drafts, d), to
	}
	if _, err := s.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return drafts, nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *tillFolder) config() offline.Config {
	return offline.Config{Path: identity.Folder(f.dir).Journal(), Signer: f.till, Env: pos.Lab, Terminal: "T-1"}
}

// receipt writes the centre's receipt for everything, as poscentral take does.
func (f *tillFolder) receipt(t *testing.T) string {
	t.Helper()
	r, err := offline.Verify(t.Context(), identity.Folder(f.dir).Journal(), offline.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := offline.Open(t.Context(), f.config())
	if err != nil {
		t.Fatal(err)
	}
	box, err := s.Outbox(t.Context())
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	receipt := dcep.Receipt{Env: pos.Lab, Terminal: "T-1", Epoch: r.Epoch, Seq: r.LastSeq, Head: box.Head, CentreMS: 1, Generation: 1}
	if err := receipt.Sign(f.centre); err != nil {
		t.Fatal(err)
	}
	b, err := dcep.Marshal(receipt)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "receipt")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (f *tillFolder) run(t *testing.T, verb string, args ...string) (code int, said string) {
	t.Helper()
	t.Setenv("DCPOS_LANG", "en")
	var grammar struct {
		Till TillCmd `cmd:""`
	}
	var out bytes.Buffer
	all := append([]string{"till", verb, "--data", f.dir, "--socket", filepath.Join(f.dir, "no.sock")}, args...)
	code = cli.Main("posctl", "test", &grammar, all, &cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out})
	return code, out.String()
}

func (f *tillFolder) files(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestNothingRemovesUnsentMoney(t *testing.T) {
	f := newFolder(t, pos.Paid)
	before := f.files(t)
	for _, c := range [][]string{{"may-update"}, {"unenrol", "--yes"}, {"wipe", "--yes"}} {
		code, said := f.run(t, c[0], c[1:]...)
		if code != cli.Negative || !strings.Contains(said, "12.50") || !strings.Contains(said, "4 entries unsent") || !strings.Contains(said, "connect") {
			t.Errorf("%v: exit %d: %s", c, code, said)
		}
	}
	if after := f.files(t); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Fatalf("files were %v, are %v", before, after)
	}
	if code, said := f.run(t, "receipt", f.receipt(t)); code != cli.OK {
		t.Fatalf("receipt: exit %d: %s", code, said)
	}
	if code, said := f.run(t, "may-update"); code != cli.OK {
		t.Fatalf("may-update: exit %d: %s", code, said)
	}
	if code, said := f.run(t, "wipe"); code != cli.OK || !strings.Contains(said, "--yes") || len(f.files(t)) != len(before) {
		t.Fatalf("wipe without --yes: exit %d: %s", code, said)
	}
	if code, said := f.run(t, "unenrol", "--yes"); code != cli.OK {
		t.Fatalf("unenrol: exit %d: %s", code, said)
	}
	if _, err := os.Stat(identity.Folder(f.dir).Journal() + ".T-1-1"); err != nil {
		t.Fatalf("the journal is not kept: %v %v", err, f.files(t))
	}
}

func TestWipeLeavesNothing(t *testing.T) {
	f := newFolder(t, pos.Paid)
	if code, said := f.run(t, "receipt", f.receipt(t)); code != cli.OK {
		t.Fatalf("receipt: exit %d: %s", code, said)
	}
	if code, said := f.run(t, "wipe", "--yes"); code != cli.OK || len(f.files(t)) != 0 {
		t.Fatalf("wipe: exit %d: %s %v", code, said, f.files(t))
	}
}

func TestAPaymentWhoseOutcomeIsUnknownHoldsTheTill(t *testing.T) {
	f := newFolder(t, pos.Unknown)
	if code, said := f.run(t, "receipt", f.receipt(t)); code != cli.OK {
		t.Fatalf("receipt: exit %d: %s", code, said)
	}
	for _, verb := range []string{"may-update", "wipe", "unenrol"} {
		if code, said := f.run(t, verb); code != cli.Negative || !strings.Contains(said, "outcome is not known") {
			t.Errorf("%s: exit %d: %s", verb, code, said)
		}
	}
}

func TestADamagedOrForeignFolderIsNotWiped(t *testing.T) {
	for name, damage := range map[string]func(f *tillFolder) error{
		"a changed journal": func(f *tillFolder) error {
			return os.WriteFile(identity.Folder(f.dir).Journal(), bytes.Repeat([]byte("x"), 8192), 0o600)
		},
		"no identity": func(f *tillFolder) error { return os.Remove(filepath.Join(f.dir, "identity.json")) },
		"a journal aside": func(f *tillFolder) error {
			return os.WriteFile(identity.Folder(f.dir).Journal()+".epoch-1", nil, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t, pos.Paid)
			if code, said := f.run(t, "receipt", f.receipt(t)); code != cli.OK {
				t.Fatalf("receipt: exit %d: %s", code, said)
			}
			if err := damage(f); err != nil {
				t.Fatal(err)
			}
			before := f.files(t)
			if code, said := f.run(t, "wipe", "--yes"); code == cli.OK || len(f.files(t)) != len(before) {
				t.Fatalf("exit %d: %s %v", code, said, f.files(t))
			}
		})
	}
}

func TestAReceiptThatIsNotTheCentresIsRefused(t *testing.T) {
	f := newFolder(t, pos.Paid)
	genuine := f.centre
	f.centre = f.till
	path := f.receipt(t)
	f.centre = genuine
	if code, said := f.run(t, "receipt", path); code != cli.Negative {
		t.Fatalf("exit %d: %s", code, said)
	}
	if code, _ := f.run(t, "may-update"); code != cli.Negative {
		t.Fatal("a forged receipt let the till forget")
	}
}

func TestExportIsSignedByTheTillAndOpenedByTheCentre(t *testing.T) {
	f := newFolder(t, pos.Paid)
	out := filepath.Join(t.TempDir(), "out")
	code, said, errs := runJournal(t, "export", "--json", identity.Folder(f.dir).Journal(), out)
	var r offline.SalvageReport
	if err := json.Unmarshal([]byte(said), &r); code != cli.OK || err != nil || r.Entries != 4 {
		t.Fatalf("exit %d: %s %s %v", code, said, errs, err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("ICBC")) {
		t.Fatal("the entries can be read")
	}
	v, err := f.till.Suite().Verifier(f.till.Public())
	if err != nil {
		t.Fatal(err)
	}
	if h, err := salvage.CheckSealed(bytes.NewReader(data), f.till.Suite(), v); err != nil || h.Terminal != "T-1" {
		t.Fatalf("%+v %v", h, err)
	}
	plain, err := salvage.Unseal(bytes.NewReader(data), f.centre)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if end, err := salvage.Read(plain, func(pos.Entry) error { n++; return nil }); err != nil || n != 4 || len(end.Gaps) != 0 {
		t.Fatalf("%d entries %+v %v", n, end, err)
	}
	if code, _, _ := runJournal(t, "export", identity.Folder(f.dir).Journal(), out); code != cli.Usage {
		t.Errorf("over a file that is there: exit %d", code)
	}
	if err := os.Remove(filepath.Join(f.dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	if code, _, said := runJournal(t, "export", identity.Folder(f.dir).Journal(), out+"2"); code != cli.Negative || !strings.Contains(said, "--salvage") {
		t.Errorf("without a key: exit %d: %s", code, said)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "key.pem")); !errors.Is(err, os.ErrNotExist) {
		t.Error("export made a key")
	}
	if code, _, said := runJournal(t, "export", "--salvage", identity.Folder(f.dir).Journal(), out+"2"); code != cli.OK {
		t.Errorf("salvage without a key: exit %d: %s", code, said)
	}
}

func TestAReceiptsProof(t *testing.T) {
	f := newFolder(t, pos.Paid)
	s, err := offline.Open(t.Context(), f.config())
	if err != nil {
		t.Fatal(err)
	}
	slip, ok, err := s.Slip(t.Context(), f.id)
	if err = errors.Join(err, s.Close()); err != nil || !ok {
		t.Fatal(ok, err)
	}
	text, err := slip.Text()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: f.till.Public()}), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func(text string, args ...string) (int, string) {
		t.Setenv("DCPOS_LANG", "en")
		var grammar struct {
			Receipt ReceiptCmd `cmd:""`
		}
		var out bytes.Buffer
		code := cli.Main("posctl", "test", &grammar, append([]string{"receipt", "verify", "--key", key, text}, args...),
			&cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out})
		return code, out.String()
	}
	if code, said := verify("dcpos:pay:"+text, "--journal", identity.Folder(f.dir).Journal()); code != cli.OK || !strings.Contains(said, "12.50") {
		t.Fatalf("exit %d: %s", code, said)
	}
	for i := 0; i < len(text); i += 5 {
		b := []byte(text)
		if b[i] ^= 1; b[i] == '-'^1 && i < 36 {
			continue
		}
		if code, said := verify("dcpos:pay:" + string(b)); code == cli.OK {
			t.Errorf("byte %d changed: %s", i, said)
		}
	}
	other := newFolder(t, pos.Paid)
	if code, said := verify("dcpos:pay:"+text, "--journal", identity.Folder(other.dir).Journal()); code != cli.Negative {
		t.Errorf("in another journal: exit %d: %s", code, said)
	}
}
