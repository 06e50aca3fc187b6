package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// meta is Debian's package that depends on the current kernel of the release.
const meta = "linux-image-amd64"

// kernel is an unpacked kernel in the cache.
type kernel struct {
	image   string // vmlinux, uncompressed: it boots by PVH, seconds faster than by unpacking itself
	modules string // folder lib/modules/<release>
}

// findKernel gives the release's kernel, from the cache if it is there. Where apt's
// lists are missing any kernel in the cache does.
func findKernel(ctx context.Context) (kernel, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return kernel{}, fmt.Errorf("find cache: %w", err)
	}
	cache = filepath.Join(cache, "dcpos", "guest")
	name, err := packageName(ctx)
	if err != nil {
		if k, ok := newest(cache); ok {
			return k, nil
		}
		return kernel{}, err
	}
	folder := filepath.Join(cache, name)
	if k, ok := unpacked(folder); ok {
		return k, nil
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return kernel{}, err
	}
	if err := unpack(ctx, cache, strings.Split(name, "=")[0], folder); err != nil {
		return kernel{}, fmt.Errorf("get kernel %s: %w", name, err)
	}
	k, ok := unpacked(folder)
	if !ok {
		return kernel{}, fmt.Errorf("package %s holds no kernel with modules", name)
	}
	return k, nil
}

var dependency = regexp.MustCompile(`(?m)^Depends: (linux-image-[^ ,]+)[^\n]*$`)

// packageName is the kernel's package with its version, "linux-image-6.1.0-1-amd64=6.1.2-3".
func packageName(ctx context.Context) (string, error) {
	about, err := run(ctx, "", "apt-cache", "show", "--no-all-versions", meta)
	if err != nil {
		return "", fmt.Errorf("look for %s (apt-get update first): %w", meta, err)
	}
	found := dependency.FindSubmatch(about)
	if found == nil {
		return "", fmt.Errorf("look for %s: apt knows no kernel; run apt-get update", meta)
	}
	about, err = run(ctx, "", "apt-cache", "show", "--no-all-versions", string(found[1]))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(about)) {
		if version, ok := strings.CutPrefix(line, "Version: "); ok {
			return string(found[1]) + "=" + strings.TrimSpace(version), nil
		}
	}
	return "", fmt.Errorf("look for %s: apt tells no version", found[1])
}

func unpacked(folder string) (kernel, bool) {
	k := kernel{image: filepath.Join(folder, "vmlinux")}
	releases, _ := filepath.Glob(filepath.Join(folder, "lib", "modules", "*")) // the pattern is right
	if _, err := os.Stat(k.image); err != nil || len(releases) != 1 {
		return kernel{}, false
	}
	k.modules = releases[0]
	return k, true
}

func newest(cache string) (kernel, bool) {
	folders, _ := filepath.Glob(filepath.Join(cache, "linux-image-*")) // the pattern is right
	slices.Sort(folders)
	for _, f := range slices.Backward(folders) {
		if k, ok := unpacked(f); ok {
			return k, true
		}
	}
	return kernel{}, false
}

// unpack downloads a package and leaves what a guest needs of it in folder, which is
// there whole or not at all.
func unpack(ctx context.Context, cache, name, folder string) error {
	work, err := os.MkdirTemp(cache, "unpack")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // only a cache
	if _, err := run(ctx, work, "apt-get", "download", "-q", name); err != nil {
		return err
	}
	debs, _ := filepath.Glob(filepath.Join(work, "*.deb")) // the pattern is right
	if len(debs) != 1 {
		return fmt.Errorf("download %s: %d files came", name, len(debs))
	}
	if _, err := run(ctx, work, "dpkg-deb", "-x", debs[0], work); err != nil {
		return err
	}
	images, _ := filepath.Glob(filepath.Join(work, "boot", "vmlinuz-*")) // the pattern is right
	if len(images) != 1 {
		return fmt.Errorf("package %s holds %d kernels", name, len(images))
	}
	if err := decompress(ctx, images[0], filepath.Join(work, "vmlinux")); err != nil {
		return err
	}
	if err := errors.Join(os.Remove(debs[0]), os.RemoveAll(filepath.Join(work, "boot")), os.RemoveAll(filepath.Join(work, "usr"))); err != nil {
		return err
	}
	if err := os.Rename(work, folder); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// decompress takes the kernel proper out of a bzImage (Documentation/arch/x86/boot.rst:
// setup_sects at 1f1, "HdrS" at 202, payload_offset at 248, payload_length at 24c). The last four bytes
// of the payload are its length, which xz does not know.
func decompress(ctx context.Context, image, to string) error {
	b, err := os.ReadFile(image) //nolint:gosec // out of the package
	if err != nil {
		return err
	}
	if len(b) < 0x250 || string(b[0x202:0x206]) != "HdrS" {
		return fmt.Errorf("%s is no kernel", image)
	}
	start := (int(b[0x1f1])+1)*512 + int(binary.LittleEndian.Uint32(b[0x248:]))
	end := start + int(binary.LittleEndian.Uint32(b[0x24c:])) - 4
	if start < 0 || start >= end || end > len(b) || !bytes.HasPrefix(b[start:], []byte("\xfd7zXZ\x00")) {
		return fmt.Errorf("%s is not compressed by xz", image)
	}
	xz := exec.CommandContext(ctx, "xz", "-dc")
	xz.Stdin = bytes.NewReader(b[start:end])
	var out, complaint bytes.Buffer
	xz.Stdout, xz.Stderr = &out, &complaint
	if err := xz.Run(); err != nil {
		return fmt.Errorf("xz: %w: %s", err, complaint.Bytes())
	}
	return os.WriteFile(to, out.Bytes(), 0o600)
}

// run runs a program and gives its output; the error has what it complained about.
func run(ctx context.Context, folder, name string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, name, args...) //nolint:gosec // the names are this package's
	c.Dir = folder
	c.Env = append(os.Environ(), "LC_ALL=C")
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out, nil
}
