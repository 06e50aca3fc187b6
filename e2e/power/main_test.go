package power_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"dcpos/lab/forgetfs"
)

var (
	rounds = flag.Int("rounds", 4, "power cuts per case")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of moments and torn pages")
)

// writerCommand is the first argument by which the test binary becomes the program under test.
const writerCommand = "writer"

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	served, err := forgetfs.ServeIfAsked(ctx, os.Args[1:], os.Stderr)
	if served {
		exit(err)
	}
	if len(os.Args) > 3 {
		switch a, b := os.Args[2], os.Args[3]; os.Args[1] {
		case writerCommand:
			exit(write(ctx, a, b, os.Stdout))
		case tillCommand:
			exit(take(ctx, a, b, os.Stdout))
		case sturdyCommand:
			exit(sturdy(ctx, a, os.Stdin, os.Stdout))
		case conveyorCommand:
			exit(convey(ctx, a, b, os.Stdout))
		case holderCommand:
			exit(hold(ctx, a, b))
		}
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
