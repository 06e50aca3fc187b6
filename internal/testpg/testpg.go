// Package testpg gives a test a real PostgreSQL: Debian's server in a directory of its
// own, listening on a unix socket only, with fsync on. One server serves a test
// binary, each call of Start has a fresh database. It knows no word of the house.
package testpg

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bin is where Debian 12 keeps the server's programs.
const bin = "/usr/lib/postgresql/15/bin"

// startTime bounds initdb and the start; both together take about a second.
const startTime = 60 * time.Second

// server is the test binary's one server, started by the first that asks.
var server = sync.OnceValues(boot)

// Start returns the URL of a fresh database. A missing server is a test failure that
// names the Debian package, never a skip. The server ends with the test binary,
// however that ends, and leaves nothing behind.
func Start(tb testing.TB) string {
	tb.Helper()
	c, err := server()
	if err != nil {
		tb.Fatalf("start PostgreSQL: %v", err)
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // never returns an error
	name := "t" + hex.EncodeToString(random[:])
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := c.run(ctx, "createdb", "-h", c.dir, "-U", "postgres", name); err != nil {
		tb.Fatalf("create database: %v", err)
	}
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Path: "/" + name,
		RawQuery: url.Values{"host": {c.dir}, "sslmode": {"disable"}}.Encode(),
	}
	return u.String()
}

type cluster struct {
	dir        string // data and socket
	credential *syscall.Credential
	guard      *os.File // held open: the server ends when it closes
}

// guardScript runs the server until its standard input ends, which happens when the
// test binary is gone for whatever reason.
const guardScript = `"$1" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=on -c max_connections=100 >"$2/log" 2>&1 &
pid=$!
read -r _
kill -QUIT $pid
wait $pid
rm -rf "$2"`

func boot() (*cluster, error) {
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err != nil {
		return nil, fmt.Errorf("%w: install the Debian package postgresql-15", err)
	}
	c := &cluster{}
	if os.Getuid() == 0 { // the server refuses to run as root
		credential, err := serverUser()
		if err != nil {
			return nil, err
		}
		c.credential = credential
	}
	var err error
	if c.dir, err = os.MkdirTemp("", "testpg"); err != nil {
		return nil, err
	}
	if c.credential != nil {
		if err := os.Chown(c.dir, int(c.credential.Uid), int(c.credential.Gid)); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := c.run(ctx, "initdb", "-D", filepath.Join(c.dir, "data"), "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
		return nil, err
	}
	return c, c.serve(ctx)
}

// serverUser is the account that the Debian package made.
func serverUser() (*syscall.Credential, error) {
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: install the Debian package postgresql-15", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (c *cluster) serve(ctx context.Context) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	c.guard = write
	//nolint:noctx // it outlives every context on purpose: the guard ends it
	cmd := exec.Command("/bin/sh", "-c", guardScript, "sh", filepath.Join(bin, "postgres"), c.dir)
	cmd.Dir, cmd.Stdin = "/", read
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.credential}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, read.Close(), write.Close())
	}
	if err := read.Close(); err != nil {
		return err
	}
	for {
		err := c.run(ctx, "pg_isready", "-q", "-h", c.dir, "-U", "postgres")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
			return fmt.Errorf("server does not answer: %w\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *cluster) run(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, program), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.credential}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out.String())
	}
	return nil
}
