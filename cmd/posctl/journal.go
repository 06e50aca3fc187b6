package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dcpos/agent/identity"
	"dcpos/internal/cli"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// JournalCmd looks at a till's journal without the till.
type JournalCmd struct {
	Verify JournalVerifyCmd `cmd:"" help:"Check a journal: chain, signatures, gaps, projections. Read-only, also beside a running agent."`
	Export JournalExportCmd `cmd:"" help:"Write a journal's entries to a file for the centre: sealed, or what can be read of a damaged one."`
}

// JournalVerifyCmd checks one journal. Exit 0: it holds; 1: it does not (the first bad sequence
// number is named, or \"not a database\"); 2: no such file or wrong usage.
type JournalVerifyCmd struct {
	File       string `arg:"" help:"The journal, such as journal.db."`
	Trust      string `placeholder:"FILE|FP" help:"Key that must have signed the last epoch: a fingerprint (32 hexadecimal digits), or a file with public keys (PEM) or fingerprints, one per line."`
	ExpectSeq  uint64 `placeholder:"N" help:"Fail if the last epoch ends before entry N."`
	ExpectHead string `placeholder:"H" help:"Fail unless an entry has this hash (64 hexadecimal digits)."`
	Receipt    string `placeholder:"FILE" type:"path" help:"Fail unless the journal has the entry of this receipt of the centre (JSON or canonical CBOR). Its signature is not checked here."`
	JSON       bool   `name:"json" help:"Print the report as JSON."`
}

// maxInput bounds the small files a command reads: receipts and key lists.
const maxInput = 1 << 20

// Run verifies and prints the report.
func (c *JournalVerifyCmd) Run(ctx context.Context, out *cli.Streams) error {
	opts, err := c.options()
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	report, err := offline.Verify(ctx, c.File, opts)
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Exit(cli.Usage, fmt.Errorf("%s: no such file 文件不存在: %w", c.File, err))
	}
	if c.JSON {
		if e := printJSON(out.Out, report); e != nil {
			return e
		}
	} else if e := printReport(out.Out, c.File, report, opts); e != nil {
		return e
	}
	if err == nil {
		return nil
	}
	switch pos.CodeOf(err) { //nolint:exhaustive // every other code is a finding about the file
	case pos.ErrBadRequest:
		return cli.Exit(cli.Usage, err)
	default:
		return cli.Exit(cli.Negative, err)
	}
}

func (c *JournalVerifyCmd) options() (offline.VerifyOptions, error) {
	opts := offline.VerifyOptions{ExpectSeq: c.ExpectSeq}
	var err error
	if c.Trust != "" {
		if opts.Trust, err = fingerprints(c.Trust); err != nil {
			return opts, fmt.Errorf("--trust: %w", err)
		}
	}
	if c.ExpectHead != "" {
		if opts.ExpectHead, err = hex.DecodeString(c.ExpectHead); err != nil || len(opts.ExpectHead) != dcep.HashSize {
			return opts, fmt.Errorf("--expect-head %q: want %d hexadecimal digits", c.ExpectHead, 2*dcep.HashSize)
		}
	}
	if c.Receipt != "" {
		if opts.Receipt, err = readReceipt(c.Receipt); err != nil {
			return opts, fmt.Errorf("--receipt: %w", err)
		}
	}
	return opts, nil
}

// fingerprints reads a fingerprint, or a file of public keys or fingerprints.
func fingerprints(arg string) ([]string, error) {
	if isFingerprint(arg) {
		return []string{strings.ToLower(arg)}, nil
	}
	b, err := readSmall(arg)
	if err != nil {
		return nil, err
	}
	var list []string
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "PUBLIC KEY" {
			list = append(list, dcep.Fingerprint(block.Bytes))
		}
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); isFingerprint(line) {
			list = append(list, strings.ToLower(line))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: neither a fingerprint nor a file with public keys or fingerprints", arg)
	}
	return list, nil
}

func isFingerprint(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16
}

func readReceipt(path string) (*dcep.Receipt, error) {
	b, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	r := new(dcep.Receipt)
	if strings.HasPrefix(strings.TrimSpace(string(b)), "{") {
		err = json.Unmarshal(b, r)
	} else {
		err = dcep.UnmarshalExact(b, r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func readSmall(path string) (b []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if b, err = io.ReadAll(io.LimitReader(f, maxInput+1)); err == nil && len(b) > maxInput {
		err = fmt.Errorf("%s: more than %d bytes", path, maxInput)
	}
	return b, err
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printReport(w io.Writer, path string, r offline.Report, opts offline.VerifyOptions) error {
	var b strings.Builder
	line := func(zh, en, format string, args ...any) {
		fmt.Fprintf(&b, "%s: %s\n", pos.Text{ZH: zh, EN: en}.In(cli.Language()), fmt.Sprintf(format, args...))
	}
	word := func(zh, en string) string { return pos.Text{ZH: zh, EN: en}.In(cli.Language()) }
	switch {
	case r.OK:
		line("账簿", "journal", "%s: %s", path, word("校验通过", "verified"))
	case r.NotADB:
		line("账簿", "journal", "%s: %s", path, word("不是数据库 (not a database)", "not a database"))
		_, err := io.WriteString(w, b.String())
		return err
	case r.FirstBad > 0:
		line("账簿", "journal", "%s: %s %d (epoch %d)", path, word("首个错误序号", "first bad sequence number"), r.FirstBad, r.BadEpoch)
	default:
		line("账簿", "journal", "%s: %s", path, word("校验失败", "does not verify"))
	}
	line("终端", "terminal", "%s (%s)", r.Terminal, r.Env)
	line("纪元", "epoch", "%d", r.Epoch)
	line("最后序号", "last sequence number", "%d", r.LastSeq)
	line("链头", "head", "%s", r.Head)
	pinned := word("未固定,仅证明自洽", "not pinned: consistent, signer not authenticated")
	if r.Pinned {
		pinned = word("已固定", "pinned")
	}
	line("公钥指纹", "key fingerprint", "%s %s (%s)", r.Fingerprint, r.Suite, pinned)
	line("记录", "entries", "%d, %s %d", r.Entries, word("支付", "payments"), r.Payments)
	for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
		line("  "+string(kind), "  "+string(kind), "%d", r.Kinds[kind])
	}
	line("已回执至", "receipted up to", "%d", r.Receipted)
	if opts.Receipt != nil && r.ReceiptOK {
		line("回执", "receipt", "%s", word("与账簿一致,签名未验证", "its entry is in the journal; its signature was not checked"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// JournalExportCmd takes a till's entries to the centre without a network.
type JournalExportCmd struct {
	Salvage bool   `help:"The journal is damaged: write every readable entry, plain, and name the gaps; the journal stays as it is."`
	All     bool   `help:"Everything that is here, not only what the centre has not receipted."`
	Device  string `default:"/dev/tpmrm0" help:"The TPM, where the key is in one."`
	PINFile string `placeholder:"FILE" help:"File of mode 0600 with the PIN of the key in the TPM."`
	File    string `arg:"" help:"The journal. Unless --salvage, the till's identity.json and key lie beside it."`
	Out     string `arg:"" help:"The file to write; it must not exist."`
	JSON    bool   `name:"json" help:"Print the report as JSON."`
}

// Help says which file is for what.
func (JournalExportCmd) Help() string {
	return `Without --salvage: for a till that will never come online again. Writes what the centre lacks, signed by the terminal's
key and encrypted to the centre; may be repeated. With --salvage: what can be read of a damaged journal, without a key.
Either goes to "poscentral take FILE"; the receipt that it writes comes back by "posctl till receipt".`
}

// Run writes the file. Exit 0: whole and without gaps; 1: gaps, altered rows, nothing readable or no key; 2: wrong usage.
func (c *JournalExportCmd) Run(ctx context.Context, out *cli.Streams) error {
	if _, err := os.Stat(c.File); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	f, err := os.OpenFile(c.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	var report offline.SalvageReport
	if c.Salvage {
		report, err = offline.Salvage(ctx, c.File, f)
	} else {
		report, err = c.sealed(ctx, f)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return cli.Exit(cli.Negative, errors.Join(err, os.Remove(c.Out)))
	}
	if c.JSON {
		err = printJSON(out.Out, report)
	} else {
		err = printSalvage(out.Out, c.Out, report)
	}
	if err != nil || (len(report.Gaps) == 0 && report.Altered == 0) {
		return err
	}
	return cli.Exit(cli.Negative, nil)
}

// sealed opens the journal with its key, which verifies it, and writes the sealed file.
func (c *JournalExportCmd) sealed(ctx context.Context, f *os.File) (r offline.SalvageReport, err error) {
	folder := filepath.Dir(c.File)
	id, err := identity.Folder(folder).Load()
	if err != nil {
		return r, fmt.Errorf("%s: %w", folder, err)
	}
	whole, err := offline.Verify(ctx, c.File, offline.VerifyOptions{})
	if err != nil {
		return r, err
	}
	signer, err := signerOf(folder, c.Device, c.PINFile, whole.Suite)
	if err != nil {
		return r, err
	}
	store, err := offline.Open(ctx, offline.Config{Path: c.File, Signer: signer, Env: id.Env, Terminal: id.Terminal})
	if err != nil {
		return r, err
	}
	defer func() { _ = store.Close() }() // nothing was written; beside a running agent the -wal stays
	return seal(ctx, store, id, signer, c.All, f)
}

func printSalvage(w io.Writer, path string, r offline.SalvageReport) error {
	text := pos.Text{
		ZH: fmt.Sprintf("%s: 已导出 %d 条记录, 到纪元 %d 序号 %d; 被改动而舍弃 %d 条\n", path, r.Entries, r.Epoch, r.LastSeq, r.Altered),
		EN: fmt.Sprintf("%s: %d entries written, up to epoch %d number %d; %d altered rows left out\n", path, r.Entries, r.Epoch, r.LastSeq, r.Altered),
	}
	s := text.In(cli.Language())
	for _, g := range r.Gaps {
		s += pos.Text{
			ZH: fmt.Sprintf("缺失: 纪元 %d 序号 %d 至 %d\n", g.Epoch, g.From, g.To),
			EN: fmt.Sprintf("missing: epoch %d numbers %d to %d\n", g.Epoch, g.From, g.To),
		}.In(cli.Language())
	}
	_, err := io.WriteString(w, s)
	return err
}
