package forgetfs

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree lists names and contents below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if info.IsDir() {
			out = append(out, name+"/")
			return nil
		}
		content, err := os.ReadFile(path)
		out = append(out, name+"="+string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

type namer struct {
	t   *testing.T
	dir string
	log *nameLog
}

func (n *namer) ok(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *namer) create(name string) {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	n.ok(os.WriteFile(path, []byte("new"), 0o600))
	n.ok(n.log.created(path, false))
}

func (n *namer) mkdir(name string) {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	n.ok(os.Mkdir(path, 0o700))
	n.ok(n.log.created(path, true))
}

func (n *namer) rename(from, to string) {
	n.t.Helper()
	n.ok(n.log.rename(filepath.Join(n.dir, from), filepath.Join(n.dir, to)))
}

func (n *namer) remove(name string) {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	info, err := os.Lstat(path)
	n.ok(err)
	n.ok(n.log.remove(path, info.IsDir()))
}

func (n *namer) fsync(name string) {
	n.t.Helper()
	inode, err := inodeOf(filepath.Join(n.dir, name))
	n.ok(err)
	n.ok(n.log.commit(inode))
}

func TestNamesNeedAnFsync(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*namer)
		want []string
	}{
		"nothing synced: all undone": {func(n *namer) {
			n.create("x")
			n.mkdir("d")
			n.create("d/y")
			n.remove("old")
		}, []string{"old=old"}},
		"fsync of a file keeps its name only": {func(n *namer) {
			n.create("x")
			n.create("z")
			n.fsync("x")
		}, []string{"old=old", "x=new"}},
		"fsync of a file keeps the new directories above it": {func(n *namer) {
			n.mkdir("d")
			n.mkdir("d/e")
			n.create("d/e/y")
			n.create("z")
			n.fsync("d/e/y")
		}, []string{"d/", "d/e/", "d/e/y=new", "old=old"}},
		"fsync of the directory keeps all its names": {func(n *namer) {
			n.create("x")
			n.mkdir("d")
			n.create("d/y")
			n.fsync(".")
		}, []string{"d/", "old=old", "x=new"}},
		"an overwriting rename comes undone as one step": {func(n *namer) {
			n.create("tmp")
			n.fsync("tmp")
			n.rename("tmp", "old")
		}, []string{"old=old", "tmp=new"}},
		"an overwriting rename with an fsync of the directory stays": {func(n *namer) {
			n.create("tmp")
			n.rename("tmp", "old")
			n.fsync(".")
		}, []string{"old=new"}},
		"a name inside a directory that was renamed durably": {func(n *namer) {
			n.mkdir("d")
			n.fsync(".")
			n.create("d/y")
			n.rename("d", "e")
			n.fsync(".")
		}, []string{"e/", "old=old"}},
		"remove and create again": {func(n *namer) {
			n.remove("old")
			n.create("old")
		}, []string{"old=old"}},
		"remove and create again, synced": {func(n *namer) {
			n.remove("old")
			n.create("old")
			n.fsync("old")
		}, []string{"old=new"}},
		"a directory that was emptied and removed durably stays away": {func(n *namer) {
			n.mkdir("d")
			n.fsync(".")
			n.mkdir("d/e")
			n.remove("d/e")
			n.remove("d")
			n.fsync(".")
		}, []string{"old=old"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := &namer{t: t, dir: filepath.Join(t.TempDir(), "d")}
			n.ok(os.Mkdir(n.dir, 0o700))
			n.ok(os.WriteFile(filepath.Join(n.dir, "old"), []byte("old"), 0o600))
			log, err := newNameLog(n.dir + ".graves")
			n.ok(err)
			n.log = log
			c.do(n)
			n.ok(log.undo(len(log.pending)))
			if diff := cmp.Diff(c.want, tree(t, n.dir)); diff != "" {
				t.Errorf("after the cut (-want +got):\n%s", diff)
			}
			n.ok(log.settle())
			if len(log.dirs) != 0 {
				t.Errorf("%d directories still held", len(log.dirs))
			}
		})
	}
}

// Whatever a disk that reorders its directories loses, what is left could have been: every
// name that stays stands in a directory that stays, and each file is the old or the new one.
func TestNamesAreLostInAnyOrderAndNeverTornApart(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		n := &namer{t: t, dir: filepath.Join(t.TempDir(), "d")}
		n.ok(os.Mkdir(n.dir, 0o700))
		n.ok(os.WriteFile(filepath.Join(n.dir, "old"), []byte("old"), 0o600))
		log, err := newNameLog(n.dir + ".graves")
		n.ok(err)
		n.log = log
		n.create("a")
		n.create("b")
		n.mkdir("d")
		n.create("d/c")
		n.create("tmp")
		n.rename("tmp", "old")
		n.ok(log.undoAny(rand.New(rand.NewPCG(seed, 0))))
		left := tree(t, n.dir)
		n.ok(log.settle())
		seen[strings.Join(left, " ")] = true
		has := func(name string) bool { return slices.Contains(left, name) }
		if has("d/c=new") && !has("d/") || has("old=old") == has("old=new") || has("tmp=new") && has("old=new") {
			t.Fatalf("seed %d: %v", seed, left)
		}
	}
	reordered := slices.ContainsFunc(slices.Collect(maps.Keys(seen)), func(s string) bool {
		return strings.HasPrefix(s, "b=new") // the second creation without the first
	})
	if len(seen) < 10 || !reordered {
		t.Errorf("%d outcomes, reordered %t", len(seen), reordered)
	}
}
