package drill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used and holds.
type Usage struct {
	CPU         time.Duration // of all its threads that still are, user and system
	ResidentMiB float64
}

// UsageOf looks at a running process. The times are the scheduler's own, in nanoseconds
// (/proc/PID/task/TID/schedstat), not the hundredths of a second of /proc/PID/stat: an idle
// program uses less than one.
func UsageOf(pid int) (u Usage, err error) {
	root := filepath.Join("/proc", strconv.Itoa(pid))
	tasks, err := os.ReadDir(filepath.Join(root, "task"))
	if err != nil {
		return u, fmt.Errorf("usage: %w", err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(filepath.Join(root, "task", task.Name(), "schedstat"))
		if errors.Is(err, fs.ErrNotExist) { // a thread that has just ended
			continue
		}
		if err != nil {
			return u, fmt.Errorf("usage: %w", err)
		}
		ran, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return u, fmt.Errorf("usage: schedstat: %w", err)
		}
		u.CPU += time.Duration(ns)
	}
	b, err := os.ReadFile(filepath.Join(root, "status"))
	if err != nil {
		return u, fmt.Errorf("usage: %w", err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	size, _, _ := strings.Cut(rest, "kB")
	kib, err := strconv.Atoi(strings.TrimSpace(size))
	if err != nil {
		return u, fmt.Errorf("usage: VmRSS: %w", err)
	}
	u.ResidentMiB = float64(kib) / 1024
	return u, nil
}

// Reconfigure adds keys to the file of a till that does not run, and returns the path of
// its local API.
func (t *Till) Reconfigure(more map[string]any) (socket string, err error) {
	b, err := os.ReadFile(t.Config)
	if err != nil {
		return "", fmt.Errorf("reconfigure: %w", err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		return "", fmt.Errorf("reconfigure: %w", err)
	}
	for k, v := range more {
		c[k] = v
	}
	api, _ := c["api"].(map[string]any)
	socket, _ = api["unix"].(string)
	return socket, writeConfig(t.Config, c)
}
