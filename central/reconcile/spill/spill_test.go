package spill

import (
	"bytes"
	"cmp"
	"encoding/binary"
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
		records := rapid.IntRange(0, 3000).Draw(rt, "records")
		s := NewStore(dir, MinPage, memory)
		defer func() { _ = s.Close() }()
		for round := range 2 { // the second round uses the memory of the first again
			lists := make([]List, n)
			for worker := range 2 {
				a := s.NewAppender(n)
				for i := range records {
					if err := a.Add(i%n, uint64(i), uint64(worker)); err != nil {
						rt.Fatal(err)
					}
				}
				some, err := a.Finish()
				if err != nil {
					rt.Fatal(err)
				}
				for i := range lists {
					lists[i].Join(some[i])
				}
			}
			for i, l := range lists {
				checkList(rt, s, l, i, n, records)
				s.Release(l)
			}
			if memory == 0 && records > 0 && s.Spilled() == 0 {
				rt.Fatal("nothing went to disk in round", round)
			}
		}
	})
	noFiles(t, dir)
}

// checkList looks for each of list i's records once of every worker.
func checkList(t *rapid.T, s *Store, l List, i, lists, records int) {
	got := map[[2]uint64]bool{}
	for _, keep := range []bool{true, false} {
		var pages [][]byte
		buf := &Buffer{Keep: keep}
		read := func(page []byte) {
			for ; len(page) > 0; page = page[RecordSize:] {
				got[[2]uint64{binary.LittleEndian.Uint64(page), binary.LittleEndian.Uint64(page[8:])}] = true
			}
		}
		clear(got)
		err := s.Each(l, buf, func(page []byte) error {
			pages = append(pages, page)
			if !keep {
				read(page)
			}
			return nil
		})
		if keep {
			for _, page := range pages {
				read(page)
			}
		}
		want := 2 * ((records - i + lists - 1) / lists)
		if err != nil || len(got) != want || l.Rows != int64(want) {
			t.Fatalf("list %d: %d records and %d rows of %d, keep %v, %v", i, len(got), l.Rows, want, keep, err)
		}
		for r := range got {
			if r[0]%uint64(lists) != uint64(i) || r[0] >= uint64(records) || r[1] > 1 {
				t.Fatalf("list %d holds %v", i, r)
			}
		}
	}
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
