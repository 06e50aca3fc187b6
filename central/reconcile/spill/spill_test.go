package spill

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestStoreGivesBackEveryRecordOfEveryList(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		memory := rapid.SampledFrom([]int64{0, 3 * MinPage, 1 << 20}).Draw(rt, "memory")
		n := rapid.IntRange(1, 5).Draw(rt, "lists")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 900), 0, 200).Draw(rt, "records")
		s, err := NewStore(dir, MinPage, memory)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		want := make([]int64, n)
		var all []List
		for worker := range 2 {
			a := s.NewAppender(n)
			for i, size := range sizes {
				b, err := a.Space(i%n, size)
				if err != nil {
					rt.Fatal(err)
				}
				for k := range b {
					b[k] = byte(i + worker)
				}
				want[i%n] += int64(size) * int64(byte(i+worker))
			}
			lists, err := a.Finish()
			if err != nil {
				rt.Fatal(err)
			}
			if all == nil {
				all = lists
				continue
			}
			for i := range all {
				all[i].Join(lists[i])
			}
		}
		for i, l := range all {
			var got, bytes int64
			err := s.Each(l, func(records []byte) error {
				bytes += int64(len(records))
				for _, b := range records {
					got += int64(b)
				}
				return nil
			})
			if err != nil || got != want[i] || bytes != l.Bytes {
				rt.Fatalf("list %d: sum %d of %d, bytes %d of %d, %v", i, got, want[i], bytes, l.Bytes, err)
			}
		}
		if memory == 0 && len(sizes) > 0 && s.Spilled() == 0 {
			rt.Fatal("nothing went to disk")
		}
	})
	noFiles(t, dir)
}

func TestSorterSortsWhateverTheBudget(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{0, 1, 100, 100_000} {
		s := NewSorter(dir, 1) // the least: 64 KiB, so that 100,000 records take several levels of merging
		var group sync.WaitGroup
		for w := range 2 {
			group.Go(func() {
				for i := w; i < n; i += 2 {
					key := fmt.Appendf(nil, "%08d", (i*7919)%max(n, 1))
					if err := s.Add(key, fmt.Appendf(nil, "value of %s with some length to it", key)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		var last []byte
		got := 0
		err := s.Sorted(func(key, value []byte) error {
			if bytes.Compare(last, key) >= 0 || !bytes.Contains(value, key) {
				t.Fatalf("%s after %s, value %s", key, last, value)
			}
			last = append(last[:0], key...)
			got++
			return nil
		})
		if err != nil || got != n {
			t.Errorf("%d of %d records, %v", got, n, err)
		}
		s.Close()
	}
	noFiles(t, dir)
}

func TestSorterStopsWhenItsReaderDoes(t *testing.T) {
	s := NewSorter(t.TempDir(), 1)
	for i := range 10_000 {
		if err := s.Add(fmt.Appendf(nil, "%d", i), []byte("vvvvvvvvvvvvvvvv")); err != nil {
			t.Fatal(err)
		}
	}
	stop := errors.New("enough")
	if err := s.Sorted(func([]byte, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	s.Close()
}

func TestCompareIsOfWholeKeys(t *testing.T) {
	s := NewSorter(t.TempDir(), 1<<20)
	keys := []string{"b", "", "ab", "a", "\xff", "a\x00"}
	for _, k := range keys {
		if err := s.Add([]byte(k), nil); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(keys, cmp.Compare[string])
	i := 0
	if err := s.Sorted(func(k, _ []byte) error {
		if string(k) != keys[i] {
			t.Errorf("key %d is %q, want %q", i, k, keys[i])
		}
		i++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func noFiles(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("files with a name: %v %v", left, err)
	}
}
