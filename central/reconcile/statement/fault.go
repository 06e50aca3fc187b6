package statement

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"dcpos/pos"
)

// Fault is what is wrong with one line.
type Fault struct {
	Column string   // the column's name, "" when the whole line is meant
	Number int      // the column's number from 1, 0 when the whole line is meant
	Why    pos.Text // what is wrong, with the offending value
}

// InputError is bad input: which file, which line and column (0 and "" when the
// whole file is meant), and why. It unwraps to its cause and to a *pos.Error.
type InputError struct {
	File   string
	Line   int64 // the header is line 1
	Number int   // the column's number from 1
	Column string
	Why    pos.Text
	Err    error
	// Checked says that the file was only looked at (Check): nothing was to be written.
	Checked bool
	aside   bool // it is a line's, and lines can be set aside
}

// Error is "FILE: line L, column N (NAME): why" in English.
func (e *InputError) Error() string {
	return e.place("line %d", "column %d (%s)", ", ", ": ") + e.Why.EN + e.cause()
}

// Explain says in the user's language where the input is wrong and what to do.
func (e *InputError) Explain(lang string) string {
	aside := pos.Text{}
	if e.aside && e.Line > 1 {
		aside = pos.Text{
			ZH: "个别坏行可用 --reject-file 另存并继续。",
			EN: "Single bad lines can be set aside with --reject-file. ",
		}
	}
	next := pos.Text{ZH: "请更正后重试。" + aside.ZH + "没有写出任何结果。", EN: "Correct it and run again. " + aside.EN + "Nothing was written."}
	switch {
	case errors.Is(e.Err, fs.ErrNotExist), errors.Is(e.Err, fs.ErrPermission), errors.Is(e.Err, errDirectory):
		next = pos.Text{ZH: "请检查文件名与权限。没有写出任何结果。", EN: "Check the file's name and permissions. Nothing was written."}
	case e.Checked:
		next = pos.Text{ZH: "此文件不能用于对账,请向机构重新获取。", EN: "It cannot be reconciled as it is: ask the institution for it again."}
	}
	if lang == "zh" {
		return e.place("第 %d 行", "第 %d 列 (%s)", ",", ":") + e.Why.ZH + e.causeZH() + "\n" + next.ZH
	}
	return next.EN
}

// causeZH names the causes that have a name in Chinese; what the system says of others is English.
func (e *InputError) causeZH() string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{fs.ErrNotExist, "文件不存在"},
		{fs.ErrPermission, "没有读取权限"},
		{errDirectory, "是目录"},
		{errTruncated, "文件不完整(压缩数据被截断)"},
		{syscall.ENOSPC, "磁盘空间不足"},
	} {
		if errors.Is(e.Err, known.err) {
			return ":" + known.name
		}
	}
	return e.cause()
}

// Unwrap gives the cause and the error's code (pos.ErrBadRequest).
func (e *InputError) Unwrap() []error {
	coded := pos.FieldError(pos.ErrBadRequest, e.Column, nil)
	coded.Text = e.Why
	if e.Err == nil {
		return []error{coded}
	}
	return []error{e.Err, coded}
}

func (e *InputError) place(line, column, comma, colon string) string {
	var where []string
	if e.Line > 0 {
		where = append(where, fmt.Sprintf(line, e.Line))
	}
	if e.Number > 0 {
		where = append(where, fmt.Sprintf(column, e.Number, e.Column))
	}
	s := e.File
	if s != "" && len(where) > 0 {
		s += colon
	}
	if s += strings.Join(where, comma); s != "" {
		s += colon
	}
	return s
}

func (e *InputError) cause() string {
	if e.Err == nil {
		return ""
	}
	return ": " + e.Err.Error()
}

// At places a line's fault in a file.
func (f *Fault) At(file string, line int64) *InputError {
	return &InputError{File: file, Line: line, Number: f.Number, Column: f.Column, Why: f.Why, aside: true}
}

// atTheEnd is the fault of the last line of a file that ends without a line end.
func (f *Fault) atTheEnd() *Fault {
	cut := *f
	cut.Why.EN += "; the file ends within this line: it is cut off"
	cut.Why.ZH += ";文件在此行中断,不完整"
	return &cut
}

// Unreadable is a file that cannot be opened or read.
func Unreadable(file string, err error) *InputError {
	// The cause repeats the path; the bare reason reads better.
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		err = cause.Err
	}
	return &InputError{File: file, Why: pos.Text{EN: "cannot be read", ZH: "无法读取"}, Err: err}
}

func lineFault(en, zh string, args ...any) *Fault {
	return &Fault{Why: pos.Text{EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)}}
}

// shown is a value as it may stand in a message: short and quoted.
func shown(value []byte) string {
	const most = 80
	if len(value) > most {
		return fmt.Sprintf("%q…", value[:most])
	}
	return fmt.Sprintf("%q", value)
}
