package guest

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// moduleFiles lists the files of kernel modules and of all that they depend on, each
// after what it needs: the order in which they are loaded.
func moduleFiles(folder string, names []string) ([]string, error) {
	paths := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if base, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			paths[dashed(base)] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var order []string
	var add func(name string) error
	add = func(name string) error {
		path, ok := paths[dashed(name)]
		if !ok {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		if slices.Contains(order, path) {
			return nil
		}
		needs, err := moduleNeeds(path)
		if err != nil {
			return fmt.Errorf("read module %s: %w", name, err)
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		order = append(order, path)
		return nil
	}
	for _, n := range names {
		if err := add(n); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// dashed is the form in which module names are compared: the kernel takes - and _ as one.
func dashed(name string) string { return strings.ReplaceAll(name, "_", "-") }

// moduleNeeds reads "depends=" of a module's .modinfo.
func moduleNeeds(path string) (needs []string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("%s is no module", path)
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(list) > 0 {
			needs = append(needs, strings.Split(string(list), ",")...)
		}
	}
	return needs, nil
}
