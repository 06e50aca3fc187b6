// Package till is a counter for practice: a printer, a scanner, a contactless reader, a
// customer display on serial lines of the kernel, scanners by the kernel's HID where it
// lets a program play them, and a person, or a file, that makes things happen to them.
//
// To add a device: its plug in counter.plugs. To add something that can happen: its line
// in commands.
package till

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"dcpos/lab/device"
)

// Options of a counter. Profiles are names of firmware-profiles.
type Options struct {
	Dir     string // links to the lines, receipts/, display.png, devices.yaml
	Printer string
	Maker   string // what the printer says of itself; empty: what its profile would recognise
	Model   string
	Scanner string
	NFC     string
	Display string
	// Script is carried out instead of what is typed; the first command that fails ends it.
	Script io.Reader

	In       io.Reader
	Out, Err io.Writer
}

// ErrOptions is returned when the options do not make a counter.
var ErrOptions = errors.New("this makes no counter 参数有误")

// counter is the counter and what stands on it.
type counter struct {
	Options

	printer  *device.Printer
	scanner  *device.Scanner
	chip     *device.PN532
	card     *device.Card
	display  *device.LineDisplay
	columns  int  // of the display
	behind   bool // the display hangs on the printer
	hidpos   *device.HIDScanner
	keyboard *device.KeyboardScanner
	plugs    []*plug

	receipts chan int // the number of each receipt that is finished
	mu       sync.Mutex
}

// Run serves the devices until the input ends, :quit, or ctx does. With a script its
// first failure is the error.
func Run(ctx context.Context, o Options) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c := &counter{Options: o, receipts: make(chan int, 1000)}
	if err := os.MkdirAll(filepath.Join(o.Dir, "receipts"), 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if err := c.build(); err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	defer func() { _ = c.unplugAll() }() // the process ends with it
	for _, p := range c.plugs {
		if p.kernel != nil {
			continue
		}
		if err := p.in(ctx); err != nil {
			return err
		}
		c.say("%-8s %s → %s  (%s)", p.name, p.socket.Path, p.socket.Line(), p.profile)
	}
	if err := c.tellConfig(); err != nil {
		return err
	}
	if o.Script != nil {
		return c.scripted(ctx)
	}
	c.say(":help 列出全部命令 lists all commands; :show 看现状 shows how everything stands; 测试 TEST")
	return c.typed(ctx)
}

// say tells the person a line; devices and commands speak at the same time.
func (c *counter) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = fmt.Fprintf(c.Out, format+"\n", args...)
}

var errQuit = errors.New("quit")

// typed carries out what is typed, line by line.
func (c *counter) typed(ctx context.Context) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(c.In); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, more := <-lines:
			if !more {
				return nil
			}
			if err := c.do(ctx, line); errors.Is(err, errQuit) {
				return nil
			} else if err != nil {
				_, _ = fmt.Fprintln(c.Err, err)
			}
		}
	}
}

// scripted carries out the script and names the line that failed.
func (c *counter) scripted(ctx context.Context) error {
	n := 0
	for s := bufio.NewScanner(c.Script); s.Scan(); {
		n++
		line := strings.TrimSpace(s.Text())
		if line != "" && !strings.HasPrefix(line, "#") {
			c.say("▸ %s", line)
		}
		if err := c.do(ctx, line); errors.Is(err, errQuit) {
			return nil
		} else if err != nil {
			return fmt.Errorf("line %d of the script 脚本第 %d 行: %w", n, n, err)
		}
	}
	return ctx.Err()
}

// wait waits so long, or for the next receipt that is finished.
func (c *counter) wait(ctx context.Context, what string) error {
	const longest = 10 * time.Minute
	limit, receipt := time.Minute, what == "receipt"
	if !receipt {
		d, err := time.ParseDuration(what)
		if err != nil || d < 0 || d > longest {
			return fmt.Errorf(":wait 2s, :wait 500ms (至多 at most %s), :wait receipt", longest)
		}
		limit = d
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var finished chan int // nil: nobody waits for one
	if receipt {
		finished = c.receipts
	}
	select {
	case <-finished:
		return nil
	case <-timer.C:
		if receipt {
			return fmt.Errorf("一分钟内没有打出小票 no receipt within %s", limit)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
