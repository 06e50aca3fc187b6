package profiles

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed printer scanner nfc [a-z]*.yaml
var files embed.FS

// Files are the shipped profiles, read-only.
func Files() fs.FS { return files }

// Names lists the shipped profiles of a kind ("printer", "scanner", "nfc", "class"), sorted.
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
func FindPrinter(name string) (Printer, error) {
	data, file, err := read(KindPrinter, name)
	if err != nil {
		return Printer{}, err
	}
	return ParsePrinter(file, data)
}

// FindScanner returns the shipped scanner profile of that name; ErrUnknown when there is none.
func FindScanner(name string) (Scanner, error) {
	data, file, err := read(KindScanner, name)
	if err != nil {
		return Scanner{}, err
	}
	return ParseScanner(file, data)
}

// FindNFC returns the shipped reader profile of that name; ErrUnknown when there is none.
func FindNFC(name string) (NFC, error) {
	data, file, err := read(KindNFC, name)
	if err != nil {
		return NFC{}, err
	}
	return ParseNFC(file, data)
}

// FindClass returns the shipped terminal class of that name; ErrUnknown when there is none.
func FindClass(name string) (Class, error) {
	data, file, err := read(KindClass, name)
	if err != nil {
		return Class{}, err
	}
	return ParseClass(file, data)
}

func read(kind Kind, name string) (data []byte, file string, err error) {
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
