// Command poslab is the outside world, simulated: institutions, wallets, device
// benches, broken networks and disks. Everything it makes says that it is a TEST.
package main

import (
	"os"

	"dcpos/internal/cli"
)

type grammar struct {
	Forgetfs ForgetfsCmd `cmd:"" help:"Mount a file system that forgets what was not fsynced."`
}

func main() {
	os.Exit(run(os.Args[1:], cli.OS()))
}

func run(args []string, out *cli.Streams) int {
	return cli.Main("poslab", "The outside world of dcpos, simulated for tests, training and demos. 测试 TEST only.\n"+
		"Exit codes: 0 ok, 1 a negative finding, 2 usage or bad input, 3 cannot reach.", &grammar{}, args, out)
}
