package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"dcpos/drivers/all"
	profiles "dcpos/firmware-profiles"
	"dcpos/internal/cli"
)

// ProfileCmd is posctl profile.
type ProfileCmd struct {
	Check    profileCheckCmd    `cmd:"" help:"Validate device and terminal profiles. 校验设备配置文件。"`
	List     profileListCmd     `cmd:"" help:"The models that ship: how each is recognised, and how far it is known. 列出内置型号。"`
	Show     profileShowCmd     `cmd:"" help:"One profile, and where each fact comes from. 查看一个型号及其依据。"`
	Udev     profileUdevCmd     `cmd:"" help:"Print udev rules for every known device, for /etc/udev/rules.d/70-dcpos.rules. 输出 udev 规则。"`
	Modprobe profileModprobeCmd `cmd:"" help:"Print what keeps kernel modules off the readers, for /etc/modprobe.d/dcpos.conf. 输出 modprobe 配置。"`
}

type profileCheckCmd struct {
	Files []string `arg:"" name:"file" help:"YAML files. 文件。"`
}

// Run checks every file and names each finding; exit 1 when there is one, 2 when a file cannot be read.
func (p profileCheckCmd) Run(out *cli.Streams) error {
	code := cli.OK
	for _, file := range p.Files {
		b, err := readProfile(file)
		if err != nil {
			return cli.Exit(cli.Usage, err)
		}
		r := profiles.Examine(file, b, all.Drivers())
		if r.Wrong != nil {
			code = cli.Negative
		}
		if err := printReview(out.Out, file, r); err != nil {
			return err
		}
	}
	return cli.Exit(code, nil)
}

func readProfile(file string) ([]byte, error) {
	f, err := os.Open(file) //nolint:gosec // the user names the file
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file 文件不存在: %w", file, err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	return io.ReadAll(io.LimitReader(f, maxInput))
}

func printReview(w io.Writer, file string, r profiles.Review) error {
	var b strings.Builder
	if r.Wrong == nil {
		fmt.Fprintf(&b, "✓ %s: %s", file, r.Kind)
		if r.Unverified {
			b.WriteString(", unverified 未验证")
		}
		b.WriteByte('\n')
	} else {
		for line := range strings.SplitSeq(r.Wrong.Error(), "\n") {
			fmt.Fprintf(&b, "✗ %s\n", line)
		}
	}
	for _, d := range r.Doubts {
		fmt.Fprintf(&b, "! %s (assumed 推测)\n", d)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

type profileListCmd struct {
	Kind string `enum:"printer,scanner,nfc,linedisplay,any" default:"any" help:"Only printer, scanner, nfc or linedisplay. 种类。"`
	JSON bool   `name:"json" help:"Print as JSON. 输出 JSON。"`
}

// listed is one model of the list.
type listed struct {
	Kind       profiles.Kind       `json:"kind"`
	Name       string              `json:"name"`
	Driver     string              `json:"driver,omitempty"`
	Products   []string            `json:"products"`
	USB        []string            `json:"usb,omitempty"`
	Confidence profiles.Confidence `json:"confidence,omitempty"` // of how it is recognised
	Sourced    int                 `json:"sourced"`              // sections that somebody wrote down or measured
	Assumed    int                 `json:"assumed"`              // sections that are usual for the kind, or another model's
	Unverified bool                `json:"unverified"`
	Like       string              `json:"like,omitempty"`
}

// sourced says how far the model is known: so many of its sections have a source of
// their own; or that nobody has verified it; or that no driver here speaks to it.
func (l listed) sourced() string {
	switch {
	case l.Unverified && l.Driver == "":
		return "name only"
	case l.Unverified:
		return "unverified"
	}
	return fmt.Sprintf("%d of %d", l.Sourced, l.Sourced+l.Assumed)
}

func list(kind string) ([]listed, error) {
	entries, err := profiles.Catalogue()
	if err != nil {
		return nil, err
	}
	var out []listed
	for _, e := range entries {
		if kind != "any" && string(e.Kind) != kind {
			continue
		}
		l := listed{Kind: e.Kind, Name: e.Name, Driver: e.Driver, Confidence: e.Facts["match"].Confidence, Unverified: e.Unverified, Like: e.Like}
		for _, p := range e.Products {
			l.Products = append(l.Products, p.Brand+" "+p.Model)
		}
		for _, f := range e.Facts {
			if f.Confidence == profiles.Assumed {
				l.Assumed++
			} else {
				l.Sourced++
			}
		}
		for _, m := range e.Match.USB {
			if id := m.VID + ":" + m.PID; !slices.Contains(l.USB, id) {
				l.USB = append(l.USB, id)
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// Run prints the list.
func (p profileListCmd) Run(out *cli.Streams) error {
	models, err := list(p.Kind)
	if err != nil {
		return err
	}
	if p.JSON {
		return printJSON(out.Out, models)
	}
	w := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tNAME\tSOURCED\tRECOGNISED\tUSB\tMODELS") //nolint:errcheck // Flush reports it
	for _, m := range models {
		recognised := cmp.Or(string(m.Confidence), "-")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Kind, m.Name, m.sourced(), recognised, short(m.USB, 2), short(m.Products, 2)) //nolint:errcheck // likewise
	}
	return w.Flush()
}

// short names the first few and says how many more there are.
func short(words []string, n int) string {
	if len(words) == 0 {
		return "-"
	}
	if len(words) <= n {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s +%d", strings.Join(words[:n], ", "), len(words)-n)
}

type profileShowCmd struct {
	Name string `arg:"" help:"A name of the list, or kind/name. 型号名。"`
	JSON bool   `name:"json" help:"Print the facts as JSON. 以 JSON 输出依据。"`
}

// Run prints the file, then each section with its source.
func (p profileShowCmd) Run(out *cli.Streams) error {
	e, err := findProfile(p.Name)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if p.JSON {
		return printJSON(out.Out, e)
	}
	data, err := fs.ReadFile(profiles.Files(), string(e.Kind)+"/"+e.Name+".yaml")
	if err != nil {
		return err
	}
	if _, err := out.Out.Write(data); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nSECTION\tCONFIDENCE\tSOURCE") //nolint:errcheck // Flush reports it
	for _, section := range slices.Sorted(maps.Keys(e.Facts)) {
		fmt.Fprintf(w, "%s\t%s\t%s\n", section, e.Facts[section].Confidence, e.Facts[section].Source) //nolint:errcheck // likewise
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if e.Unverified {
		_, err = fmt.Fprintln(out.Out, "\nUnverified: only recognised; what it can do is a guess.\n未验证:仅能识别,能力为推测。")
	}
	return err
}

// findProfile takes "kind/name", or a name that only one kind has.
func findProfile(name string) (profiles.Entry, error) {
	if kind, rest, ok := strings.Cut(name, "/"); ok {
		return profiles.Find(profiles.Kind(kind), rest)
	}
	var found []profiles.Entry
	for _, kind := range profiles.DeviceKinds() {
		if e, err := profiles.Find(kind, name); err == nil {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return profiles.Entry{}, fmt.Errorf("%q: %w; posctl profile list names them 没有该型号", name, profiles.ErrUnknown)
	case 1:
		return found[0], nil
	}
	return profiles.Entry{}, fmt.Errorf("%q is a %s and a %s: say %s/%s 名称不唯一", name, found[0].Kind, found[1].Kind, found[0].Kind, name)
}

type profileUdevCmd struct{}

// Run prints the rules.
func (profileUdevCmd) Run(out *cli.Streams) error { return profiles.WriteUdev(out.Out) }

type profileModprobeCmd struct{}

// Run prints the file.
func (profileModprobeCmd) Run(out *cli.Streams) error { return profiles.WriteModprobe(out.Out) }
