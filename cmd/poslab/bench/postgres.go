package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// postgresBin is where Debian 12 keeps the server's programs.
const postgresBin = "/usr/lib/postgresql/15/bin"

// postgres is a PostgreSQL server of the bench's own: Debian's, listening on a Unix socket
// only, with its settings as they ship, fsync included.
type postgres struct {
	dir    string // data and socket; a socket's path is limited to 107 bytes
	as     *syscall.Credential
	server *exec.Cmd
}

func startPostgres(ctx context.Context) (*postgres, error) {
	if _, err := os.Stat(filepath.Join(postgresBin, "postgres")); err != nil {
		return nil, fmt.Errorf("%w: install the Debian package postgresql-15, or say --postgres none", err)
	}
	p := &postgres{}
	var err error
	if p.as, err = serverUser(); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp("", "poslab-pg-"); err != nil {
		return nil, err
	}
	if p.as != nil {
		if err := os.Chown(p.dir, int(p.as.Uid), int(p.as.Gid)); err != nil {
			return nil, errors.Join(err, os.RemoveAll(p.dir))
		}
	}
	if err := p.serve(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), p.stop())
	}
	return p, nil
}

// serverUser is whom the server runs as: it refuses root.
func serverUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // no other user is needed
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: install the Debian package postgresql-15", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

func (p *postgres) serve(ctx context.Context) error {
	data := filepath.Join(p.dir, "data")
	if err := p.run(ctx, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"); err != nil {
		return err
	}
	server := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(postgresBin, "postgres"),
		"-D", data, "-k", p.dir, "-c", "listen_addresses=")
	server.Dir = "/"
	server.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Pdeathsig: syscall.SIGQUIT}
	if err := server.Start(); err != nil {
		return err
	}
	p.server = server
	return until(ctx, 20*time.Millisecond, "PostgreSQL answers", func() (bool, error) {
		return p.run(ctx, "pg_isready", "-q", "-h", p.dir, "-U", "postgres") == nil, nil
	})
}

func (p *postgres) run(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(postgresBin, program), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out.Bytes())
	}
	return nil
}

func (p *postgres) url() string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Path: "/postgres",
		RawQuery: url.Values{"host": {p.dir}, "sslmode": {"disable"}}.Encode(),
	}
	return u.String()
}

// stop ends the server at once: what it keeps is thrown away.
func (p *postgres) stop() error {
	if p.server != nil {
		_ = p.server.Process.Signal(syscall.SIGQUIT) // immediate shutdown (postgres(1))
		_ = p.server.Wait()                          // says only that it was told to quit
	}
	return os.RemoveAll(p.dir)
}
