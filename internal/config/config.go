// Package config reads the daemons' YAML files strictly: a key that is not known is an
// error that names file, line and key, and so is a second document. It knows no word of
// the house; each program declares its own struct.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxSize bounds a configuration file; ours are a page.
const maxSize = 1 << 20

// Error says what is wrong where. It satisfies cli.Hinted.
type Error struct {
	File string
	What []string // one finding a line
}

// Error names the file and the first finding.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s", e.File, strings.Join(e.What, "; "))
}

// Explain says what to do about it.
func (e *Error) Explain(lang string) string {
	if lang == "zh" {
		return "请修改该配置文件后重试;help-config 列出所有可用的键及说明"
	}
	return "mend the file and try again; help-config lists every key and what it means"
}

var unknownField = regexp.MustCompile(`line (\d+): field (\S+) not found in type \S+`)

// Load reads the file into v, whose yaml tags are the known keys. What the file does
// not mention keeps the value that v had.
func Load(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return &Error{File: path, What: []string{"cannot be read: " + pathReason(err)}}
	}
	defer func() { _ = f.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return &Error{File: path, What: []string{"cannot be read: " + err.Error()}}
	}
	if len(b) > maxSize {
		return &Error{File: path, What: []string{fmt.Sprintf("larger than %d bytes", maxSize)}}
	}
	return Parse(path, b, v)
}

// Find is the file to read: the one that was named, else the standard one where there
// is such a file, else none ("": all defaults).
func Find(named, standard string) string {
	if named != "" {
		return named
	}
	if _, err := os.Stat(standard); err != nil {
		return ""
	}
	return standard
}

// Parse is Load for bytes in hand; name stands for the file in errors.
func Parse(name string, b []byte, v any) error {
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil // an empty file is all defaults
	}
	if err != nil {
		return &Error{File: name, What: explain(err)}
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return &Error{File: name, What: []string{"holds more than one YAML document"}}
	}
	return nil
}

func explain(err error) []string {
	var typed *yaml.TypeError
	if !errors.As(err, &typed) {
		return []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	var out []string
	for _, e := range typed.Errors {
		if m := unknownField.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("line %s: unknown key %q", m[1], m[2])
		}
		out = append(out, e)
	}
	return out
}

func pathReason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
