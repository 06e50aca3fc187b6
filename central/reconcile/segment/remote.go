package segment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"dcpos/pos"
)

// Remote is a store behind HTTP: GET with Range, HEAD and PUT of BASE/NAME. That is what
// Handler serves, and what S3 and its like understand. Names follow from the content, so
// that a PUT of what is there changes nothing.
type Remote struct {
	base   string
	sign   func(*http.Request) error
	client *http.Client
}

// Limits of one request; a lease is kept while a task waits for it.
const (
	requestTime = 10 * time.Minute
	tries       = 4
)

func newRemote(base string, sign func(*http.Request) error) (*Remote, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no address http(s)://HOST/…", base)
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the default transport of HTTP was replaced")
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = 16
	return &Remote{base: strings.TrimRight(base, "/"), sign: sign, client: &http.Client{Transport: transport, Timeout: requestTime}}, nil
}

// NewRemote is a store at a centre's address, with the token that it asks for.
func NewRemote(base, token string) (*Remote, error) {
	return newRemote(base, func(r *http.Request) error {
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return nil
	})
}

// S3Key is what an S3-compatible store knows the caller by.
type S3Key struct{ ID, Secret, Session, Region string }

// NewS3 is a store in a bucket of S3 or of what speaks its protocol: base is the bucket's
// address (https://HOST/BUCKET or https://BUCKET.HOST), with a prefix if wanted. Requests
// are signed by AWS's own signer (Signature Version 4).
func NewS3(base string, key S3Key) (*Remote, error) {
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	who := aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret, SessionToken: key.Session}
	return newRemote(base, func(r *http.Request) error {
		const unsigned = "UNSIGNED-PAYLOAD" // the name is the content's hash, and that is verified
		r.Header.Set("X-Amz-Content-Sha256", unsigned)
		return signer.SignHTTP(r.Context(), who, r, unsigned, "s3", key.Region, time.Now())
	})
}

// do sends a request, again when the store is busy or the road is broken. An answer that is
// returned has one of the wanted codes, and its body is to be closed.
func (r *Remote) do(ctx context.Context, method, name string, body func() (io.Reader, int64), header map[string]string, want ...int) (*http.Response, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("%q is no object's name", name)
	}
	var last error
	for try := range tries {
		if err := rest(ctx, time.Duration(try)*500*time.Millisecond); err != nil {
			return nil, err
		}
		answer, again, err := r.once(ctx, method, name, body, header, want)
		if err == nil || !again {
			return answer, err
		}
		last = err
	}
	return nil, last
}

func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (r *Remote) once(ctx context.Context, method, name string, body func() (io.Reader, int64), header map[string]string, want []int) (answer *http.Response, again bool, err error) {
	var content io.Reader
	var size int64
	if body != nil {
		if content, size = body(); size == 0 {
			content = http.NoBody
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, r.base+"/"+name, content)
	if err != nil {
		return nil, false, err
	}
	request.ContentLength = size
	for k, v := range header {
		request.Header.Set(k, v)
	}
	if err := r.sign(request); err != nil {
		return nil, false, fmt.Errorf("%s %s: %w", method, name, err)
	}
	answer, err = r.client.Do(request)
	if err != nil {
		return nil, true, unusable(fmt.Errorf("%s %s: %w", method, name, err), pos.Text{
			ZH: "无法连接分段数据地址 " + request.URL.Host + ":请检查地址、网络与证书", EN: "The segments' address " + request.URL.Host + " is not reached: check it, the network and its certificate.",
		})
	}
	for _, code := range want {
		if answer.StatusCode == code {
			return answer, false, nil
		}
	}
	_ = answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return nil, false, fmt.Errorf("%s %s: %w", method, name, fs.ErrNotExist)
	}
	err = fmt.Errorf("%s %s: the store answers %s", method, name, answer.Status)
	if answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden {
		return nil, false, unusable(err, pos.Text{
			ZH: "分段数据存储拒绝访问 " + request.URL.Host + ":请检查令牌,或 AWS_ACCESS_KEY_ID、AWS_SECRET_ACCESS_KEY、AWS_REGION",
			EN: "The store of segments " + request.URL.Host + " refuses access: check the token, or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION.",
		})
	}
	const serverErrors = 500
	return nil, answer.StatusCode >= serverErrors || answer.StatusCode == http.StatusTooManyRequests, err
}

// unusable is an error of the store itself, with what to do.
func unusable(err error, hint pos.Text) error {
	e := pos.NewError(pos.ErrInternal, err)
	e.Hint = hint
	return e
}

// ReadAt implements Store.
func (r *Remote) ReadAt(ctx context.Context, name string, b []byte, at int64) error {
	if len(b) == 0 {
		return nil
	}
	answer, err := r.do(ctx, http.MethodGet, name, nil, map[string]string{
		"Range": fmt.Sprintf("bytes=%d-%d", at, at+int64(len(b))-1),
	}, http.StatusPartialContent)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.ReadFull(answer.Body, b); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// Size implements Store.
func (r *Remote) Size(ctx context.Context, name string) (int64, error) {
	answer, err := r.do(ctx, http.MethodHead, name, nil, nil, http.StatusOK)
	if err != nil {
		return 0, err
	}
	return answer.ContentLength, answer.Body.Close()
}

// Put implements Store.
func (r *Remote) Put(ctx context.Context, name string, content io.Reader, size int64) error {
	if have, err := r.Size(ctx, name); err == nil && have == size {
		return nil
	}
	seeker, ok := content.(io.ReadSeeker)
	if !ok {
		return errors.New("content of an object has to be readable again")
	}
	answer, err := r.do(ctx, http.MethodPut, name, func() (io.Reader, int64) {
		_, _ = seeker.Seek(0, io.SeekStart) // what cannot be read again is too short, and refused
		return io.NopCloser(io.LimitReader(seeker, size)), size
	}, nil, http.StatusOK, http.StatusCreated, http.StatusNoContent)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// Handler serves a folder to workers elsewhere, under /NAME, to those with the token.
func Handler(folder Folder, token string) http.Handler { return &handler{folder, token} }

type handler struct {
	folder Folder
	token  string
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.token == "" || !sameToken(r.Header.Get("Authorization"), "Bearer "+h.token) {
		http.Error(w, "a worker's token is needed 需要工作节点令牌", http.StatusUnauthorized)
		return
	}
	// Objects are large: what bounds other pages' time does not fit them.
	control := http.NewResponseController(w)
	deadline := time.Now().Add(requestTime)
	_, _ = control.SetReadDeadline(deadline), control.SetWriteDeadline(deadline) // without, the server's own hold
	name := strings.TrimPrefix(r.URL.Path, "/")
	path, err := h.folder.path(name)
	if err != nil {
		http.Error(w, "no such object 没有该对象", http.StatusNotFound)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeFile(w, r, path)
	case http.MethodPut:
		h.put(w, r, name)
	default:
		http.Error(w, "GET, HEAD or PUT", http.StatusMethodNotAllowed)
	}
}

// maxObject bounds what a worker may send; texts are the centre's own.
const maxObject = 4 << 30

func (h *handler) put(w http.ResponseWriter, r *http.Request, name string) {
	if r.ContentLength < 0 || r.ContentLength > maxObject {
		http.Error(w, "an object has a length up to "+strconv.Itoa(maxObject), http.StatusRequestEntityTooLarge)
		return
	}
	if err := h.folder.Put(r.Context(), name, r.Body, r.ContentLength); err != nil {
		http.Error(w, "the object could not be kept 无法保存该对象", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}
