package campaign_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	"dcpos/internal/testbin"
)

// TestWholeCampaigns plays campaigns of the seeds at a small scale from publish to
// statement; poslab fails where one fen is not where the truth has it.
func TestWholeCampaigns(t *testing.T) {
	for _, name := range []string{"wangfujing-2021", "suzhou-2020"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			out, err := poslab(t.Context(), t, "campaign", name, "--scale", "0.0006", "--dir", dir)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			verify := exec.CommandContext(t.Context(), filepath.Join(testbin.Dir(t), "posctl"), "draw", "verify", filepath.Join(dir, "draw"))
			if out, err := verify.CombinedOutput(); err != nil {
				t.Errorf("posctl draw verify: %v\n%s", err, out)
			}
		})
	}
}

func poslab(ctx context.Context, t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(ctx, filepath.Join(testbin.Dir(t), "poslab"), args...).CombinedOutput()
	return string(out), err
}
