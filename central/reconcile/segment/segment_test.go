package segment_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/central/reconcile/segment"
	"dcpos/pos"
)

func nameFor(content string) string {
	sum := sha256.Sum256([]byte(content))
	return segment.Name("text", sum[:])
}

// bucket is the little of S3 that a store needs; it refuses what is not signed.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	busy    int // answers before it works
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy > 0 {
		b.busy--
		http.Error(w, "SlowDown", http.StatusServiceUnavailable)
		return
	}
	auth := r.Header.Get("Authorization")
	if !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=key/") || !strings.Contains(auth, "/eu-1/s3/aws4_request") ||
		r.Header.Get("X-Amz-Date") == "" || !strings.Contains(auth, "x-amz-content-sha256") {
		http.Error(w, "AccessDenied", http.StatusForbidden)
		return
	}
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength {
			http.Error(w, "IncompleteBody", http.StatusBadRequest)
			return
		}
		b.objects[r.URL.Path] = body
		return
	}
	body, ok := b.objects[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", fixed, bytes.NewReader(body))
}

var fixed = time.Unix(1_600_000_000, 0)

// TestHeldFilesAreBounded reads more objects than are held open, at once and again.
func TestHeldFilesAreBounded(t *testing.T) {
	held, closer := segment.Hold(segment.Folder(t.TempDir()))
	const objects = 1200
	for i := range objects {
		text := strconv.Itoa(i)
		if err := held.Put(t.Context(), nameFor(text), strings.NewReader(text), int64(len(text))); err != nil {
			t.Fatal(err)
		}
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range 2 * objects {
				text := strconv.Itoa(i % objects)
				b := make([]byte, len(text))
				if err := held.ReadAt(t.Context(), nameFor(text), b, 0); err != nil || string(b) != text {
					t.Errorf("%s: %q, %v", text, b, err)
				}
			}
		})
	}
	group.Wait()
	if open, err := os.ReadDir("/proc/self/fd"); err == nil && len(open) > objects/2+64 {
		t.Errorf("%d files are open", len(open))
	}
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
}

// TestEveryStore holds every store to the same promises.
func TestEveryStore(t *testing.T) {
	folder := segment.Folder(t.TempDir())
	centre := httptest.NewServer(http.StripPrefix("/segments", segment.Handler(segment.Folder(t.TempDir()), "secret")))
	defer centre.Close()
	remote, err := segment.NewRemote(centre.URL+"/segments/", "secret")
	if err != nil {
		t.Fatal(err)
	}
	s3 := httptest.NewServer(&bucket{objects: map[string][]byte{}, busy: 2})
	defer s3.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hidden")
	t.Setenv("AWS_REGION", "eu-1")
	bucketStore, err := segment.Open("s3+"+s3.URL+"/bucket/prefix", "")
	if err != nil {
		t.Fatal(err)
	}
	held, closer := segment.Hold(segment.Folder(t.TempDir()))
	defer func() { _ = closer.Close() }()
	for name, s := range map[string]segment.Store{"folder": folder, "held": held, "http": remote, "s3": bucketStore} {
		t.Run(name, func(t *testing.T) { keeps(t, s) })
	}
	stranger, err := segment.NewRemote(centre.URL+"/segments", "guess")
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Put(t.Context(), nameFor("x"), strings.NewReader("x"), 1); err == nil {
		t.Error("a stranger has put an object")
	}
	thief, err := segment.NewS3(s3.URL+"/bucket", segment.S3Key{ID: "guess", Secret: "guess", Region: "eu-1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]segment.Store{"http": stranger, "s3": thief} {
		said := pos.AsError(segment.Probe(t.Context(), s))
		if said == nil || !strings.Contains(said.Hint.EN, "refuses access: check the token") || !strings.Contains(said.Hint.ZH, "拒绝访问") {
			t.Errorf("%s: a stranger is told %v", name, said)
		}
	}
	if _, err := stranger.Size(t.Context(), nameFor("hello")); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a stranger was answered: %v", err)
	}
}

func keeps(t *testing.T, s segment.Store) {
	t.Helper()
	ctx := t.Context()
	for range 2 {
		if err := segment.Probe(ctx, s); err != nil {
			t.Errorf("probe: %v", err)
		}
	}
	const content = "hello, segments"
	name := nameFor(content)
	if _, err := s.Size(ctx, name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("size of nothing: %v", err)
	}
	if err := s.ReadAt(ctx, name, make([]byte, 1), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read of nothing: %v", err)
	}
	for range 2 {
		if err := s.Put(ctx, name, strings.NewReader(content), int64(len(content))); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Size(ctx, name); err != nil || n != int64(len(content)) {
		t.Errorf("size %d, %v", n, err)
	}
	b := make([]byte, 8)
	if err := s.ReadAt(ctx, name, b, 7); err != nil || string(b) != "segments" {
		t.Errorf("read %q, %v", b, err)
	}
	if err := s.ReadAt(ctx, name, b, 9); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read beyond the end: %v", err)
	}
	if whole, err := segment.ReadWhole(ctx, s, name, 100); err != nil || string(whole) != content {
		t.Errorf("read %q, %v", whole, err)
	}
	if _, err := segment.ReadWhole(ctx, s, name, 3); !errors.Is(err, segment.ErrDamaged) {
		t.Errorf("read of more than is allowed: %v", err)
	}
	wrong := nameFor("other")
	if err := s.Put(ctx, wrong, strings.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
	if _, err := segment.ReadWhole(ctx, s, wrong, 100); !errors.Is(err, segment.ErrDamaged) {
		t.Errorf("an object under another's name: %v", err)
	}
	for _, bad := range []string{"", "../x", "text-00", "text/" + name, name + "/.."} {
		if err := s.Put(ctx, bad, strings.NewReader("x"), 1); err == nil {
			t.Errorf("an object named %q", bad)
		}
	}
	w := segment.NewWriter(s, t.TempDir(), printKey(t, 1))
	defer w.Close()
	var index struct{ A, B segment.Section }
	var err error
	if index.A, err = w.Section(func(w io.Writer) error { _, err := io.WriteString(w, "first"); return err }); err != nil {
		t.Fatal(err)
	}
	if index.B, err = w.Section(func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 20_000) // written past the buffer
	several, err := w.Sections(large, []int{16, 16, len(large)})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := w.Finish(ctx, "segment", index, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{string(large[:16]), "", string(large[16:])} {
		if b, err := several[i].Read(ctx, s, ref, printKey(t, 1)); err != nil || string(b) != want {
			t.Errorf("section %d of several: %d bytes, %v", i, len(b), err)
		}
	}
	got := struct{ A, B segment.Section }{}
	if err := segment.ReadIndex(ctx, s, ref, &got); err != nil || !cmp.Equal(got, index) {
		t.Errorf("index %+v, %v", got, err)
	}
	if b, err := index.A.Read(ctx, s, ref, printKey(t, 1)); err != nil || string(b) != "first" {
		t.Errorf("section %q, %v", b, err)
	}
	index.A.At++
	index.A.Size--
	if _, err := index.A.Read(ctx, s, ref, printKey(t, 1)); !errors.Is(err, segment.ErrDamaged) {
		t.Errorf("another section: %v", err)
	}
	ref.Index++
	if err := segment.ReadIndex(ctx, s, ref, &got); !errors.Is(err, segment.ErrDamaged) {
		t.Errorf("another index: %v", err)
	}
}

func TestTheFirstNoteStays(t *testing.T) {
	dir := t.TempDir()
	n := segment.Notes(dir)
	key := segment.Name("step", make([]byte, 32))
	if b, err := n.Load(t.Context(), key); b != nil || err != nil {
		t.Errorf("%q %v", b, err)
	}
	var group sync.WaitGroup
	kept := make([]string, 8)
	for i := range kept {
		group.Go(func() {
			b, err := n.Keep(t.Context(), key, []byte{byte('a' + i)})
			if err != nil {
				t.Error(err)
			}
			kept[i] = string(b)
		})
	}
	group.Wait()
	for _, k := range kept {
		if k != kept[0] || k == "" {
			t.Fatalf("different notes were kept: %q", kept)
		}
	}
	// Half a note, as a loss of power leaves it, is none.
	path := filepath.Join(dir, "step", key)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := n.Load(t.Context(), key); b != nil || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if b, err := n.Keep(t.Context(), key, []byte("new")); string(b) != "new" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if b, err := n.Load(t.Context(), key); string(b) != "new" || err != nil {
		t.Errorf("%q %v", b, err)
	}
}

func printKey(tb testing.TB, b byte) segment.Key {
	tb.Helper()
	k, err := segment.NewKey(bytes.Repeat([]byte{b}, segment.PrintKeySize))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestPrintsDependOnTheTextAlone(t *testing.T) {
	sum := func(key byte, parts ...[]byte) string {
		k := printKey(t, key)
		p := k.Print()
		for _, part := range parts {
			_, _ = p.Write(part)
		}
		whole := p.Sum()
		if len(parts) == 1 && !bytes.Equal(k.Of(parts[0]), whole) {
			t.Fatal("at once it is another one")
		}
		return string(whole)
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(rt, "text"), rapid.IntRange(1, 30_000).Draw(rt, "times"))
		cut := rapid.IntRange(0, len(text)).Draw(rt, "cut")
		whole := sum(1, text)
		if whole != sum(1, text[:cut], text[cut:]) {
			rt.Fatal("the print depends on how the text was written")
		}
		other := bytes.Clone(text)
		other[rapid.IntRange(0, len(text)-1).Draw(rt, "at")] ^= 1
		if whole == sum(1, other) || whole == sum(2, text) || whole == sum(1, append(text, 0)) || whole == sum(1, text[:len(text)-1]) {
			rt.Fatal("another text or key has the same print")
		}
	})
}

// TestSweepingLeavesWhatIsYoungAndTheKey: the key names everything that is still there.
func TestSweepingLeavesWhatIsYoungAndTheKey(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	store, notes := segment.Folder(filepath.Join(dir, "data")), segment.Notes(filepath.Join(dir, "notes"))
	name := func(kind string, i byte) string { return segment.Name(kind, bytes.Repeat([]byte{i}, 32)) }
	for i := range byte(2) {
		if err := store.Put(t.Context(), name("segment", i), strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"step", "secret"} {
			if _, err := notes.Keep(t.Context(), name(kind, i), []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(d.Name(), strings.Repeat("00", 32)) {
			err = os.Chtimes(path, now.AddDate(0, 0, -46), now.AddDate(0, 0, -46))
		}
		return err
	})
	if err = errors.Join(err, segment.Sweep(dir, now.AddDate(0, 0, -45)), segment.Sweep(filepath.Join(dir, "none"), now)); err != nil {
		t.Fatal(err)
	}
	for i := range byte(2) {
		_, err := store.Size(t.Context(), name("segment", i))
		step, err1 := notes.Load(t.Context(), name("step", i))
		secret, err2 := notes.Load(t.Context(), name("secret", i))
		if (err == nil) != (i == 1) || (step != nil) != (i == 1) || secret == nil || err1 != nil || err2 != nil {
			t.Errorf("%d: object %v, step %q %v, key %q %v", i, err, step, err1, secret, err2)
		}
	}
}

// FuzzPairs: pairs come from elsewhere; whatever they are, they are given or refused.
func FuzzPairs(f *testing.F) {
	f.Add(segment.AppendPair(nil, []byte("key"), []byte("value")))
	f.Add([]byte{255, 255, 255, 255})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		err := segment.Pairs(b, func(key, value []byte) error {
			again = segment.AppendPair(again, key, value)
			return nil
		})
		if err == nil && !bytes.Equal(again, b) {
			t.Error(cmp.Diff(b, again))
		}
		if err != nil && !errors.Is(err, segment.ErrDamaged) {
			t.Error(err)
		}
	})
}

func BenchmarkPrint(b *testing.B) {
	text := make([]byte, 128<<10)
	b.SetBytes(int64(len(text)))
	p := printKey(b, 1).Print()
	for b.Loop() {
		_, _ = p.Write(text)
	}
}
