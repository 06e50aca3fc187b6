package profiles

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
)

//go:embed printer scanner nfc linedisplay [a-z]*.yaml
var files embed.FS

// Files are the shipped profiles, read-only.
func Files() fs.FS { return files }

// Names lists the shipped profiles of a kind, sorted.
func Names(kind Kind) ([]string, error) {
	entries, err := fs.ReadDir(files, kind.folder())
	if err != nil {
		return nil, fmt.Errorf("list %s profiles: %w", kind, err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok && !e.IsDir() && !strings.HasPrefix(name, "_") {
			names = append(names, name)
		}
	}
	return names, nil
}

// FindPrinter returns the shipped printer profile of that name; ErrUnknown when there is none.
// Its slices and maps are shared: they are not to be changed.
func FindPrinter(name string) (Printer, error) {
	return cached(KindPrinter, name, ParsePrinter)
}

// FindScanner returns the shipped scanner profile of that name; ErrUnknown when there is none.
// Its slices and maps are shared: they are not to be changed.
func FindScanner(name string) (Scanner, error) {
	return cached(KindScanner, name, ParseScanner)
}

// FindNFC returns the shipped reader profile of that name; ErrUnknown when there is none.
// Its slices and maps are shared: they are not to be changed.
func FindNFC(name string) (NFC, error) {
	return cached(KindNFC, name, ParseNFC)
}

// FindLineDisplay returns the shipped display profile of that name; ErrUnknown when there is none.
// Its slices and maps are shared: they are not to be changed.
func FindLineDisplay(name string) (LineDisplay, error) {
	return cached(KindDisplay, name, ParseLineDisplay)
}

// FindClass returns the shipped terminal class of that name; ErrUnknown when there is none.
func FindClass(name string) (Class, error) {
	return cached(KindClass, name, ParseClass)
}

// shipped are the shipped profiles that were parsed, by file: a device that comes and
// goes, and every code that is scanned, asks for the same one.
var shipped sync.Map

func cached[M any](kind Kind, name string, parse func(file string, data []byte) (M, error)) (M, error) {
	var none M
	data, file, err := shippedFile(kind, name)
	if err != nil {
		return none, err
	}
	if m, ok := shipped.Load(file); ok {
		return m.(M), nil //nolint:forcetypeassert // a file has one kind
	}
	m, err := parse(file, data)
	if err != nil {
		return none, err
	}
	shipped.Store(file, m)
	return m, nil
}

func shippedFile(kind Kind, name string) (data []byte, file string, err error) {
	file = path.Join(kind.folder(), name+".yaml")
	if name == "" || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, "_") || !fs.ValidPath(file) {
		return nil, "", fmt.Errorf("%s profile %q: %w", kind, name, ErrUnknown)
	}
	data, err = fs.ReadFile(files, file)
	if err != nil {
		names, _ := Names(kind) // only to enrich the error below
		return nil, "", fmt.Errorf("%s profile %q: %w; there are %s", kind, name, ErrUnknown, strings.Join(names, ", "))
	}
	return data, file, nil
}
