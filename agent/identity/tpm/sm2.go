package tpm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Numbers of TPM 2.0 part 2 that go-tpm's Sign does not take together: it knows no SM2 scheme.
const (
	tagSessions   = 0x8002     // TPM_ST_SESSIONS
	tagHashcheck  = 0x8024     // TPM_ST_HASHCHECK
	commandSign   = 0x0000015D // TPM_CC_Sign
	passwordOnly  = 0x40000009 // TPM_RS_PW
	hierarchyNull = 0x40000007 // TPM_RH_NULL
)

// signSM2 runs TPM2_Sign with scheme TPM_ALG_SM2 on a digest that was made outside. The scheme must name a
// hash of the digest's size which the TPM knows; SHA-256 stands for SM3, which many TPMs that have the
// curve lack. The digest is signed as it is, so that the name changes no byte of the signature.
func signSM2(t interface{ Send([]byte) ([]byte, error) }, key tpm2.TPMHandle, auth, digest []byte) (r, s []byte, err error) {
	u16, u32 := binary.BigEndian.AppendUint16, binary.BigEndian.AppendUint32
	session := u32(nil, passwordOnly)
	session = append(u16(session, 0), 0) // no nonce, no attributes
	session = append(u16(session, uint16(len(auth))), auth...)
	body := u32(nil, uint32(key))
	body = append(u32(body, uint32(len(session))), session...)
	body = append(u16(body, uint16(len(digest))), digest...)
	body = u16(u16(body, uint16(tpm2.TPMAlgSM2)), uint16(tpm2.TPMAlgSHA256))
	body = u16(u32(u16(body, tagHashcheck), hierarchyNull), 0) // no ticket: the key is not restricted
	command := u32(u32(u16(nil, tagSessions), uint32(10+len(body))), commandSign)
	response, err := t.Send(append(command, body...))
	if err != nil {
		return nil, nil, err
	}
	if len(response) < 10 {
		return nil, nil, errShort
	}
	if code := tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])); code != tpm2.TPMRCSuccess {
		return nil, nil, code
	}
	return readSM2(response[10:])
}

var errShort = errors.New("response of the TPM is too short")

// readSM2 reads parameter size, TPMT_SIGNATURE {scheme, hash, r, s}.
func readSM2(b []byte) (r, s []byte, err error) {
	if len(b) < 8 {
		return nil, nil, errShort
	}
	if scheme := binary.BigEndian.Uint16(b[4:]); scheme != uint16(tpm2.TPMAlgSM2) {
		return nil, nil, fmt.Errorf("the TPM signed by scheme %#x", scheme)
	}
	b = b[8:]
	for _, into := range []*[]byte{&r, &s} {
		if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
			return nil, nil, errShort
		}
		n := int(binary.BigEndian.Uint16(b))
		*into, b = b[2:2+n], b[2+n:]
	}
	return r, s, nil
}
