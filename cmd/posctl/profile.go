package main

import (
	"fmt"
	"os"

	profiles "dcpos/firmware-profiles"
	"dcpos/internal/cli"
)

// ProfileCmd is posctl profile.
type ProfileCmd struct {
	Check profileCheckCmd `cmd:"" help:"Validate device and terminal profiles. 校验设备配置文件。"`
}

type profileCheckCmd struct {
	Files []string `arg:"" name:"file" help:"YAML files. 文件。"`
}

// Run checks every file and names each finding; exit 1 when there is one, 2 when a file cannot be read.
func (p profileCheckCmd) Run(out *cli.Streams) error {
	code := cli.OK
	for _, file := range p.Files {
		b, err := os.ReadFile(file)
		if err != nil {
			return cli.Exit(cli.Usage, err)
		}
		kind, err := profiles.Check(file, b)
		if err != nil {
			code = cli.Negative
			if _, err := fmt.Fprintf(out.Out, "✗ %v\n", err); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(out.Out, "✓ %s: %s\n", file, kind); err != nil {
			return err
		}
	}
	return cli.Exit(code, nil)
}
