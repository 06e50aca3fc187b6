package daily

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"dcpos/central/institution"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// VerdictKind says what became of a statement that was asked for.
type VerdictKind string

// The verdicts.
const (
	Accepted  VerdictKind = "accepted"  // whole, and of this date
	Corrected VerdictKind = "corrected" // accepted in place of an earlier one
	Unchanged VerdictKind = "unchanged" // the bytes that were accepted before
	Missing   VerdictKind = "missing"   // not made yet, or not reachable
	Refused   VerdictKind = "refused"   // Reason says why; an earlier accepted one stays in use
)

// Verdict is what became of one institution's statement. A file is known by its SHA-256.
type Verdict struct {
	Institution string      `json:"institution"`
	Account     bool        `json:"account,omitempty"` // the settlement account's statement is meant
	Kind        VerdictKind `json:"verdict"`
	File        string      `json:"file,omitempty"`
	Format      string      `json:"format,omitempty"`
	Size        int64       `json:"size,omitempty"`
	Lines       int64       `json:"lines"`
	Empty       bool        `json:"empty,omitempty"` // whole, but without a line of the date
	Reason      pos.Text    `json:"reason,omitzero"`
	// InUse says that an accepted statement takes part in the run.
	InUse bool `json:"in_use"`

	source reconcile.Source
	inUse  string // SHA-256 of the statement that takes part
	report *statement.Report
}

// file names what the verdict is about.
func (v *Verdict) file() pos.Text {
	if v.Account {
		return pos.Text{ZH: "结算账户对账单", EN: "settlement account"}
	}
	return pos.Text{ZH: "对账单", EN: "statement"}
}

// Text names the verdict for a person.
func (k VerdictKind) Text() pos.Text {
	switch k {
	case Accepted:
		return pos.Text{ZH: "已接收", EN: "accepted"}
	case Corrected:
		return pos.Text{ZH: "更正文件已接收", EN: "correction accepted"}
	case Unchanged:
		return pos.Text{ZH: "未变化", EN: "unchanged"}
	case Missing:
		return pos.Text{ZH: "未到", EN: "missing"}
	case Refused:
		return pos.Text{ZH: "已拒收", EN: "refused"}
	}
	return pos.Text{ZH: string(k), EN: string(k)}
}

// houseFormat is the name of our own columns, which statement.Source leaves out.
const houseFormat = "dcpos"

// ingest asks one institution for its statement of the date, in its own form, and judges it.
// Only a statement that is whole and of the date takes the place of the one before.
func (d *Desk) ingest(ctx context.Context, code string, date pos.Date) (Verdict, error) {
	v := Verdict{Institution: code}
	member, ok := d.c.Institutions.Member(code)
	if !ok {
		return v, fmt.Errorf("institution %s is not described", code)
	}
	if v.Format = member.Statement.Format; v.Format != houseFormat {
		v.source.Format = v.Format
	}
	own := d.statementOf(&v, date)
	v.source.Path = own
	var err error
	if v.inUse, err = hashOf(own); err != nil {
		return v, err
	}
	v.InUse = v.inUse != ""
	folder := filepath.Dir(own)
	came, err := d.fetch(ctx, member, date, folder, &v)
	if err == nil && came == "" && !v.InUse {
		return v, d.covered(ctx, date, &v)
	}
	if err != nil || came == "" {
		return v, err
	}
	defer func() { _ = os.Remove(came) }() // gone where it was accepted
	if v.File == v.inUse {
		v.Kind = Unchanged
		return v, nil
	}
	if v.Reason, err = d.judge(ctx, came, date, &v); err != nil {
		return v, err
	}
	if v.Reason != (pos.Text{}) {
		v.Kind = Refused
		if err := keep(came, filepath.Join(folder, "refused", code+"-"+string(date)+"-"+v.File[:8]+filepath.Ext(own))); err != nil || v.InUse {
			return v, err
		}
		return v, d.covered(ctx, date, &v)
	}
	// Other dates are asked for before, so that a kill forgets none, and after, so that none is answered
	// by what was there before.
	others, err := d.touched(ctx, date, &v)
	if err == nil {
		err = d.askAgain(ctx, others)
	}
	if err == nil {
		err = v.accept(came, filepath.Join(folder, "replaced", code+"-"+string(date)))
	}
	if err == nil {
		err = d.askAgain(ctx, others)
	}
	return v, err
}

// statementOf is where an institution's own statement of a date lies.
func (d *Desk) statementOf(v *Verdict, date pos.Date) string {
	ending := ".txt"
	if v.Format == houseFormat {
		ending = ".csv"
	}
	return filepath.Join(d.c.Folder, "statements", v.Institution+"-"+string(date)+ending)
}

// fetch writes what the institution sends into a file of its own, whose name it returns; ""
// when nothing came, and the verdict says why.
func (d *Desk) fetch(ctx context.Context, member institution.Member, date pos.Date, folder string, v *Verdict) (string, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	f, err := os.CreateTemp(folder, ".incoming-*")
	if err != nil {
		return "", fmt.Errorf("receive statement: %w", err)
	}
	sum := sha256.New()
	into := &counted{w: io.MultiWriter(f, sum)}
	asked := member.Adapter.Statement(ctx, date, into)
	disk := errors.Join(into.err, f.Sync(), f.Close())
	if asked == nil && disk == nil {
		v.File, v.Size = hex.EncodeToString(sum.Sum(nil)), into.n
		return f.Name(), nil
	}
	disk = errors.Join(disk, os.Remove(f.Name()))
	if ctx.Err() != nil || into.err != nil || asked == nil {
		return "", errors.Join(ctx.Err(), disk)
	}
	v.Kind = Missing
	v.Reason = pos.Text{ZH: "无法获取:" + asked.Error(), EN: "cannot be had: " + asked.Error()}
	if errors.Is(asked, institution.ErrNotReady) {
		v.Reason = pos.Text{ZH: "机构尚未生成,请稍后重跑", EN: "the institution has not made it yet: run again later"}
	}
	d.c.Log.WarnContext(ctx, "statement is not there", "institution", v.Institution, "date", date, "err", asked)
	return "", disk
}

// counted passes on at most statementLimit bytes and remembers an error of the disk.
type counted struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counted) Write(b []byte) (int, error) {
	if c.n += int64(len(b)); c.n > statementLimit {
		return 0, pos.NewError(pos.ErrTooLarge, errors.New("statement is larger than any day's"))
	}
	n, err := c.w.Write(b)
	c.err = errors.Join(c.err, err)
	return n, err
}

// judge reads the statement whole; a reason refuses it.
func (d *Desk) judge(ctx context.Context, path string, date pos.Date, v *Verdict) (pos.Text, error) {
	report, err := statement.Check(ctx, reconcile.Source{Path: path, Format: v.source.Format})
	if bad, ok := errors.AsType[*statement.InputError](err); ok {
		if bad.Err != nil && !errors.Is(bad.Err, io.ErrUnexpectedEOF) {
			return pos.Text{}, err // the disk, not the file
		}
		return d.refusal(bad), nil
	}
	if err != nil {
		return pos.Text{}, err
	}
	day := yyyymmdd(date)
	at := slices.IndexFunc(report.Days, func(x statement.Day) bool { return x.Date == day })
	outside := report.From != 0 && (day < report.From || day > report.To) || report.From == 0 && at < 0 && report.Lines > 0
	if outside {
		reason := pos.Text{
			ZH: fmt.Sprintf("是 %d 至 %d 的对账单,而不是 %s 的", report.From, report.To, date),
			EN: fmt.Sprintf("is the statement of %d to %d, not of %s", report.From, report.To, date),
		}
		known, err := d.c.Store.StatementByHash(ctx, v.File)
		if err == nil && known != "" {
			reason.ZH += ";该文件已在 " + known + " 接收过(重复文件)"
			reason.EN += "; this very file was accepted as that of " + known + " (a duplicate)"
		}
		return reason, err
	}
	if code := report.Bank; code != "" && code != v.Institution {
		return pos.Text{ZH: "是 " + code + " 的对账单", EN: "is a statement of " + code}, nil
	}
	v.report = report
	v.count(day)
	return pos.Text{}, nil
}

// refusal is the reason without the name of a file that nobody will find.
func (d *Desk) refusal(bad *statement.InputError) pos.Text {
	place := pos.Text{}
	if bad.Line > 0 {
		place = pos.Text{ZH: fmt.Sprintf("第 %d 行:", bad.Line), EN: fmt.Sprintf("line %d: ", bad.Line)}
	}
	if bad.Column != "" {
		place.ZH += bad.Column + ":"
		place.EN += bad.Column + ": "
	}
	return pos.Text{ZH: place.ZH + bad.Why.ZH, EN: place.EN + bad.Why.EN}
}

// accept puts the statement in its place; the one before is kept beside.
func (v *Verdict) accept(came, replaced string) error {
	v.Kind = Accepted
	if v.InUse {
		v.Kind = Corrected
		old := replaced + "-" + v.inUse[:8] + filepath.Ext(v.source.Path)
		if err := os.MkdirAll(filepath.Dir(old), 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		if err := os.Link(v.source.Path, old); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("keep the statement before: %w", err)
		}
	}
	if err := os.Rename(came, v.source.Path); err != nil {
		return fmt.Errorf("accept statement: %w", err)
	}
	v.InUse, v.inUse = true, v.File
	return nil
}

func keep(came, as string) error {
	if err := os.MkdirAll(filepath.Dir(as), 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := os.Rename(came, as); err != nil {
		return fmt.Errorf("keep the refused statement: %w", err)
	}
	return nil
}

// hashOf is a file's SHA-256; "" for none.
func hashOf(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("open: %w", err)
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func yyyymmdd(d pos.Date) int32 {
	n, _ := strconv.ParseInt(strings.ReplaceAll(string(d), "-", ""), 10, 32) // a pos.Date is digits and hyphens
	return int32(n)
}
