package console

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"dcpos/pos"
)

// maxExport bounds an uploaded file of entries unless Config says otherwise; a journal of 100,000 payments is
// less than half of it.
const maxExport = 512 << 20

// uploadTime bounds an upload, whatever the server's own bounds are.
const uploadTime = 10 * time.Minute

// maxField bounds what stands beside the file in its form.
const maxField = 4 << 10

// Taken is what a file of entries led to.
type Taken struct {
	Terminal string
	Sealed   bool
	Entries  int // in the file
	New      int // kept now
	Known    int // kept before
	Apart    int // of the new ones: what is before them is missing, their money is in suspense
	Refused  int // not kept
	Gaps     []TakenGap
	Problem  string   // what the till itself found in its journal
	Reasons  []string // of what was refused or kept apart
	Fenced   bool     // the terminal is in quarantine
	Epoch    uint32   // of the receipt; 0: none
	Seq      uint64   // up to which everything is kept
	Receipt  []byte   // signed, for posctl till receipt
}

// TakenGap is a run of entries that the file lacks.
type TakenGap struct {
	Epoch    uint32
	From, To uint64
}

// Clean reports that everything in the file is kept and nothing waits for a person.
func (t Taken) Clean() bool { return t.Refused == 0 && t.Apart == 0 && !t.Fenced }

// Download is the receipt as a link's target.
func (t Taken) Download() template.URL {
	return template.URL("data:application/octet-stream;base64," + base64.StdEncoding.EncodeToString(t.Receipt)) //nolint:gosec // our own bytes in base64
}

type takeBody struct {
	File  string
	Taken *Taken
	Limit int64 // MiB
	May   bool
}

func (c *Console) takePage(w http.ResponseWriter, r *http.Request, s Session) {
	c.show(w, r, http.StatusOK, "take", s, takeBody{Limit: c.cfg.MaxExport >> 20, May: c.cfg.Actions.Take != nil})
}

// take takes in a till's exported file as poscentral take does, one at a time. The form's token must come before
// the file, so that nothing is kept of a forged one.
func (c *Console) take(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Actions.Take == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, errors.New("files are not taken here")))
		return
	}
	select {
	case c.taking <- struct{}{}:
		defer func() { <-c.taking }()
	default:
		c.refuse(w, r, s, &pos.Error{Code: pos.ErrTooMany, Hint: pos.Text{ZH: "另一个文件正在导入,请稍后再试", EN: "another file is being taken in: try again in a moment"}})
		return
	}
	control := http.NewResponseController(w)
	until := time.Now().Add(uploadTime) // of a connection, not of our records
	if err := errors.Join(control.SetReadDeadline(until), control.SetWriteDeadline(until)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		c.broken(w, r, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, c.cfg.MaxExport+maxForm)
	name, file, err := c.upload(r, s)
	if err != nil {
		if pos.CodeOf(err) == pos.ErrForbidden {
			c.audit(r.Context(), s.Account, "refused", r.URL.Path+" without token")
		}
		c.fail(w, r, s, err)
		return
	}
	defer func() { _ = errors.Join(file.Close(), os.Remove(file.Name())) }() // a copy: nothing is lost with it
	taken, err := c.cfg.Actions.Take(r.Context(), file, s.Account)
	if err != nil {
		c.audit(r.Context(), s.Account, "file_refused", fmt.Sprintf("%.64q: %.200s", name, err))
		c.fail(w, r, s, err)
		return
	}
	c.show(w, r, http.StatusOK, "take", s, takeBody{File: name, Taken: &taken, Limit: c.cfg.MaxExport >> 20, May: true})
}

// upload reads the form: its token, then the file into a temporary one.
func (c *Console) upload(r *http.Request, s Session) (name string, file *os.File, err error) {
	form, err := r.MultipartReader()
	if err != nil {
		return "", nil, pos.FieldError(pos.ErrBadRequest, "file", err)
	}
	genuine := false
	for {
		part, err := form.NextPart()
		if err != nil {
			return "", nil, cut(fmt.Errorf("no file: %w", err))
		}
		switch part.FormName() {
		case "csrf":
			b, err := io.ReadAll(io.LimitReader(part, maxField))
			genuine = err == nil && s.CSRF != "" && subtle.ConstantTimeCompare(b, []byte(s.CSRF)) == 1
		case "file":
			if !genuine {
				return "", nil, pos.FieldError(pos.ErrForbidden, "csrf", nil)
			}
			if part.FileName() == "" {
				return "", nil, pos.FieldError(pos.ErrBadRequest, "file", errors.New("no file was chosen"))
			}
			file, err := spool(part, c.cfg.MaxExport)
			return filepath.Base(part.FileName()), file, err
		}
	}
}

// spool copies the upload into a file that is gone with us. An upload that is cut or too large leaves nothing.
func spool(in io.Reader, limit int64) (*os.File, error) {
	f, err := os.CreateTemp("", "dcpos-take-*")
	if err != nil {
		return nil, pos.NewError(pos.ErrStorage, err)
	}
	n, err := io.Copy(f, io.LimitReader(in, limit+1))
	switch {
	case err != nil:
		err = cut(fmt.Errorf("the upload broke off: %w", err))
	case n > limit:
		err = cut(&http.MaxBytesError{Limit: limit})
	default:
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// cut is an upload that ended early: it was too large, or the connection broke.
func cut(err error) error {
	code := pos.ErrBadRequest
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		code = pos.ErrTooLarge
	}
	return pos.FieldError(code, "file", err)
}

// Take takes in a file of entries as poscentral take does; by is whom the audit trail names. A file that is no
// till's or not for this centre is pos.ErrBadRequest.
type Take func(ctx context.Context, in io.ReadSeeker, by string) (Taken, error)
