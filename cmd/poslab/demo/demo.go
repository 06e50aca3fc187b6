// Package demo is a day at a shop, played by the real programs: six simulated
// institutions, the centre, four tills with simulated devices, a vendor's SDK client,
// and a network that is cut. Every claim that it prints is checked.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dcpos/internal/cli"
)

// Options of a run.
type Options struct {
	Dir  string // absent or empty; "" is a new temporary folder
	Once bool   // end by itself after the story
	Out  io.Writer
	// Database is the centre's; "" is SQLite in Dir.
	Database string
	// Programs is the folder of the four executables; "" is where this one lies.
	Programs string
}

// Run plays the day. Exit codes: 1 when a check failed, 2 when Dir is not empty.
func Run(ctx context.Context, o Options) error {
	dir, err := folder(o.Dir)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	w, err := newWorld(dir, o.Programs)
	if err != nil {
		return err
	}
	w.database = o.Database
	t := &teller{out: o.Out}
	_, _ = fmt.Fprintf(o.Out, "dcpos 演示 demo · 测试 TEST\n%s\n", dir)
	d := &day{teller: t, w: w}
	err = d.play(ctx)
	screens := w.screens()
	if err == nil && !o.Once {
		stayUp(ctx, o.Out, screens)
	}
	err = errors.Join(err, w.close())
	if err == nil {
		d.journalsHold(context.WithoutCancel(ctx))
	}
	if err != nil {
		t.check("story", "told to its end", err.Error(), "")
	}
	ok, werr := t.finish(dir, screens)
	if err := errors.Join(err, werr); err != nil {
		return fmt.Errorf("%w (logs: %s)", err, w.programs.logs)
	}
	if !ok {
		return cli.Exit(cli.Negative, fmt.Errorf("a check failed: see %s", filepath.Join(dir, "demo.json")))
	}
	return nil
}

func (d *day) play(ctx context.Context) error {
	d.chapter("开门:启动机构、中心与四类终端", "0. Opening: institutions, the centre and four tills")
	if err := d.w.build(ctx, d.teller); err != nil {
		return err
	}
	for _, part := range d.parts() {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// journalsHold verifies every till's file after its clean stop: whole by itself.
func (d *day) journalsHold(ctx context.Context) {
	d.chapter("打烊:校验每台终端的账簿", "10. Closing: every till's journal is verified")
	for _, class := range classes() {
		path := d.w.tills[class].journal()
		_, err := d.w.programs.run(ctx, "", "posctl", "journal", "verify", path)
		d.check("journal."+class, 0, exitCode(errors.Unwrap(err)), "exit code")
		_, err = os.Stat(path + "-wal")
		d.check("journal."+class+".whole", true, errors.Is(err, fs.ErrNotExist), "")
	}
}

// folder makes the demo's folder and refuses one that holds something.
func folder(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "dcpos-demo-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	list, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return dir, os.MkdirAll(dir, 0o700)
	case err != nil:
		return "", err
	case len(list) > 0:
		return "", fmt.Errorf("%s is not empty: name an absent or empty folder", dir)
	}
	return dir, nil
}

func stayUp(ctx context.Context, out io.Writer, screens map[string]string) {
	_, _ = fmt.Fprintln(out, "\n── 所有屏幕(Ctrl-C 结束)\n   Every screen (Ctrl-C ends)")
	var names []string
	for name := range screens {
		names = append(names, name)
	}
	for _, name := range sorted(names) {
		_, _ = fmt.Fprintf(out, "   %-16s %s\n", name, screens[name])
	}
	_, _ = fmt.Fprintln(out, strings.Repeat(" ", 3)+"收银员 operator 1001, PIN 4711 · 运维 console: admin / "+consolePassword)
	<-ctx.Done()
}
