// Package cli holds what the four programs share at the command line: streams,
// exit codes, language and the kong set-up. It knows no word of the house.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes of every program (docs/PROTOCOL.md, "exit codes").
const (
	OK          = 0
	Negative    = 1 // a negative finding: breaks, a failed check
	Usage       = 2 // wrong usage or bad input
	Unreachable = 3 // the other side cannot be reached
)

// Streams are the three standard streams; tests put buffers in.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// OS returns the process's own streams.
func OS() *Streams { return &Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// Exit gives an error an exit code. A nil error with a code other than 0 ends
// the program silently with that code, for findings that were printed already.
func Exit(code int, err error) error {
	if err == nil {
		if code == OK {
			return nil
		}
		err = errSilent
	}
	return &exitError{code: code, err: err}
}

var errSilent = errors.New("")

// Code returns the exit code that an error asks for: 0 for nil, 1 where none was given.
func Code(err error) int {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return Negative
}

// Language is "zh" or "en", from DCPOS_LANG, LC_ALL, LC_MESSAGES or LANG, first one set wins.
func Language() string {
	for _, name := range []string{"DCPOS_LANG", "LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := os.Getenv(name); v != "" {
			if strings.HasPrefix(v, "zh") {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}

// Hinted is an error that knows what the user can do about it.
type Hinted interface {
	error
	Explain(lang string) string
}

// Main parses args into the kong grammar, runs the chosen command and returns
// the exit code. Commands get a context that ends with SIGINT or SIGTERM, and
// the *Streams. Errors are printed once, here, with their hint.
func Main(name, about string, grammar any, args []string, out *Streams, opts ...kong.Option) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	exited := -1
	opts = append([]kong.Option{
		kong.Name(name), kong.Description(about), kong.UsageOnError(),
		kong.Writers(out.Out, out.Err), kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(out),
	}, opts...)
	parser, err := kong.New(grammar, opts...)
	if err != nil {
		_, _ = fmt.Fprintln(out.Err, name+":", err)
		return Usage
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		_, _ = fmt.Fprintf(out.Err, "%s: %v\n%s --help tells more\n", name, err, name)
		return Usage
	}
	err = k.Run()
	report(out, name, err)
	return Code(err)
}

func report(out *Streams, name string, err error) {
	if err == nil || err.Error() == "" {
		return
	}
	if h, ok := errors.AsType[Hinted](err); ok {
		_, _ = fmt.Fprintf(out.Err, "%s: %v\n%s\n", name, err, h.Explain(Language()))
		return
	}
	_, _ = fmt.Fprintf(out.Err, "%s: %v\n", name, err)
}

// Together runs the parts of a daemon until one of them ends or ctx does, tells the
// others to stop, and waits for all. What they say is joined; that they were told to
// stop is no error.
func Together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(parts))
	var all sync.WaitGroup
	for i, part := range parts {
		all.Go(func() {
			if err := part(ctx); !errors.Is(err, context.Canceled) {
				errs[i] = err
			}
			stop()
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
