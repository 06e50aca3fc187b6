package main

import (
	"log/slog"
	"testing"

	"dcpos/agent/identity"
	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

func TestDevicesOfTheSettings(t *testing.T) {
	line := func(name, path string) drivers.DeviceConfig {
		return drivers.DeviceConfig{
			Name: name, Profile: "serial-cr", Transport: drivers.TransportConfig{Kind: drivers.TransportSerial, Path: path},
		}
	}
	one := line("", "/dev/ttyACM0")
	printer := line("", "/dev/ttyS0")
	a := agent{log: slog.New(slog.DiscardHandler), settings: settings{
		Printer: &printer, Scanner: &one, Scanners: []drivers.DeviceConfig{line("", "/dev/ttyACM1"), line("hall", "/dev/ttyACM2")},
	}}
	var names []string
	for _, s := range a.devices(identity.Identity{}, nil).Status() {
		names = append(names, s.Name)
	}
	if len(names) != 4 || names[0] != "printer" || names[1] != "scanner" || names[2] != "scanner-2" || names[3] != "hall" {
		t.Fatal(names)
	}
}

func TestATillPrintsWhereItsClassHasAPrinter(t *testing.T) {
	class := profiles.Class{Devices: []profiles.ClassDevice{{Kind: profiles.KindPrinter}}}
	printer := &drivers.DeviceConfig{}
	for name, c := range map[string]struct {
		agent agent
		want  bool
	}{
		"named":                     {agent{settings: settings{Printer: printer}}, true},
		"found by itself":           {agent{class: class, settings: settings{Devices: deviceSettings{Auto: true}}}, true},
		"not looked for":            {agent{class: class}, false},
		"a class without a printer": {agent{settings: settings{Devices: deviceSettings{Auto: true}}}, false},
	} {
		if got := c.agent.prints(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
