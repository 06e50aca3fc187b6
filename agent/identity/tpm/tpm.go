package tpm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/go-tpm/tpm2"

	"dcpos/internal/secret"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// DefaultDevice is the kernel's resource manager, which several programs may use at once.
const DefaultDevice = "/dev/tpmrm0"

// File is where the blob lies in the data folder, mode 0600.
const File = "key.tpm"

// Keeper keeps the journal key in a TPM. It implements identity.Keeper.
type Keeper struct {
	Device string // DefaultDevice, or the socket of a software TPM
	// PIN is the key's authorization; nil is none. Wrong ones are counted by the TPM itself, which locks.
	PIN []byte
	// Sealed keeps the key as sealed data: for a TPM without SM2, or another suite.
	Sealed bool
}

// blob is the file: what this TPM needs to use the key again, and the public key that it must turn out to be.
type blob struct {
	Form      int    `json:"form"` // 1
	Kind      string `json:"kind"` // "sm2" or "sealed"
	PublicKey []byte `json:"public_key"`
	Public    []byte `json:"public"`            // TPM2B_PUBLIC
	Private   []byte `json:"private"`           // TPM2B_PRIVATE, encrypted by the TPM
	Wrapped   []byte `json:"wrapped,omitempty"` // kind sealed: PKCS #8 by AES-256-GCM under what the TPM keeps
}

// The kinds of blob.
const (
	kindSM2    = "sm2"
	kindSealed = "sealed"
)

func (k Keeper) kind() string {
	if k.Sealed {
		return kindSealed
	}
	return kindSM2
}

// Key opens the folder's key, making it durably the first time. Errors are pos.ErrKeyDevice, with a text that
// says what is wrong (no TPM, another or a cleared TPM, wrong PIN, locked, no SM2) and what to do.
func (k Keeper) Key(folder string, suite dcep.Suite) (dcep.Signer, error) {
	if !k.Sealed && suite.Name() != dcep.SM2SM3 {
		return nil, trouble(noSuite, fmt.Errorf("key in the TPM with suite %s", suite.Name()))
	}
	path := filepath.Join(folder, File)
	b, err := k.read(path)
	if err != nil {
		return nil, err
	}
	c, err := connect(k.Device)
	if err != nil {
		return nil, err
	}
	if b == nil {
		err = c.room(func() (err error) {
			b, err = k.make(c, suite)
			return err
		})
		if err == nil {
			err = write(path, *b)
		}
	}
	if err != nil {
		return nil, errors.Join(explain(err), c.drop())
	}
	var signer dcep.Signer
	if k.Sealed {
		signer, err = k.unseal(c, *b)
		return signer, errors.Join(explain(err), c.drop())
	}
	if signer, err = k.open(c, *b); err != nil {
		return nil, errors.Join(explain(err), c.drop())
	}
	return signer, nil
}

func (k Keeper) read(path string) (*blob, error) {
	text, err := secret.Load(path, func() ([]byte, error) { return nil, fs.ErrNotExist })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // documented: no file yet
	}
	if err != nil {
		return nil, pos.NewError(pos.ErrConfig, err)
	}
	var b blob
	if err := json.Unmarshal(text, &b); err != nil || b.Form != 1 {
		return nil, trouble(badBlob, fmt.Errorf("%s: form %d: %w", path, b.Form, err))
	}
	if b.Kind != k.kind() {
		return nil, trouble(badBlob, fmt.Errorf("%s holds a key of kind %q, the configuration says %q", path, b.Kind, k.kind()))
	}
	return &b, nil
}

func write(path string, b blob) error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return secret.Save(path, append(text, '\n'))
}

// make makes a key, or seals one, under the TPM's storage key.
func (k Keeper) make(c *connection, suite dcep.Suite) (*blob, error) {
	b := blob{Form: 1, Kind: k.kind()}
	public, sensitive := sm2Template(), tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: k.PIN}}
	if k.Sealed {
		key, err := b.wrap(suite)
		if err != nil {
			return nil, err
		}
		public, sensitive.Data = sealedTemplate(), tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: key})
	}
	parent, err := c.parent()
	if err != nil {
		return nil, err
	}
	made, err := tpm2.Create{
		ParentHandle: parent, InPublic: tpm2.New2B(public), InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &sensitive},
	}.Execute(c.wire)
	if err != nil {
		return nil, errors.Join(err, c.flush(parent.Handle))
	}
	b.Public, b.Private = made.OutPublic.Bytes(), made.OutPrivate.Buffer
	if !k.Sealed {
		var signer dcep.Signer
		if signer, err = sm2Signer(made.OutPublic, nil); err == nil {
			b.PublicKey = signer.Public()
		}
	}
	return &b, errors.Join(err, c.flush(parent.Handle))
}

// wrap makes a key, keeps it encrypted, and gives what opens it: a TPM seals no more than 128 bytes.
func (b *blob) wrap(suite dcep.Suite) (key []byte, err error) {
	signer, err := suite.Generate()
	if err != nil {
		return nil, err
	}
	pem, err := dcep.MarshalKey(signer)
	if err != nil {
		return nil, err
	}
	key = make([]byte, 32)
	_, _ = rand.Read(key) // never returns an error
	gcm, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	b.PublicKey = signer.Public()
	b.Wrapped = gcm.Seal(nil, nil, pem, b.PublicKey)
	return key, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// load puts the key into the TPM and gives its handle.
func (b blob) load(c *connection) (at tpm2.NamedHandle, public tpm2.TPM2BPublic, err error) {
	err = c.room(func() (err error) {
		at, public, err = b.loadOnce(c)
		return err
	})
	return at, public, err
}

func (b blob) loadOnce(c *connection) (tpm2.NamedHandle, tpm2.TPM2BPublic, error) {
	public := tpm2.BytesAs2B[tpm2.TPMTPublic](b.Public)
	parent, err := c.parent()
	if err != nil {
		return tpm2.NamedHandle{}, public, err
	}
	loaded, err := tpm2.Load{
		ParentHandle: parent, InPrivate: tpm2.TPM2BPrivate{Buffer: b.Private}, InPublic: public,
	}.Execute(c.wire)
	if err != nil {
		return tpm2.NamedHandle{}, public, errors.Join(err, c.flush(parent.Handle))
	}
	return tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name}, public, c.flush(parent.Handle)
}

func (k Keeper) unseal(c *connection, b blob) (dcep.Signer, error) {
	at, _, err := b.load(c)
	if err != nil {
		return nil, err
	}
	data, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: at.Handle, Name: at.Name, Auth: tpm2.PasswordAuth(k.PIN)}}.Execute(c.wire)
	if err := errors.Join(err, c.flush(at.Handle)); err != nil {
		return nil, err
	}
	gcm, err := newGCM(data.OutData.Buffer)
	if err != nil {
		return nil, err
	}
	pem, err := gcm.Open(nil, nil, b.Wrapped, b.PublicKey)
	if err != nil {
		return nil, trouble(badBlob, err)
	}
	signer, err := dcep.ParseKey(pem)
	if err == nil && !bytes.Equal(signer.Public(), b.PublicKey) {
		err = trouble(badBlob, errors.New("the sealed key is not the one that the file names"))
	}
	return signer, err
}

// open loads the SM2 key and gives a signer that keeps it loaded.
func (k Keeper) open(c *connection, b blob) (dcep.Signer, error) {
	at, public, err := b.load(c)
	if err != nil {
		return nil, err
	}
	h := &held{keeper: k, blob: b, connection: c, handle: at.Handle}
	signer, err := sm2Signer(public, h.sign)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(signer.Public(), b.PublicKey) {
		return nil, trouble(badBlob, errors.New("the key in the TPM is not the one that the file names"))
	}
	if _, err := signer.Sign("dcpos-try-1", nil); err != nil { // a wrong PIN shows here, not at the first sale
		return nil, err
	}
	return signer, nil
}

func sm2Signer(public tpm2.TPM2BPublic, sign func([]byte) (r, s []byte, err error)) (dcep.Signer, error) {
	content, err := public.Contents()
	if err != nil {
		return nil, err
	}
	point, err := content.Unique.ECC()
	if err != nil {
		return nil, err
	}
	return dcep.SM2Device(point.X.Buffer, point.Y.Buffer, sign)
}

// held is a key that is loaded. Commands go one after another; a TPM that was away, or restarted, is connected
// and the key loaded again once per signature.
type held struct {
	keeper Keeper
	blob   blob

	mu         sync.Mutex
	connection *connection
	handle     tpm2.TPMHandle
}

func (h *held) sign(digest []byte) (r, s []byte, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.connection != nil {
		r, s, err = signSM2(h.connection.wire, h.handle, h.keeper.PIN, digest)
		if err == nil || !gone(err) {
			return r, s, explain(err)
		}
		_ = h.connection.drop() // it does not answer any more
		h.connection = nil
	}
	c, err := connect(h.keeper.Device)
	if err != nil {
		return nil, nil, err
	}
	at, _, err := h.blob.load(c)
	if err != nil {
		return nil, nil, errors.Join(explain(err), c.drop())
	}
	h.connection, h.handle = c, at.Handle
	r, s, err = signSM2(c.wire, h.handle, h.keeper.PIN, digest)
	return r, s, explain(err)
}

// gone tells that the connection or the loaded key is lost: no answer, or a handle that the TPM does not know.
func gone(err error) bool {
	code, answered := errors.AsType[tpm2.TPMRC](err)
	return !answered || code.Is(tpm2.TPMRCHandle) || code.Is(tpm2.TPMRCReferenceH0) || code.Is(tpm2.TPMRCInitialize)
}

// connection is an open TPM.
type connection struct{ *wire }

func connect(path string) (*connection, error) {
	w, err := dial(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, trouble(noTPM, err)
	case errors.Is(err, os.ErrPermission):
		return nil, trouble(noAccess, err)
	case err != nil:
		return nil, trouble(noTPM, err)
	}
	return &connection{w}, nil
}

func (c *connection) drop() error { return c.Close() }

// parent makes the TPM's storage key: the same one each time, until the TPM is cleared.
func (c *connection) parent() (tpm2.NamedHandle, error) {
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(c.wire)
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	return tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, nil
}

// room does what needs room for keys. A TPM without a resource manager that is full of keys of programs that were
// killed is emptied and asked once more; whoever else uses it loads its key again (held.sign).
func (c *connection) room(do func() error) error {
	err := do()
	if errors.Is(err, tpm2.TPMRCObjectMemory) {
		if err = c.empty(); err == nil {
			err = do()
		}
	}
	return err
}

// transients is the first handle of loaded keys (TPM 2.0 part 2, 7.2, HR_TRANSIENT).
const transients, maxHandles = 0x80000000, 64

func (c *connection) empty() error {
	list, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: transients, PropertyCount: maxHandles}.Execute(c.wire)
	if err != nil {
		return err
	}
	handles, err := list.CapabilityData.Data.Handles()
	if err != nil {
		return err
	}
	for _, h := range handles.Handle {
		if err := c.flush(h); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) flush(h tpm2.TPMHandle) error {
	_, err := tpm2.FlushContext{FlushHandle: h}.Execute(c.wire)
	return err
}

// sm2Template is a signing key on the SM2 curve that never leaves this TPM. Wrong PINs are counted.
func sm2Template() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, SignEncrypt: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCSM2P256}),
	}
}

func sealedTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true},
	}
}
