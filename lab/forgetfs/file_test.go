package forgetfs

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const modelMax = 5 * pageSize

func openVolatile(tb testing.TB, path string, content []byte) *volatileFile {
	tb.Helper()
	// ext4 flushes a file that was truncated and written again; a new one it does not.
	_ = os.Remove(path)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	back, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = back.Close() })
	f, err := newVolatileFile(back)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func seen(tb rapid.TB, f *volatileFile) []byte {
	tb.Helper()
	p := make([]byte, modelMax*2)
	n, err := f.readAt(p, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return p[:n]
}

// overwrite is what a write does to a plain byte slice.
func overwrite(model, p []byte, off int) []byte {
	if grow := off + len(p) - len(model); grow > 0 {
		model = append(model, make([]byte, grow)...)
	}
	copy(model[off:], p)
	return model
}

func resized(model []byte, n int) []byte {
	if n <= len(model) {
		return model[:n]
	}
	return append(model, make([]byte, n-len(model))...)
}

// A program sees a plain file; a cut leaves exactly what was last synced.
func TestProgramsSeeAPlainFileAndACutLeavesTheSyncedOne(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		start := bytes.Repeat([]byte{0xEE}, rapid.IntRange(0, modelMax).Draw(rt, "start"))
		path := filepath.Join(dir, "f")
		f := openVolatile(t, path, start)
		model, durable := bytes.Clone(start), bytes.Clone(start)
		rt.Repeat(map[string]func(*rapid.T){
			"write": func(rt *rapid.T) {
				off := rapid.IntRange(0, modelMax-1).Draw(rt, "off")
				n := rapid.IntRange(1, modelMax-off).Draw(rt, "n")
				p := bytes.Repeat([]byte{rapid.Byte().Draw(rt, "fill")}, n)
				if err := f.writeAt(p, int64(off), time.Time{}); err != nil {
					rt.Fatal(err)
				}
				model = overwrite(model, p, off)
			},
			"resize": func(rt *rapid.T) {
				n := rapid.IntRange(0, modelMax).Draw(rt, "n")
				f.resize(int64(n), time.Time{})
				model = resized(model, n)
			},
			"sync": func(rt *rapid.T) {
				if err := f.sync(); err != nil {
					rt.Fatal(err)
				}
				if f.dirty() {
					rt.Fatal("dirty after sync")
				}
				durable = bytes.Clone(model)
			},
			"cut": func(*rapid.T) {
				f.forget()
				model = bytes.Clone(durable)
			},
			"": func(rt *rapid.T) {
				if got := seen(rt, f); !bytes.Equal(model, got) {
					rt.Fatalf("programs see %d bytes that are not the %d written", len(got), len(model))
				}
				medium, err := os.ReadFile(path)
				if err != nil {
					rt.Fatal(err)
				}
				if !bytes.Equal(durable, medium) {
					rt.Fatalf("medium holds %d bytes that are not the %d synced ones", len(medium), len(durable))
				}
			},
		})
	})
}

// Whatever a torn cut leaves, each sector is an old one, a new one, or zeros of a
// file that became longer: nothing invented. What was synced with nothing written
// over it stays.
func TestATornCutLeavesOldOrNewSectorsOnly(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		old := bytes.Repeat([]byte{1}, rapid.IntRange(0, 4).Draw(rt, "pages")*pageSize)
		f := openVolatile(t, filepath.Join(dir, "f"), old)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		written := map[int]bool{}
		for range rapid.IntRange(0, 6).Draw(rt, "writes") {
			page := rapid.IntRange(0, 7).Draw(rt, "page")
			written[page] = true
			if err := f.writeAt(bytes.Repeat([]byte{2}, pageSize), int64(page)*pageSize, time.Time{}); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "write back") {
				if err := f.writeBack(rng); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if err := f.tear(rng); err != nil {
			rt.Fatal(err)
		}
		got := seen(rt, f)
		if len(got) < len(old) {
			rt.Fatalf("length %d, was synced with %d", len(got), len(old))
		}
		for start := 0; start < len(got); start += sectorSize {
			sector := got[start:min(start+sectorSize, len(got))]
			isOld := start < len(old) && sector[0] == 1
			isNew := written[start/pageSize] && sector[0] == 2
			isHole := start >= len(old) && sector[0] == 0
			uniform := bytes.Count(sector, sector[:1]) == len(sector)
			if !uniform || !isOld && !isNew && !isHole {
				rt.Fatalf("sector at %d is %d", start, sector[0])
			}
		}
	})
}

func TestATornCutIsRepeatedByItsSeed(t *testing.T) {
	dir := t.TempDir()
	distinct := map[string]bool{}
	for seed := range uint64(64) {
		var first []byte
		for range 2 {
			f := openVolatile(t, filepath.Join(dir, "f"), make([]byte, 8*pageSize))
			for page := range int64(8) {
				if err := f.writeAt(bytes.Repeat([]byte{byte(page + 1)}, pageSize), page*pageSize, time.Time{}); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.tear(rand.New(rand.NewPCG(seed, 0))); err != nil {
				t.Fatal(err)
			}
			got := seen(t, f)
			if first != nil && !bytes.Equal(first, got) {
				t.Fatalf("seed %d gave two different results", seed)
			}
			first = got
		}
		distinct[string(first)] = true
	}
	if len(distinct) < 20 {
		t.Errorf("64 seeds gave only %d different results", len(distinct))
	}
}

func TestADurableWriteLeavesOtherDirtyPagesVolatile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f := openVolatile(t, path, make([]byte, 3*pageSize))
	for _, page := range []int64{0, 2} {
		if err := f.writeAt(bytes.Repeat([]byte{7}, pageSize), page*pageSize, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.syncRange(2*pageSize, pageSize); err != nil {
		t.Fatal(err)
	}
	f.forget()
	got := seen(t, f)
	if got[0] != 0 || got[2*pageSize] != 7 {
		t.Errorf("first page %d, third page %d; want 0 and 7", got[0], got[2*pageSize])
	}
}

// After ext4's kind of failed fsync a program reads what it wrote, a second fsync says yes,
// and a cut takes it all the same; written anew it stays.
func TestAPageThatWasCalledCleanIsWrittenOnlyWhenItIsWrittenAnew(t *testing.T) {
	f := openVolatile(t, filepath.Join(t.TempDir(), "f"), []byte("old"))
	write := func() {
		t.Helper()
		if err := f.writeAt([]byte("new"), 0, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	sync := func() string {
		t.Helper()
		if err := f.sync(); err != nil {
			t.Fatal(err)
		}
		medium, err := os.ReadFile(f.back.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(medium)
	}
	write()
	f.launder()
	if got := sync(); got != "old" || string(seen(t, f)) != "new" {
		t.Errorf("the medium holds %q, programs see %q", got, seen(t, f))
	}
	write()
	if got := sync(); got != "new" {
		t.Errorf("written anew, the medium holds %q", got)
	}
}
