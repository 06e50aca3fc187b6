package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dcpos/internal/cli"
	"dcpos/lab/device"
)

// TillCmd is poslab till.
type TillCmd struct {
	Dir   string `required:"" type:"path" help:"Folder for the links to both ttys and for receipts/. 目录。"`
	Width int    `default:"80" enum:"58,80" help:"Paper width in millimetres. 纸宽。"`

	Display string `default:"cd5220" enum:"cd5220,epson-dm,led8" help:"Language of the customer display. 客显指令集。"`
}

// Help says what can be typed.
func (TillCmd) Help() string {
	return `A scanner, a printer and a customer display on serial lines of the kernel, for training and by hand. DIR/scanner,
DIR/printer and DIR/display are what posagent's configuration names; printed receipts appear in DIR/receipts as PNG and
text, what the customer sees in DIR/display.png.
Type a code and Enter: the scanner scans it. Commands begin with a colon:
  :paper out|in   :cover open|shut   :near on|off   :silent on|off   :stall on|off   :drawer open|shut   :quit
模拟扫码枪、打印机与客显;输入条码回车即扫码,冒号开头为故障命令。测试 TEST`
}

// Run serves the devices until standard input ends, :quit, or SIGTERM.
func (c TillCmd) Run(ctx context.Context, out *cli.Streams) error {
	receipts := filepath.Join(c.Dir, "receipts")
	if err := os.MkdirAll(receipts, 0o700); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	printer, err := device.NewPrinter(device.PrinterOptions{
		WidthMM: c.Width, Directory: receipts, NoCutter: c.Width == 58,
		Receipt: func(r device.Receipt) {
			_, _ = fmt.Fprintf(out.Out, "── 小票 receipt %d → %s\n%s", r.N, receipts, r.Text())
		},
	})
	if err != nil {
		return err
	}
	scanner := device.NewScanner(device.ScannerOptions{})
	display, err := c.display(out)
	if err != nil {
		return err
	}
	for name, d := range map[string]device.Served{"printer": printer, "scanner": scanner, "display": display} {
		bench, err := device.Start(ctx, d)
		if err != nil {
			return err
		}
		defer func() { _ = bench.Unplug() }() // the process ends with it
		link := filepath.Join(c.Dir, name)
		_ = os.Remove(link) // of an earlier run
		if err := os.Symlink(bench.Path, link); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out.Out, "%s %s → %s\n", name, link, bench.Path); err != nil {
			return err
		}
	}
	return typed(ctx, out, counterTop{printer: printer, scanner: scanner})
}

// display makes the customer display, which shows Chinese and is led8's digits alone.
func (c TillCmd) display(out *cli.Streams) (*device.LineDisplay, error) {
	opt := device.LineDisplayOptions{Language: c.Display, Chinese: c.Display != "led8"}
	if c.Display == "led8" {
		opt.Labels = "stx_l" // as firmware-profiles' led8 has it
	}
	var d *device.LineDisplay
	opt.Shown = func(lines []string) {
		_, _ = fmt.Fprintf(out.Out, "── 客显 display │ %s │\n", strings.Join(lines, " │ "))
		if err := d.Save(filepath.Join(c.Dir, "display.png")); err != nil {
			_, _ = fmt.Fprintln(out.Err, err)
		}
	}
	d, err := device.NewLineDisplay(opt)
	return d, err
}

// typed carries out what is typed, line by line.
func typed(ctx context.Context, out *cli.Streams, b counterTop) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out.In); s.Scan(); {
			select {
			case lines <- strings.TrimSpace(s.Text()):
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
			if !more || line == ":quit" {
				return nil
			}
			if err := b.do(line); err != nil {
				_, _ = fmt.Fprintln(out.Err, err)
			}
		}
	}
}

type counterTop struct {
	printer *device.Printer
	scanner *device.Scanner
}

// do scans a code, or carries out a command.
func (b counterTop) do(line string) error {
	command, ok := strings.CutPrefix(line, ":")
	if line == "" {
		return nil
	}
	if !ok {
		return b.scanner.Scan(line, "")
	}
	what, value, _ := strings.Cut(command, " ")
	on, known := map[string]bool{
		"out": true, "in": false, "open": true, "shut": false, "on": true, "off": false,
	}[strings.TrimSpace(value)]
	set := map[string]func(bool){
		"paper": func(gone bool) { b.printer.SetPaper(!gone) }, "cover": b.printer.SetCover, "near": b.printer.SetNearEnd,
		"silent": b.printer.SetSilent, "stall": b.printer.SetStalled, "drawer": b.printer.SetDrawer,
	}[what]
	if set == nil || !known {
		return fmt.Errorf("%s: unknown command 未知命令; --help lists them", strconv.Quote(line))
	}
	set(on)
	return nil
}
