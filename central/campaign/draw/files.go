package draw

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
)

// Names of the bundle's files.
const (
	TermsFile      = "terms.json"
	EntriesFile    = "entries.csv"
	LogFile        = "log.jsonl"
	RoundFile      = "round.json"
	WinnersFile    = "winners.csv"
	WaitingFile    = "waiting.csv"
	TranscriptFile = "transcript.json"
	ManifestFile   = "manifest.json"
	SignatureFile  = "manifest.txt"
)

// FormerTermsFile is the name of a version of the terms that another one has followed.
func FormerTermsFile(version int64) string {
	return "terms-" + strconv.FormatInt(version, 10) + ".json"
}

// CheckpointFile is the name of the checkpoint after n records.
func CheckpointFile(n int64) string { return "checkpoint-" + strconv.FormatInt(n, 10) + ".txt" }

// Transcript is how the result came about, for people and for other verifiers.
type Transcript struct {
	Format     string   `json:"format"`
	Campaign   string   `json:"campaign"`
	Practice   bool     `json:"practice"`
	Terms      string   `json:"terms_sha256"`
	Root       string   `json:"list_root"`
	Size       int64    `json:"list_size"`
	Round      uint64   `json:"round"`
	Randomness string   `json:"randomness"`
	Seed       string   `json:"seed"`
	Winners    int64    `json:"winners"`
	Waiting    int64    `json:"waiting"`
	Cutoffs    []Cutoff `json:"cutoffs"`
	// WinnersSHA256 and WaitingSHA256 are the hashes of the two files.
	WinnersSHA256 string `json:"winners_sha256"`
	WaitingSHA256 string `json:"waiting_sha256"`
}

// Cutoff is the last key that won in a stratum: an entry of it with a smaller key won,
// unless its institution's places were taken.
type Cutoff struct {
	Stratum string `json:"stratum"`
	Key     string `json:"key"`
}

func cutoffs(o Outcome, t Terms) []Cutoff {
	last := map[string]string{}
	for _, w := range o.Winners {
		last[w.Stratum] = hexOf(w.Key)
	}
	list := []Cutoff{}
	if len(t.Strata) == 0 {
		if key, ok := last[""]; ok {
			list = append(list, Cutoff{"", key})
		}
		return list
	}
	for _, s := range t.Strata {
		if key, ok := last[s.Name]; ok {
			list = append(list, Cutoff{s.Name, key})
		}
	}
	return list
}

// writeWinners writes winners.csv, best first.
func writeWinners(w io.Writer, winners []Winner) error {
	return writeLines(w, "rank,ticket,stratum,institution,face_fen,key\n", len(winners), func(b []byte, i int) []byte {
		x := winners[i]
		b = append(strconv.AppendInt(b, x.Rank, 10), ',')
		b = append(hex.AppendEncode(b, x.Ticket[:]), ',')
		b = append(append(b, x.Stratum...), ',')
		b = append(append(b, x.Institution...), ',')
		b = append(strconv.AppendInt(b, int64(x.Face), 10), ',')
		return append(hex.AppendEncode(b, x.Key[:]), '\n')
	})
}

// writeWaiting writes waiting.csv in the order of all keys.
func writeWaiting(w io.Writer, waiting []Waiting) error {
	return writeLines(w, "place,ticket,stratum,institution,key\n", len(waiting), func(b []byte, i int) []byte {
		x := waiting[i]
		b = append(strconv.AppendInt(b, x.Place, 10), ',')
		b = append(hex.AppendEncode(b, x.Ticket[:]), ',')
		b = append(append(b, x.Stratum...), ',')
		b = append(append(b, x.Institution...), ',')
		return append(hex.AppendEncode(b, x.Key[:]), '\n')
	})
}

func writeLines(w io.Writer, head string, n int, line func(b []byte, i int) []byte) error {
	out := bufio.NewWriterSize(w, 1<<16)
	if _, err := out.WriteString(head); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	var buf []byte
	for i := range n {
		buf = line(buf[:0], i)
		if _, err := out.Write(buf); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// rendered are the result's files as bytes.
type rendered struct{ winners, waiting, transcript []byte }

// render writes the result down; drawing and verifying do it alike.
func render(t Terms, list List, round Round, randomness, seed [32]byte, o Outcome) (rendered, error) {
	var winners, waiting bytes.Buffer
	if err := writeWinners(&winners, o.Winners); err != nil {
		return rendered{}, err
	}
	if err := writeWaiting(&waiting, o.Waiting); err != nil {
		return rendered{}, err
	}
	terms, err := t.Hash()
	if err != nil {
		return rendered{}, err
	}
	transcript, err := encodeJSON(Transcript{
		Format: Format, Campaign: t.Campaign, Practice: t.Practice, Terms: hexOf(terms),
		Root: hexOf(list.Root), Size: list.Size, Round: round.Round, Randomness: hexOf(randomness), Seed: hexOf(seed),
		Winners: int64(len(o.Winners)), Waiting: int64(len(o.Waiting)), Cutoffs: cutoffs(o, t),
		WinnersSHA256: sha256Hex(winners.Bytes()), WaitingSHA256: sha256Hex(waiting.Bytes()),
	})
	return rendered{winners.Bytes(), waiting.Bytes(), transcript}, err
}
