package drill

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// Clerk is a person who is signed in at the centre's console.
type Clerk struct {
	site *Site
	http *http.Client
}

// SignIn adds an account of a role to the console, named like it, and signs in.
func (s *Site) SignIn(ctx context.Context, role string) (*Clerk, error) {
	const password = "seen by four eyes"
	if err := s.AddAccount(ctx, role, role, password); err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	c := &Clerk{s, &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	return c, until(ctx, readyPatience, func() error {
		return c.Post(ctx, "login", url.Values{"name": {role}, "password": {password}})
	})
}

// Post sends a form to a page below /console/; any answer but "see other" is an error.
func (c *Clerk) Post(ctx context.Context, path string, form url.Values) error {
	status, _, err := c.do(ctx, http.MethodPost, path, form.Encode())
	if err == nil && status != http.StatusSeeOther {
		err = fmt.Errorf("%s: %d %s", path, status, http.StatusText(status))
	}
	return err
}

// Page reads a page below /console/.
func (c *Clerk) Page(ctx context.Context, path string) (string, error) {
	_, page, err := c.do(ctx, http.MethodGet, path, "")
	return page, err
}

// maxPage bounds what is read of a page.
const maxPage = 1 << 22

func (c *Clerk) do(ctx context.Context, method, path, body string) (status int, page string, err error) {
	base, err := c.site.Centre.URL()
	if err != nil {
		return 0, "", err
	}
	r, err := http.NewRequestWithContext(ctx, method, base+"/console/"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxPage))
	return answer.StatusCode, string(b), err
}
