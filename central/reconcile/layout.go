package reconcile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dcpos/central/reconcile/segment"
	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// spec says what workers have to know of a run. It is an object of its own, so that a task
// is a few words.
type spec struct {
	Version   int           `json:"version"`
	Secret    []byte        `json:"secret"`
	Day       string        `json:"settlement_date"`
	Depth     int           `json:"depth"`  // bits of the hash of ids: lists of a segment
	Shards    int           `json:"shards"` // bits of these that number the shards
	Body      int           `json:"body"`   // bits of bodies that briefs use
	Tolerance pos.Money     `json:"amount_tolerance_fen"`
	Texts     []specText    `json:"texts"`
	Portions  []portion     `json:"portions"`
	Segments  []segment.Ref `json:"segments,omitempty"` // of the portions; when joining
}

// specText is one input as plain text.
type specText struct {
	Side   int    `json:"side"`
	Index  int    `json:"index"` // among its side's
	Name   string `json:"name"`  // of the file, for messages
	Format string `json:"format"`
	Path   string `json:"path,omitempty"`   // where it lies, or
	Object string `json:"object,omitempty"` // its name in the store
	Size   int64  `json:"size"`
	Head   []byte `json:"head"`  // in the encoding of the file
	Whole  bool   `json:"whole"` // one portion, whose totals are compared
}

// portion is a run of whole lines of one text.
type portion struct {
	Text  int    `json:"text"`
	Begin int64  `json:"begin"`
	End   int64  `json:"end"`
	Print string `json:"print"` // segment.Print of the text from Begin to End
	// First is the place before its first line: places count lines from there.
	First place `json:"first"`
}

// portionSize is how much text one worker partitions at a time, and how much of a file is
// partitioned again when something in it changes. A statement that is not very large has
// smaller ones, so that no worker waits long for the last one; ours, which are prepared before
// and each have control totals, have not.
const (
	portionSize      = 64 << 20
	smallPortionSize = 16 << 20
)

func (l *layout) portionOf(t *specText) int64 {
	if l.portion == portionSize && t.Side == theirs && t.Size < 16*portionSize {
		return smallPortionSize
	}
	return l.portion
}

// mostDepth is how many bits number the lists at most.
const mostDepth = 14

// plannedShards is how lines are spread: some 64 Ki lines a list, half a million a
// shard, and at least 64 shards for work that is worth spreading; more where the rules pin more.
func plannedShards(expected int64, rules *Rules) (depth, shards int, pinned bool) {
	const listLines, shardLines, leastShards, mostShards = 64 << 10, 512 << 10, 6, 12
	depth, shards = 2, 2
	if expected > fewLines {
		shards = min(max(bits.Len64(uint64(expected/shardLines)), leastShards), mostShards)
		depth = bits.Len64(uint64(expected / listLines))
	}
	planned := shards
	if rules != nil {
		for _, s := range rules.Splits {
			shards = max(shards, s.Bits)
		}
		for rules.ShardRows > 0 && shards < mostShards && expected>>shards > rules.ShardRows {
			shards++
		}
	}
	return min(max(depth, shards), mostDepth), shards, shards > planned
}

// layout cuts the inputs into portions.
type layout struct {
	*Depot
	portion int64
	secret  []byte
	key     segment.Key
	tmp     string
	workers int
	opts    statement.Options
	look    bool // partition new texts where they lie, which tells their fingerprints too
	fresh   []freshText
}

// freshText is a text whose fingerprints are not known yet, and the note that will keep them.
type freshText struct {
	in   *input
	note string // "" where the file may still be written to
	text int
}

// text opens an input, and makes it plain text that workers reach.
func (l *layout) text(ctx context.Context, side, index int, src Source) (specText, []portion, *input, error) {
	t := specText{Side: side, Index: index, Name: src.Path, Format: src.Format}
	file, err := statement.Open(src, l.opts)
	if err != nil {
		return t, nil, nil, err
	}
	in := &input{File: file, side: side, index: index}
	t.Head, t.Whole = []byte(file.Head()), file.Whole()
	if file.Plain {
		return l.plain(ctx, t, in)
	}
	return l.unpacked(ctx, t, in)
}

// plain lays out a file that lies there as text.
func (l *layout) plain(ctx context.Context, t specText, in *input) (specText, []portion, *input, error) {
	path, err := filepath.Abs(in.Path)
	if err != nil {
		return t, nil, in, err
	}
	file, err := os.Open(path)
	if err != nil {
		return t, nil, in, err
	}
	defer func() { _ = file.Close() }()
	t.Size = in.Size
	info, err := file.Stat()
	if err != nil {
		return t, nil, in, err
	}
	parts, err := l.known(ctx, &t, in, file, info)
	if err != nil {
		return t, nil, in, err
	}
	if l.InPlace {
		t.Path = path
		return t, parts, in, nil
	}
	if t.Object, err = nameOf(kindText, t.Head, t.Size, prints(parts)); err != nil {
		return t, nil, in, err
	}
	return t, parts, in, l.Store.Put(ctx, t.Object, io.NewSectionReader(file, 0, t.Size), t.Size)
}

func prints(parts []portion) []string {
	out := make([]string, len(parts))
	for i := range parts {
		out[i] = parts[i].Print
	}
	return out
}

// known lays a file out, or remembers how it was when nothing has been written to it since.
// A file of a name that was never seen needs no fingerprints to find out what of it was done.
func (l *layout) known(ctx context.Context, t *specText, in *input, file *os.File, info os.FileInfo) ([]portion, error) {
	id := secretID(l.secret)
	name, err := nameOf(kindLayout, id, file.Name(), info.Size(), info.ModTime().UnixNano(), l.portionOf(t), t.Format)
	if err != nil {
		return nil, err
	}
	var parts []portion
	if kept, err := l.Notes.Load(ctx, name); err != nil {
		return nil, err
	} else if kept != nil && json.Unmarshal(kept, &parts) == nil {
		return parts, nil
	}
	seen, err := nameOf(kindLayout, id, file.Name())
	if err != nil {
		return nil, err
	}
	before, err := l.Notes.Load(ctx, seen)
	if err != nil {
		return nil, err
	}
	look := l.look && before == nil
	if look {
		if _, err := l.Notes.Keep(ctx, seen, []byte("seen")); err != nil {
			return nil, err
		}
	}
	if parts, err = l.cut(t, in.Start(), file, !look); err != nil {
		return nil, err
	}
	if err := in.Unchanged(); err != nil {
		return nil, err
	}
	// A file that was just written may be written to again with the same time.
	const settled = 2 * time.Second
	if time.Since(info.ModTime()) < settled {
		name = ""
	}
	if look {
		l.fresh = append(l.fresh, freshText{in: in, note: name})
		return parts, nil
	}
	return parts, l.keep(ctx, name, parts)
}

// keep remembers how a file was laid out.
func (l *layout) keep(ctx context.Context, name string, parts []portion) error {
	if name == "" {
		return nil
	}
	b, err := json.Marshal(parts)
	if err == nil {
		_, err = l.Notes.Keep(ctx, name, b)
	}
	return err
}

// unpacked puts the text of a packed file into the store.
func (l *layout) unpacked(ctx context.Context, t specText, in *input) (specText, []portion, *input, error) {
	file, err := spill.Unlinked(l.tmp)
	if err != nil {
		return t, nil, in, err
	}
	defer func() { _ = file.Close() }()
	_, err = file.Write(append(t.Head[:len(t.Head):len(t.Head)], '\n'))
	if err == nil {
		err = in.Unpack(file)
	}
	if err == nil {
		t.Size, err = file.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		return t, nil, in, err
	}
	parts, err := l.cut(&t, int64(len(t.Head))+1, file, true)
	if err != nil {
		return t, nil, in, err
	}
	if t.Object, err = nameOf(kindText, t.Head, t.Size, prints(parts)); err != nil {
		return t, nil, in, err
	}
	return t, parts, in, l.Store.Put(ctx, t.Object, io.NewSectionReader(file, 0, t.Size), t.Size)
}

// cut finds where portions begin and takes their fingerprints, if they are wanted.
func (l *layout) cut(t *specText, start int64, text io.ReaderAt, prints bool) ([]portion, error) {
	var parts []portion
	size := l.portionOf(t)
	for begin := start; begin < t.Size || t.Whole && len(parts) == 0; {
		end := t.Size
		if !t.Whole && begin+size < t.Size {
			var err error
			// Cuts are at round positions, so that a line that grows moves none of them.
			if end, err = lineAfter(text, (begin/size+1)*size, t.Size); err != nil {
				return nil, err
			}
		}
		parts = append(parts, portion{Begin: begin, End: end})
		begin = end
	}
	if !prints {
		return parts, nil
	}
	errs := make([]error, l.workers)
	var group sync.WaitGroup
	for w := range errs {
		group.Go(func() {
			for i := w; i < len(parts) && errs[w] == nil; i += l.workers {
				parts[i].Print, errs[w] = printOf(l.key, text, parts[i].Begin, parts[i].End)
			}
		})
	}
	group.Wait()
	return parts, errors.Join(errs...)
}

// lineAfter is where the first line begins that does not begin before at.
func lineAfter(text io.ReaderAt, at, size int64) (int64, error) {
	b := make([]byte, 4096)
	for from := at - 1; from < size; from += int64(len(b)) {
		n, err := text.ReadAt(b, from)
		if i := bytes.IndexByte(b[:n], '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	return size, nil
}

func printOf(key segment.Key, text io.ReaderAt, begin, end int64) (string, error) {
	p := key.Print()
	const block = 256 << 10
	if _, err := io.CopyBuffer(p, struct{ io.Reader }{io.NewSectionReader(text, begin, end-begin)}, make([]byte, block)); err != nil {
		return "", err
	}
	return hex.EncodeToString(p.Sum()), nil
}

// givePlacesTo numbers the lines of all portions of a side. A portion has room for more lines
// than it has, so that the places behind it do not move with its length.
func givePlacesTo(parts []portion, texts []specText, usual int64) error {
	var next [2]place
	for i := range parts {
		p := &parts[i]
		side := texts[p.Text].Side
		p.First = next[side]
		room := int64(1) << bits.Len64(uint64(max(p.End-p.Begin, 2*usual)))
		if next[side] += place(room); next[side] >= placesPerSide {
			return badJob("the files of the side %[1]s are too large for a run in parts", "%[1]s 一侧的文件过大,无法分段对账", sideName(side))
		}
	}
	return nil
}

// partitionKey names the step that partitions a portion with this fingerprint.
func (s *spec) partitionKey(i int, fingerprint string) (string, error) {
	t := &s.Texts[s.Portions[i].Text]
	return nameOf(kindStep, doPartition, secretID(s.Secret), s.Day, s.Depth, s.Shards, s.Body, t.Side, t.Format, t.Head, t.Whole, fingerprint)
}

// object keeps the spec in the store.
func (s *spec) object(ctx context.Context, d *Depot) (string, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	name := segment.Name(kindSpec, sum[:])
	if err := d.Store.Put(ctx, name, bytes.NewReader(b), int64(len(b))); err != nil {
		return "", fmt.Errorf("keep the plan of the parts: %w", err)
	}
	return name, nil
}

const maxSpec = 64 << 20

func readSpec(ctx context.Context, d *Depot, name string) (*spec, error) {
	b, err := segment.ReadWhole(ctx, d.Store, name, maxSpec)
	if err != nil {
		return nil, err
	}
	s := new(spec)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if s.Version != partsVersion || len(s.Secret) != secretBytes+segment.PrintKeySize || s.Depth < 1 || s.Depth > mostDepth ||
		s.Shards < 1 || s.Shards > s.Depth || s.Body < 0 || s.Body > briefBody {
		return nil, fmt.Errorf("%s is of version %d, this program reads %d: run the same version everywhere", name, s.Version, partsVersion)
	}
	for i := range s.Portions {
		if p := &s.Portions[i]; p.Text < 0 || p.Text >= len(s.Texts) || p.Begin > p.End || p.End > s.Texts[p.Text].Size {
			return nil, fmt.Errorf("read %s: portion %d: %w", name, i, segment.ErrDamaged)
		}
	}
	return s, nil
}
