package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/usb"
	"dcpos/drivers/transporttest"
	profiles "dcpos/firmware-profiles"
	"dcpos/internal/cli"
	"dcpos/lab/device"
)

// RecordCmd is poslab record.
type RecordCmd struct {
	Port    string `required:"" placeholder:"PORT" help:"The real device: /dev/ttyUSB0@9600, usb:VID:PID, tcp:HOST:PORT. 真实外设端口。"`
	Listen  string `required:"" type:"path" placeholder:"LINK" help:"Path that the agent opens instead of the device: a link to a tty. 供收银端打开的路径。"`
	Out     string `required:"" type:"path" placeholder:"FILE" help:"File of the script. 录制文件。"`
	Profile string `placeholder:"KIND/NAME" help:"Its firmware-profile, such as printer/pos-5890: for the header, and its line's speed. 型号配置。"`
	Note    string `help:"A remark for the header, such as the firmware's version. 备注。"`
	Raw     bool   `help:"Keep scanned payment codes as they are. 不遮蔽付款码。"`
}

// Help says what becomes of secrets.
func (RecordCmd) Help() string {
	return `Stands between the agent and a device until it is stopped (Ctrl-C, SIGTERM) or the device goes away, and then writes
the script: JSON, an exchange a line, bytes in hexadecimal and the silences before them, readable by people.
Scanned digits of a payment code's shape are replaced by zeros but for the first two; --raw keeps them: such a file is a
secret for as long as the codes live. Record contactless readers with test cards alone: what a card says is kept.
poslab play FILE is the device afterwards. 录制期间照常使用外设;停止后写出文件。付款码默认遮蔽。读卡器只可用测试卡录制。`
}

// Run records until ctx ends or the device goes away.
func (c RecordCmd) Run(ctx context.Context, out *cli.Streams) error {
	port, err := parsePort(c.Port)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	header := transporttest.Header{Date: time.Now().Format(time.DateOnly), Note: c.Note}
	line := profiles.Serial{Baud: 9600, Bits: 8, Parity: "none", Stop: 1}
	if c.Profile != "" {
		if header.Kind, header.Profile, line, err = lineOf(c.Profile); err != nil {
			return cli.Exit(cli.Usage, err)
		}
	}
	file, err := os.OpenFile(c.Out, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	defer func() { _ = file.Close() }() // again, after an error
	conn, err := all.Dial(port, line, profiles.Match{}, usb.Want{})(ctx)
	if err != nil {
		return cli.Exit(cli.Unreachable, fmt.Errorf("open %s: %w", c.Port, err))
	}
	header.Port = conn.String()
	recorder := transporttest.Record(conn)
	if err := c.between(ctx, out, recorder); err != nil {
		return errors.Join(err, conn.Close())
	}
	script := transporttest.Script{Header: header, Ops: recorder.Ops()}
	if !c.Raw {
		script = script.Mask()
	}
	if err := errors.Join(script.Save(file), file.Close(), conn.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.Out, "%s: 已录制 recorded, %d 次交换 exchanges\n", c.Out, len(script.Ops))
	return err
}

// between passes bytes on, both ways.
func (c RecordCmd) between(ctx context.Context, out *cli.Streams, conn transport.Conn) error {
	socket := device.Socket{Path: c.Listen}
	tap := &tapped{conn: conn, gone: make(chan struct{})}
	if err := socket.Plug(ctx, tap); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out.Out, "%s → %s ↔ %s\n正在录制,Ctrl-C 结束 recording until Ctrl-C\n", c.Listen, socket.Line(), conn)
	select {
	case <-ctx.Done():
	case <-tap.gone:
		_, _ = fmt.Fprintln(out.Err, "外设已断开 the device went away")
	}
	_ = socket.Unplug() // what was said is in the recording
	return nil
}

// tapped is a real device, served on a line.
type tapped struct {
	conn transport.Conn
	gone chan struct{} // closed when the device went away
}

// Serve implements device.Served.
func (t *tapped) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	undo := context.AfterFunc(ctx, func() { _ = rw.Close() }) // ends the read below
	defer undo()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		defer stop()
		t.toHost(ctx, rw)
	}()
	defer func() { <-heard }()
	defer stop()
	buf := make([]byte, 4096)
	for {
		n, err := rw.Read(buf)
		if n > 0 {
			if _, err := t.conn.Write(ctx, buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // the line has ended
		}
	}
}

func (t *tapped) toHost(ctx context.Context, w io.Writer) {
	buf := make([]byte, 4096)
	for {
		n, err := t.conn.Read(ctx, buf)
		if n > 0 {
			_, err = w.Write(buf[:n])
		}
		if err != nil {
			if ctx.Err() == nil {
				close(t.gone)
			}
			return
		}
	}
}

// parsePort reads /dev/ttyUSB0@9600, usb:VID:PID or tcp:HOST:PORT.
func parsePort(s string) (drivers.TransportConfig, error) {
	wrong := fmt.Errorf("--port %s: want /dev/ttyUSB0@9600, usb:VID:PID (four hex digits each) or tcp:HOST:PORT", strconv.Quote(s))
	var t drivers.TransportConfig
	switch kind, rest, _ := strings.Cut(s, ":"); {
	case kind == "usb":
		vid, pid, ok := strings.Cut(strings.ToLower(rest), ":")
		t = drivers.TransportConfig{Kind: drivers.TransportUSB, VID: vid, PID: pid}
		for _, id := range []string{vid, pid} {
			if _, err := strconv.ParseUint(id, 16, 16); err != nil || len(id) != 4 || !ok {
				return t, wrong
			}
		}
	case kind == "tcp" && strings.Contains(rest, ":"):
		t = drivers.TransportConfig{Kind: drivers.TransportTCP, Address: rest}
	case strings.HasPrefix(s, "/"):
		path, baud, given := strings.Cut(s, "@")
		t = drivers.TransportConfig{Kind: drivers.TransportSerial, Path: path}
		if given {
			n, err := strconv.Atoi(baud)
			if err != nil || n <= 0 {
				return t, wrong
			}
			t.Baud = n
		}
	default:
		return t, wrong
	}
	return t, nil
}

// lineOf finds a profile by kind and name, and how its serial line is set.
func lineOf(name string) (kind, profile string, line profiles.Serial, err error) {
	kind, profile, _ = strings.Cut(name, "/")
	switch profiles.Kind(kind) {
	case profiles.KindPrinter:
		p, e := profiles.FindPrinter(profile)
		line, err = p.Serial, e
	case profiles.KindScanner:
		p, e := profiles.FindScanner(profile)
		line, err = p.Serial, e
	case profiles.KindNFC:
		p, e := profiles.FindNFC(profile)
		line, err = p.Serial, e
	case profiles.KindDisplay:
		p, e := profiles.FindLineDisplay(profile)
		line, err = p.Serial, e
	case profiles.KindClass:
		fallthrough
	default:
		err = fmt.Errorf("kind %q: want printer, scanner, nfc or linedisplay", kind)
	}
	if err != nil {
		return "", "", line, fmt.Errorf("--profile %s: %w", name, err)
	}
	return kind, profile, line, nil
}

// PlayCmd is poslab play.
type PlayCmd struct {
	File string `arg:"" type:"existingfile" help:"A recording. 录制文件。"`
	Dir  string `required:"" type:"path" help:"Folder for the link to the tty. 目录。"`
	Stay bool   `help:"Stay, silent, after the end of the recording. 播完后保持连接。"`
}

// Help says what is held against what.
func (PlayCmd) Help() string {
	return `Is the device of a recording, on a serial line of the kernel: what the agent writes is held against the recording, what
the device said comes after the same silences. The first byte that differs ends it with exit code 1 and is named; so is what
was never asked for. A print job's number may differ. Use the profile of the recording's first line.
按录制内容扮演外设:逐字节核对收银端所发,不符即指出并以 1 退出。`
}

// lingering is how long the line stays after the last byte, for the host to read it.
const lingering = time.Second

// Run plays until the recording is used up, what is written differs, or ctx ends.
func (c PlayCmd) Run(ctx context.Context, out *cli.Streams) error {
	f, err := os.Open(c.File)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	script, err := transporttest.Load(f)
	if err := errors.Join(err, f.Close(), os.MkdirAll(c.Dir, 0o700)); err != nil {
		return cli.Exit(cli.Usage, fmt.Errorf("%s: %w", c.File, err))
	}
	name := script.Kind
	if name == "" {
		name = "device"
	}
	playback := &transporttest.Playback{Ops: script.Ops}
	socket := device.Socket{Path: filepath.Join(c.Dir, name)}
	if err := socket.Plug(ctx, playback); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out.Out, "%s → %s: %s, %s\n", socket.Path, socket.Line(), script.Profile, script.Date)
	c.watch(ctx, playback, &socket)
	_ = socket.Unplug() // what went wrong the playback tells itself
	return playback.Close()
}

// watch returns when the recording is used up and was read, or has ended before.
func (c PlayCmd) watch(ctx context.Context, p *transporttest.Playback, s *device.Socket) {
	ticker := time.NewTicker(lingering / 10)
	defer ticker.Stop()
	var since time.Time
	for s.Plugged() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		switch {
		case c.Stay || !p.Done():
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= lingering:
			return
		}
	}
}
