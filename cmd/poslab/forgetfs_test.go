package main

import (
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// lab/forgetfs.Start runs a poslab binary with these arguments.
func TestForgetfsTakesTheArgumentsThatStartGives(t *testing.T) {
	dir, mount := t.TempDir(), t.TempDir()
	var g struct {
		Forgetfs ForgetfsCmd `cmd:""`
	}
	parser, err := kong.New(&g)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse([]string{
		"forgetfs", "--dir=" + dir, "--mount=" + mount, "--control=/c",
		"--torn", "--strict-dirs", "--seed=18446744073709551615", "--max-unsynced=5",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := ForgetfsCmd{
		Dir: dir, Mount: mount, Control: "/c",
		Torn: true, StrictDirs: true, Seed: 1<<64 - 1, MaxUnsynced: 5,
	}
	if diff := cmp.Diff(want, g.Forgetfs); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
}
