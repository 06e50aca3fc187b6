package profiles_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	profiles "dcpos/firmware-profiles"
)

// Every file of the folder, blueprints too, is read as strictly as at run time.
func TestEveryFileIsValid(t *testing.T) {
	seen := map[profiles.Kind]int{}
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".yaml") {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		kind, err := profiles.Check(file, data)
		if err != nil {
			t.Error(err)
		}
		seen[kind]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen[profiles.KindPrinter] < 30 || seen[profiles.KindScanner] < 20 || seen[profiles.KindNFC] < 10 || seen[profiles.KindDisplay] < 10 || seen[profiles.KindClass] != 5 {
		t.Errorf("files by kind: %v", seen)
	}
}

func TestShippedNamesOpenAndBlueprintsDoNotShip(t *testing.T) {
	for _, kind := range append(profiles.DeviceKinds(), profiles.KindClass) {
		names, err := profiles.Names(kind)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v %v", kind, names, err)
		}
		for _, name := range names {
			if kind == profiles.KindClass {
				_, err = profiles.FindClass(name)
			} else {
				_, err = profiles.Find(kind, name)
			}
			if err != nil {
				t.Errorf("%s %s: %v", kind, name, err)
			}
		}
	}
	for _, bad := range []string{"", "_blueprint", "../printer/pos-5890", "nope"} {
		if _, err := profiles.FindPrinter(bad); !errors.Is(err, profiles.ErrUnknown) {
			t.Errorf("%q: got %v, want ErrUnknown", bad, err)
		}
	}
}

func TestClassesNameProfilesThatExist(t *testing.T) {
	names, err := profiles.Names(profiles.KindClass)
	if err != nil {
		t.Fatal(err)
	}
	want := "all-in-one counter sdk self-checkout smart-pos"
	if got := strings.Join(names, " "); got != want {
		t.Fatalf("classes: got %s, want %s", got, want)
	}
	for _, name := range names {
		class, err := profiles.FindClass(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range class.Devices {
			for _, p := range d.Profiles {
				if e, err := profiles.Find(d.Kind, p); err != nil || e.Unverified {
					t.Errorf("%s: %s: %s: unverified %v, %v", name, d.Role, p, e.Unverified, err)
				}
			}
		}
	}
	kiosk, err := profiles.FindClass("self-checkout")
	if err != nil || kiosk.Defaults.StoreAndForward {
		t.Errorf("self-checkout: store and forward must be off by default (%v)", err)
	}
}

func TestErrorsNameFileLineAndField(t *testing.T) {
	good, err := os.ReadFile("printer/pos-5890.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, old, replace, want string }{
		{"unknown key", "cutter: none", "cuter: none", `x.yaml:16: unknown key "cuter"`},
		{"unknown nested key", "fs_size: true", "fs_sice: true", `x.yaml:14: unknown key "fs_sice"`},
		{"wrong type", "pin: 2", "pin: two", "x.yaml:17: cannot unmarshal"},
		{"wrong value", "encoding: gbk", "encoding: latin1", "x.yaml:14: cjk.encoding: want gb2312, gbk, gb18030, none"},
		{"too many columns", "columns: 32", "columns: 33", "x.yaml:13: paper.columns: want columns of 12 dots"},
		{"fact without source", `  cutter: {source: "tear bar only", confidence: reported}`, "", `facts: want source and confidence for "cutter"`},
		{"an alias", "cutter: none", "cutter: &x none\npictures: *x", "x.yaml:17: *x: write it out"},
		{"a key of the library", "cutter: none", "<<: {cutter: none}", `x.yaml:16: unknown key "<<"`},
		{"two documents", "kind: printer", "kind: printer\n---\nkind: printer", "x.yaml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := strings.Replace(string(good), tc.old, tc.replace, 1)
			if bad == string(good) {
				t.Fatalf("%q is not in the file", tc.old)
			}
			_, err := profiles.ParsePrinter("x.yaml", []byte(bad))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
