package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// Bounds of one command. A discrete TPM may take seconds to make a key.
const (
	commandTime = 30 * time.Second
	maxResponse = 4096 // TPM_PT_MAX_RESPONSE_SIZE of every TPM known is at most that
)

// wire carries commands to a TPM: a character device (/dev/tpmrm0, the kernel's resource manager), which is
// kept open, since keys live as long as the file is open; or the socket of a software TPM (swtpm socket
// --server type=unixio), which serves one connection at a time and so is dialled for each command. It
// implements transport.TPM.
type wire struct {
	path string
	file *os.File // nil for a socket
}

func dial(path string) (*wire, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	w := &wire{path: path}
	if info.Mode()&os.ModeSocket == 0 {
		w.file, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	return w, err
}

// Send gives one command and reads its whole response, as often as the TPM asks for it again: it does so while
// it tests itself, or writes the count of wrong PINs (TPM_RC_RETRY, TPM_RC_YIELDED, TPM_RC_TESTING).
func (w *wire) Send(command []byte) ([]byte, error) {
	end := time.Now().Add(commandTime)
	for wait := time.Millisecond; ; wait = min(2*wait, time.Second) {
		response, err := w.exchange(command)
		if err != nil || time.Now().After(end) {
			return response, err
		}
		switch tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])) { //nolint:exhaustive // all others are answers
		case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting:
			<-time.After(wait)
		default:
			return response, nil
		}
	}
}

// exchange is one command and its response (TPM 2.0 part 1, 18.3: tag, size, code).
func (w *wire) exchange(command []byte) ([]byte, error) {
	var conn interface {
		io.ReadWriter
		SetDeadline(t time.Time) error
	} = w.file
	if w.file == nil {
		ctx, cancel := context.WithTimeout(context.Background(), commandTime) // go-tpm's commands have none
		defer cancel()
		c, err := new(net.Dialer).DialContext(ctx, "unix", w.path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.Close() }() // the response is whole, or there is an error already
		conn = c
	}
	if err := conn.SetDeadline(time.Now().Add(commandTime)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return nil, err
	}
	if _, err := conn.Write(command); err != nil {
		return nil, fmt.Errorf("write to %s: %w", w.path, err)
	}
	const header = 10
	b := make([]byte, maxResponse)
	n := 0
	for want := header; n < want; {
		m, err := conn.Read(b[n:])
		if n += m; err != nil && n < want {
			return nil, fmt.Errorf("read from %s: %w", w.path, err)
		}
		if n >= header {
			if want = int(binary.BigEndian.Uint32(b[2:])); want < header || want > maxResponse {
				return nil, fmt.Errorf("%s: response of %d bytes", w.path, want)
			}
		}
	}
	return b[:n], nil
}

// Close gives a device back; the kernel forgets the keys that were loaded.
func (w *wire) Close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}
