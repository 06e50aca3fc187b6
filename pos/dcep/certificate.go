package dcep

import (
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"dcpos/pos"
)

// Certificates are X.509 (RFC 5280; SM2 per GM/T 0015) in three steps: root →
// institution → wallet. Subject: CN the name, O the institution's code, OU the
// environment. A lab certificate never verifies in a live build, and a wallet's O
// must be its issuer's O: one institution cannot speak for another's wallets. A wallet's
// serialNumber attribute (X.520, 6.2.9) is "class-N" where it tells its class, 1 to 4.

// ErrCertificate is the parent of every finding about a certificate.
var ErrCertificate = errors.New("certificate not accepted")

// Template says what a certificate is to say.
type Template struct {
	Env         pos.Environment
	Name        string // CN
	Institution string // O; empty for a root
	Authority   bool   // may issue certificates
	Tier        int    // of a wallet: its class, 1 to 4; 0 tells none
	From, Until time.Time
}

// Certify issues a certificate for the public key (PKIX DER), signed by issuer's
// key. A nil issuerDER makes a self-signed root; public is then the issuer's own.
func Certify(t Template, public []byte, issuer Signer, issuerDER []byte) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("draw serial: %w", err)
	}
	key, err := smx509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("certify %s: %w", t.Name, err)
	}
	template := &smx509.Certificate{
		SerialNumber: serial, NotBefore: t.From.UTC(), NotAfter: t.Until.UTC(),
		Subject:  pkix.Name{CommonName: t.Name, OrganizationalUnit: []string{string(t.Env)}},
		IsCA:     t.Authority,
		KeyUsage: smx509.KeyUsageDigitalSignature, BasicConstraintsValid: t.Authority,
	}
	if t.Authority {
		template.KeyUsage = smx509.KeyUsageCertSign | smx509.KeyUsageCRLSign
	}
	if t.Tier != 0 {
		template.Subject.SerialNumber = tierName(t.Tier)
	}
	if t.Institution != "" {
		template.Subject.Organization = []string{t.Institution}
	}
	parent := template
	if issuerDER != nil {
		if parent, err = smx509.ParseCertificate(issuerDER); err != nil {
			return nil, fmt.Errorf("parse issuer: %w", err)
		}
	}
	if issuer.Private() == nil {
		return nil, ErrInDevice
	}
	der, err := smx509.CreateCertificate(rand.Reader, template, parent, key, issuer.Private())
	if err != nil {
		return nil, fmt.Errorf("certify %s: %w", t.Name, err)
	}
	return der, nil
}

// Trust is what a till believes: the roots, the institutions' certificates and the
// revoked serials, all of one environment. It comes signed from the centre.
type Trust struct {
	Env          pos.Environment `json:"env"`
	Roots        [][]byte        `json:"roots"`        // DER
	Institutions [][]byte        `json:"institutions"` // DER
	Revoked      []string        `json:"revoked"`      // serials as WalletSerial gives them
	IssuedMS     int64           `json:"issued_ms"`    // when the centre last said so
}

// WalletCertificate is a wallet's certificate that has been verified.
type WalletCertificate struct {
	Serial      string // hexadecimal; names the wallet
	Institution string
	Tier        int // its class, 1 to 4; 0: it tells none
	public      []byte
}

// WalletSerial reads the serial number of a certificate in DER, in hexadecimal. It verifies nothing.
func WalletSerial(der []byte) (string, error) {
	c, err := smx509.ParseCertificate(der)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return serialOf(c), nil
}

func serialOf(c *smx509.Certificate) string { return hex.EncodeToString(c.SerialNumber.Bytes()) }

func tierName(class int) string { return fmt.Sprintf("class-%d", class) }

// tierOf reads a wallet's class; what is no class is none.
func tierOf(c *smx509.Certificate) int {
	for class := 1; class <= 4; class++ {
		if c.Subject.SerialNumber == tierName(class) {
			return class
		}
	}
	return 0
}

// VerifyWallet checks a wallet certificate against the trust at the moment now:
// chain, validity, environment, institution, revocation. Findings with a code of their
// own: ErrEnvironment, ErrWalletExpired, ErrWalletUnknown (its issuer is not trusted),
// ErrWalletRevoked.
func (t Trust) VerifyWallet(der []byte, now time.Time) (WalletCertificate, error) {
	leaf, err := smx509.ParseCertificate(der)
	if err != nil {
		return WalletCertificate{}, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if len(leaf.Subject.OrganizationalUnit) != 1 || leaf.Subject.OrganizationalUnit[0] != string(t.Env) {
		return WalletCertificate{}, pos.NewError(pos.ErrEnvironment,
			fmt.Errorf("certificate of %q, this till is %q: %w", leaf.Subject.OrganizationalUnit, t.Env, ErrCertificate))
	}
	chains, err := t.chains(leaf, now)
	if err != nil {
		return WalletCertificate{}, err
	}
	issuer := chains[0][1]
	if leaf.IsCA || len(leaf.Subject.Organization) != 1 || len(issuer.Subject.Organization) != 1 ||
		leaf.Subject.Organization[0] != issuer.Subject.Organization[0] {
		return WalletCertificate{}, pos.NewError(pos.ErrWalletUnknown, fmt.Errorf("%w: wallet of %q issued by %q", ErrCertificate,
			leaf.Subject.Organization, issuer.Subject.Organization))
	}
	serial := serialOf(leaf)
	for _, r := range t.Revoked {
		if r == serial {
			return WalletCertificate{}, pos.NewError(pos.ErrWalletRevoked, fmt.Errorf("%w: wallet %s is revoked", ErrCertificate, serial))
		}
	}
	public, err := smx509.MarshalPKIXPublicKey(leaf.PublicKey)
	if err != nil {
		return WalletCertificate{}, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return WalletCertificate{Serial: serial, Institution: leaf.Subject.Organization[0], Tier: tierOf(leaf), public: public}, nil
}

func (t Trust) chains(leaf *smx509.Certificate, now time.Time) ([][]*smx509.Certificate, error) {
	roots, mids := smx509.NewCertPool(), smx509.NewCertPool()
	for _, der := range t.Roots {
		c, err := smx509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("trust root: %w", err)
		}
		roots.AddCert(c)
	}
	for _, der := range t.Institutions {
		c, err := smx509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("trust institution: %w", err)
		}
		mids.AddCert(c)
	}
	chains, err := leaf.Verify(smx509.VerifyOptions{
		Roots: roots, Intermediates: mids, CurrentTime: now,
		KeyUsages: []smx509.ExtKeyUsage{smx509.ExtKeyUsageAny},
	})
	if err != nil {
		code := pos.ErrWalletUnknown
		if invalid, ok := errors.AsType[smx509.CertificateInvalidError](err); ok && invalid.Reason == smx509.Expired {
			code = pos.ErrWalletExpired // or not valid yet: the library has one reason for both
		}
		return nil, pos.NewError(code, fmt.Errorf("%w: %w", ErrCertificate, err))
	}
	if len(chains[0]) < 2 {
		return nil, fmt.Errorf("%w: a root is no wallet", ErrCertificate)
	}
	return chains, nil
}
