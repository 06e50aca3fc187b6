package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/lab/device"
	"dcpos/lab/drill"
	"dcpos/pos"
	"dcpos/sdk"
)

// idleDevices measures a real, enrolled agent that is left alone with five devices, beside
// the same agent without any.
func idleDevices(ctx context.Context, r *run) (err error) {
	site, err := r.site(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	till := site.Tills[0]
	if err := connected(ctx, till, true); err != nil {
		return err
	}
	span := max(r.Repeat*6, time.Second) // half a minute, where a repetition takes five seconds
	alone, bare, err := idle(ctx, till, span)
	if err != nil {
		return err
	}
	if err := till.Stop(); err != nil {
		return err
	}
	config, unplug, err := five(ctx, r)
	if err != nil {
		return err
	}
	defer unplug()
	socket, err := till.Reconfigure(config)
	if err != nil {
		return err
	}
	if err := till.Restart(ctx); err != nil {
		return err
	}
	if err := connected(ctx, till, true); err != nil {
		return err
	}
	if err := allWork(ctx, socket, len(names())); err != nil {
		return err
	}
	percent, memory, err := idle(ctx, till, span)
	if err != nil {
		return err
	}
	r.report(Figure{
		Name: "cpu", Value: percent, Unit: "%",
		Means: pos.Text{ZH: fmt.Sprintf("接五台外设空闲 %s 的单核占用", span), EN: fmt.Sprintf("of one core, idle for %s with five devices", span)},
		Peer:  &Peer{Name: "without devices", Value: alone},
	})
	r.report(Figure{
		Name: "rss", Value: memory, Unit: "MiB",
		Means: pos.Text{ZH: "此时常驻内存", EN: "resident memory then"},
		Peer:  &Peer{Name: "without devices", Value: bare},
	})
	return nil
}

// names are the five devices: what a counter has.
func names() []string { return []string{"printer", "scanner", "scanner-2", "nfc", "display"} }

// five plugs them in and returns the configuration that names them.
func five(ctx context.Context, r *run) (config map[string]any, unplug func(), err error) {
	printer, err := device.NewPrinter(device.PrinterOptions{})
	if err != nil {
		return nil, nil, err
	}
	display, err := device.NewLineDisplay(device.LineDisplayOptions{Language: "cd5220"})
	if err != nil {
		return nil, nil, err
	}
	models := map[string]device.Served{
		"printer": printer, "scanner": device.NewScanner(device.ScannerOptions{}), "scanner-2": device.NewScanner(device.ScannerOptions{}),
		"nfc": device.NewPN532(device.PN532Options{}), "display": display,
	}
	profile := map[string]string{
		"printer": benchPrinter, "scanner": benchScanner, "scanner-2": benchScanner, "nfc": "pn532-uart", "display": "cd5220",
	}
	var plugged []*device.Socket
	unplug = func() {
		for _, s := range plugged {
			_ = s.Unplug() // the bench ends with it
		}
	}
	config = map[string]any{}
	for name, model := range models {
		s := &device.Socket{Path: r.path(name)}
		if err := s.Plug(ctx, model); err != nil {
			unplug()
			return nil, nil, err
		}
		plugged = append(plugged, s)
		named := map[string]any{"profile": profile[name], "transport": map[string]any{"kind": "serial", "path": s.Path}}
		if name == "scanner-2" {
			config["scanners"] = []any{named}
		} else {
			config[name] = named
		}
	}
	return config, unplug, nil
}

// allWork waits until so many devices do their work.
func allWork(ctx context.Context, socket string, n int) error {
	client, err := sdk.New(sdk.Options{Socket: socket, Caller: "bench"})
	if err != nil {
		return err
	}
	return until(ctx, 20*time.Millisecond, "the devices work", func() (bool, error) {
		list, err := client.Devices(ctx)
		works := 0
		for _, d := range list.Devices {
			if d.Works() {
				works++
			}
		}
		return works == n, err
	})
}

// idle leaves a till alone and tells how much of a core it used, in percent, and what it
// holds, in MiB.
func idle(ctx context.Context, t *drill.Till, how time.Duration) (percent, memory float64, err error) {
	before, err := drill.UsageOf(t.PID())
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	timer := time.NewTimer(how)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	after, err := drill.UsageOf(t.PID())
	used := (after.CPU - before.CPU).Seconds() / time.Since(began).Seconds()
	return 100 * used, after.ResidentMiB, err
}
