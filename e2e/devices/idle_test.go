package devices_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dcpos/internal/cli"
	"dcpos/lab/device"
	"dcpos/lab/drill"
	"dcpos/sdk"
)

// What an idle agent with five devices may use.
const (
	idleFor    = 20 * time.Second
	idleCPU    = 0.5 // percent of one core
	idleMemory = 40  // MiB resident
)

// programs builds the programs as they ship: with the race detector they are not what is
// weighed here, so DCPOS_BIN does not count.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/",
		"dcpos/cmd/posagent", "dcpos/cmd/poscentral", "dcpos/cmd/posctl", "dcpos/cmd/poslab").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return dir
}

// counter is a printer and four scanners on serial lines.
type counter struct {
	printer  *device.Printer
	scanners [4]*device.Scanner
	benches  []*device.Bench
}

// named are the settings that name them.
func (c *counter) plug(t *testing.T) map[string]any {
	t.Helper()
	var err error
	if c.printer, err = device.NewPrinter(device.PrinterOptions{}); err != nil {
		t.Fatal(err)
	}
	line := func(profile string, d device.Served) map[string]any {
		b, err := device.Start(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		c.benches = append(c.benches, b)
		t.Cleanup(func() { _ = b.Unplug() })
		return map[string]any{"profile": profile, "transport": map[string]any{"kind": "serial", "path": b.Path}}
	}
	config := map[string]any{"printer": line("escpos-80mm-gb18030", c.printer)}
	var scanners []any
	for i := range c.scanners {
		profile, opt := "serial-cr", device.ScannerOptions{}
		if i == 3 { // how it is set nobody knows
			profile, opt.Suffix = "serial-auto", "\r\n"
		}
		c.scanners[i] = device.NewScanner(opt)
		scanners = append(scanners, line(profile, c.scanners[i]))
	}
	config["scanners"] = scanners
	return config
}

// TestAnIdleAgentIsQuiet runs a real, enrolled agent with five devices, looks at them as
// store IT does, and then leaves it alone for a while.
func TestAnIdleAgentIsQuiet(t *testing.T) {
	bin := programs(t)
	site, err := drill.Open(t.Context(), drill.SiteOptions{Bin: bin, Dir: t.TempDir(), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	}()
	till := site.Tills[0]
	if err := till.Stop(); err != nil {
		t.Fatal(err)
	}
	var c counter
	socket, err := till.Reconfigure(c.plug(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := till.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	client, err := sdk.New(sdk.Options{Socket: socket, Caller: "idle"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ready(t.Context(), client, 5); err != nil {
		t.Fatal(err)
	}
	t.Run("posctl", func(t *testing.T) { asStoreIT(t, bin, socket, &c) })
	t.Run("what a scanner taught outlives the agent", func(t *testing.T) {
		for _, code := range []string{"6901028075862", "96385074", "036000291452"} { // goods codes: nobody pays
			if err := c.scanners[3].Scan(code, ""); err != nil {
				t.Fatal(err)
			}
		}
		framed(t, client, "crlf")
		if err := till.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := till.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ready(t.Context(), client, 5); err != nil {
			t.Fatal(err)
		}
		framed(t, client, "crlf")
		if _, err := client.ForgetFraming(t.Context(), "scanner-4"); err != nil {
			t.Fatal(err)
		}
		framed(t, client, "")
	})
	before, err := drill.UsageOf(till.PID())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	time.Sleep(idleFor)
	after, err := drill.UsageOf(till.PID())
	if err != nil {
		t.Fatal(err)
	}
	percent := 100 * (after.CPU - before.CPU).Seconds() / time.Since(began).Seconds()
	memory := after.ResidentMiB
	t.Logf("idle with five devices for %s: %.2f %% of a core, %.1f MiB resident", idleFor, percent, memory)
	if percent >= idleCPU || memory >= idleMemory {
		t.Errorf("want less than %.1f %% and %d MiB", idleCPU, idleMemory)
	}
}

// ready waits until n devices do their work.
func ready(ctx context.Context, c *sdk.Client, n int) error {
	end := time.Now().Add(time.Minute)
	for {
		list, err := c.Devices(ctx)
		works := 0
		for _, d := range list.Devices {
			if d.Works() {
				works++
			}
		}
		if works == n {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(err, fmt.Errorf("%d of %d devices work: %+v", works, n, list))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// asStoreIT uses the commands by hand.
func asStoreIT(t *testing.T, bin, socket string, c *counter) {
	t.Helper()
	run := func(want int, words []string, args ...string) {
		t.Helper()
		for _, lang := range []string{"zh_CN.UTF-8", "en_US.UTF-8"} {
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "posctl"), append(args, "--socket", socket)...)
			cmd.Env = append(os.Environ(), "LANG="+lang, "LC_ALL=")
			out, err := cmd.CombinedOutput()
			t.Logf("posctl %s\n%s", strings.Join(args, " "), out)
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
				t.Fatalf("posctl %v: %v, want exit %d", args, err, want)
			}
			for _, w := range words {
				if !strings.Contains(string(out), w) {
					t.Errorf("posctl %v says nothing of %q", args, w)
				}
			}
		}
	}
	run(cli.OK, []string{"printer", "scanner-4", "serial:/dev/pts/"}, "devices")
	run(cli.OK, []string{"printer"}, "selftest", "printer")
	run(cli.OK, []string{"HoursPoweredCount", "ReceiptLinePrintedCount", "opened"}, "devices", "--statistics", "printer")
	c.printer.SetPaper(false)
	wait := time.Now().Add(time.Minute)
	for {
		out, _ := exec.CommandContext(t.Context(), filepath.Join(bin, "posctl"), "devices", "--json", "--socket", socket).Output()
		if strings.Contains(string(out), "EPTR_REC_EMPTY") {
			break
		}
		if time.Now().After(wait) {
			t.Fatalf("the printer's own report of its paper was not heard: %s", out)
		}
	}
	run(cli.Negative, []string{"✗"}, "devices")
	run(cli.Negative, []string{"✗", "→", "printer"}, "doctor")
	run(cli.Negative, []string{"✗"}, "selftest", "printer")
	c.printer.SetPaper(true)
}

// framed waits until the fourth scanner's framing is known as wanted; "": not at all.
func framed(t *testing.T, c *sdk.Client, want string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		d, err := c.Device(t.Context(), "scanner-4")
		if err == nil && (d.Framing == nil && want == "" || d.Framing != nil && d.Framing.End == want && d.Framing.From == "learned") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("framing %+v, want %q: %v", d.Framing, want, err)
		}
	}
}
