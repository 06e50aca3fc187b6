package portal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/office"
	"dcpos/pos"
)

// Files that are published beside the bundle: they are not of it, its terms and its
// definition name their hashes.
const (
	definitionFile = "definition.json"
	areaFile       = "area.geojson"
)

var (
	numberedForm = regexp.MustCompile(`^(checkpoint-[1-9][0-9]{0,8}\.txt|terms-[1-9][0-9]?\.json)$`)
	formerForm   = regexp.MustCompile(`^(definition|area)-([1-9][0-9]?)\.(json|geojson)$`)
)

// former is the definition or the area of a version that another one has followed; nil: there
// is none of that name.
func former(c office.Campaign, name string) []byte {
	m := formerForm.FindStringSubmatch(name)
	if m == nil {
		return nil
	}
	for _, e := range c.Former {
		switch n := strconv.Itoa(e.Version); name {
		case "definition-" + n + ".json":
			return e.Text
		case "area-" + n + ".geojson":
			return e.Area
		}
	}
	return nil
}

// published is a file that may be fetched.
type published struct {
	Name string
	Size int64
}

// bundled reports that a name may be one of a bundle's.
func bundled(name string) bool {
	switch name {
	case draw.TermsFile, draw.EntriesFile, draw.LogFile, draw.RoundFile, draw.WinnersFile, draw.WaitingFile, draw.TranscriptFile,
		draw.ManifestFile, draw.SignatureFile:
		return true
	}
	return numberedForm.MatchString(name)
}

// ready holds results back until they are witnessed and sealed: nobody learns them
// earlier than the others.
func ready(c office.Campaign, name string) bool {
	switch name {
	case draw.EntriesFile:
		return !c.ListSeen().IsZero()
	case draw.RoundFile, draw.WinnersFile, draw.WaitingFile, draw.TranscriptFile, draw.ManifestFile, draw.SignatureFile:
		return !c.ResultSeen().IsZero()
	}
	return true
}

// files lists what may be fetched now.
func (p *Portal) files(c office.Campaign) ([]published, error) {
	all := []published{{definitionFile, int64(len(c.Text))}}
	if len(c.Area) > 0 {
		all = append(all, published{areaFile, int64(len(c.Area))})
	}
	for _, e := range c.Former {
		all = append(all, published{fmt.Sprintf("definition-%d.json", e.Version), int64(len(e.Text))})
		if len(e.Area) > 0 {
			all = append(all, published{fmt.Sprintf("area-%d.geojson", e.Version), int64(len(e.Area))})
		}
	}
	entries, err := os.ReadDir(p.cfg.Office.Dir(c.Definition.Name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("published files: %w", err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && bundled(e.Name()) && ready(c, e.Name()) {
			all = append(all, published{e.Name(), info.Size()})
		}
	}
	return all, nil
}

// file sends one published file.
func (p *Portal) file(w http.ResponseWriter, r *http.Request) {
	c, err := p.cfg.Office.Campaign(r.Context(), r.PathValue("name"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	name := r.PathValue("file")
	w.Header().Set("Cache-Control", "no-cache")
	switch name {
	case definitionFile:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(c.Text) // the browser may be gone: nobody to tell
		return
	case areaFile:
		w.Header().Set("Content-Type", "application/geo+json")
		_, _ = w.Write(c.Area) // likewise
		return
	}
	if b := former(c, name); len(b) > 0 {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b) // likewise
		return
	}
	if !bundled(name) || !ready(c, name) {
		p.fail(w, r, pos.FieldError(pos.ErrNotFound, "file", fmt.Errorf("%.40q is not published", name)))
		return
	}
	select {
	case p.downloads <- struct{}{}:
		defer func() { <-p.downloads }()
	default:
		w.Header().Set("Retry-After", "10")
		p.fail(w, r, pos.NewError(pos.ErrTooMany, nil))
		return
	}
	p.send(w, r, filepath.Join(p.cfg.Office.Dir(c.Definition.Name), name))
}

func (p *Portal) send(w http.ResponseWriter, r *http.Request, path string) {
	f, err := os.Open(path) //nolint:gosec // our folder, a name of the list
	if errors.Is(err, fs.ErrNotExist) {
		err = pos.FieldError(pos.ErrNotFound, "file", err)
	}
	var info fs.FileInfo
	if err == nil {
		defer func() { _ = f.Close() }() // read only
		info, err = f.Stat()
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	// By the machine's clock: it bounds a write. A response that cannot wait longer just ends sooner.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadWait))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	_, _ = io.Copy(w, f) // likewise
}
