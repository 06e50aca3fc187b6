package tpm_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"dcpos/agent/identity"
	"dcpos/agent/identity/tpm"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// chip is a software TPM (Debian's swtpm) with a state that outlives its process.
type chip struct {
	state, socket string
	cmd           *exec.Cmd
}

func newChip(t *testing.T) *chip {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm") //nolint:usetesting // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &chip{state: dir, socket: filepath.Join(dir, "s")}
	c.start(t)
	t.Cleanup(func() { c.stop(t) })
	return c
}

func (c *chip) start(t *testing.T) {
	t.Helper()
	_ = os.Remove(c.socket)
	//nolint:gosec // the paths are ours
	c.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+c.state,
		"--server", "type=unixio,path="+c.socket, "--ctrl", "type=unixio,path="+c.socket+".ctrl", "--flags", "not-need-init,startup-clear")
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("swtpm (tools/setup.sh installs it): %v", err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := new(net.Dialer).DialContext(t.Context(), "unix", c.socket); err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal("swtpm does not listen")
		}
	}
}

func (c *chip) stop(t *testing.T) {
	t.Helper()
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	c.cmd = nil
}

// clear makes it a factory-new TPM: other seeds, as after TPM2_Clear.
func (c *chip) clear(t *testing.T) {
	t.Helper()
	c.stop(t)
	if err := os.Remove(filepath.Join(c.state, "tpm2-00.permall")); err != nil {
		t.Fatal(err)
	}
	c.start(t)
}

func suite(t *testing.T, name string) dcep.Suite {
	t.Helper()
	s, err := dcep.SuiteByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check signs, and verifies by the public key alone.
func check(t *testing.T, s dcep.Signer) {
	t.Helper()
	sig, err := s.Sign("dcpos-test-1", []byte("a message"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Suite().Verifier(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Verify("dcpos-test-1", []byte("a message"), sig); err != nil {
		t.Fatal(err)
	}
	if err := v.Verify("dcpos-test-2", []byte("a message"), sig); !errors.Is(err, dcep.ErrSignature) {
		t.Fatalf("under another domain: %v", err)
	}
}

// refused wants a pos.ErrKeyDevice whose English sentence holds the words.
func refused(t *testing.T, err error, words string) {
	t.Helper()
	e, ok := errors.AsType[*pos.Error](err)
	if !ok || e.Code != pos.ErrKeyDevice || !bytes.Contains([]byte(e.Text.EN), []byte(words)) || e.Hint.ZH == "" || e.Hint.EN == "" {
		t.Fatalf("got %v (%+v), want %s: …%s…", err, e, pos.ErrKeyDevice, words)
	}
}

func TestTheKeyIsMadeInTheTPMAndStays(t *testing.T) {
	c, folder := newChip(t), t.TempDir()
	keeper := tpm.Keeper{Device: c.socket, PIN: []byte("4711")}
	first, err := keeper.Key(folder, suite(t, dcep.SM2SM3))
	if err != nil {
		t.Fatal(err)
	}
	check(t, first)
	if _, err := dcep.MarshalKey(first); !errors.Is(err, dcep.ErrInDevice) {
		t.Fatalf("the private key can be read: %v", err)
	}
	info, err := os.Stat(filepath.Join(folder, tpm.File))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	again, err := keeper.Key(folder, suite(t, dcep.SM2SM3))
	if err != nil || !bytes.Equal(first.Public(), again.Public()) {
		t.Fatalf("another key: %v", err)
	}
	check(t, again)
}

func TestATPMThatRestartsSignsAgain(t *testing.T) {
	c, folder := newChip(t), t.TempDir()
	signer, err := tpm.Keeper{Device: c.socket}.Key(folder, suite(t, dcep.SM2SM3))
	if err != nil {
		t.Fatal(err)
	}
	check(t, signer)
	c.stop(t)
	if _, err := signer.Sign("dcpos-test-1", nil); err == nil {
		t.Fatal("signed without a TPM")
	} else {
		refused(t, err, "TPM")
	}
	c.start(t)
	check(t, signer)
}

func TestManyProgramsThatWereKilledDoNotFillTheTPM(t *testing.T) {
	c, folder := newChip(t), t.TempDir()
	for range 8 { // a TPM without a resource manager holds three keys; none of these is ever flushed
		signer, err := tpm.Keeper{Device: c.socket}.Key(folder, suite(t, dcep.SM2SM3))
		if err != nil {
			t.Fatal(err)
		}
		check(t, signer)
	}
}

func TestWhatCanBeWrongIsToldWithWhatToDo(t *testing.T) {
	c, folder := newChip(t), t.TempDir()
	right := tpm.Keeper{Device: c.socket, PIN: []byte("4711")}
	sm2 := suite(t, dcep.SM2SM3)
	if _, err := right.Key(folder, sm2); err != nil {
		t.Fatal(err)
	}
	_, err := tpm.Keeper{Device: filepath.Join(folder, "nothing")}.Key(folder, sm2)
	refused(t, err, "no TPM")
	_, err = tpm.Keeper{Device: c.socket, PIN: []byte("4712")}.Key(folder, sm2)
	refused(t, err, "PIN")
	_, err = tpm.Keeper{Device: c.socket, PIN: []byte("4711"), Sealed: true}.Key(folder, sm2)
	refused(t, err, "does not fit")
	_, err = right.Key(t.TempDir(), suite(t, dcep.Ed25519SHA256))
	refused(t, err, "no SM2")

	path := filepath.Join(folder, tpm.File)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = right.Key(folder, sm2)
	refused(t, err, "does not fit")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err = right.Key(folder, sm2); pos.CodeOf(err) != pos.ErrConfig {
		t.Fatalf("a key file that all may read: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	c.clear(t)
	_, err = right.Key(folder, sm2)
	refused(t, err, "cleared")
	if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, whole) {
		t.Fatalf("the file was changed: %v", err)
	}
}

func TestWrongPINsLockTheTPM(t *testing.T) {
	c, folder := newChip(t), t.TempDir()
	if _, err := (tpm.Keeper{Device: c.socket, PIN: []byte("4711")}).Key(folder, suite(t, dcep.SM2SM3)); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 64 { // TPM_PT_MAX_AUTH_FAIL differs
		_, err = tpm.Keeper{Device: c.socket, PIN: []byte("0000")}.Key(folder, suite(t, dcep.SM2SM3))
		if e, ok := errors.AsType[*pos.Error](err); ok && bytes.Contains([]byte(e.Text.EN), []byte("locked")) {
			return
		}
	}
	t.Fatalf("never locked: %v", err)
}

func TestAKeyOfEitherSuiteIsSealedToTheTPM(t *testing.T) {
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		t.Run(name, func(t *testing.T) {
			c, folder := newChip(t), t.TempDir()
			keeper := tpm.Keeper{Device: c.socket, PIN: []byte("4711"), Sealed: true}
			first, err := keeper.Key(folder, suite(t, name))
			if err != nil {
				t.Fatal(err)
			}
			again, err := keeper.Key(folder, suite(t, name))
			if err != nil || !bytes.Equal(first.Public(), again.Public()) {
				t.Fatalf("another key: %v", err)
			}
			check(t, again)
			keeper.PIN = []byte("4712")
			_, err = keeper.Key(folder, suite(t, name))
			refused(t, err, "PIN")
			c.clear(t)
			_, err = keeper.Key(folder, suite(t, name))
			refused(t, err, "cleared")
		})
	}
}

func TestAllKeysOfAFolderWithATPM(t *testing.T) {
	c, folder := newChip(t), identity.Folder(filepath.Join(t.TempDir(), "data"))
	keys, err := folder.Keys(suite(t, dcep.SM2SM3), tpm.Keeper{Device: c.socket})
	if err != nil {
		t.Fatal(err)
	}
	check(t, keys.Journal)
	if _, err := os.Stat(filepath.Join(string(folder), "key.pem")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a key in a file beside the TPM's: %v", err)
	}
}
