package bench

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"dcpos/pos"
)

//go:embed compare.mjs
var compareScript []byte

// compare reconciles random files full of oddities with posctl and, by the words of the
// contract in SQL, with DuckDB, and compares the two breaks.csv byte for byte.
func (j *reconciliation) compare(ctx context.Context) error {
	dir, err := installDuckDB(ctx)
	if err != nil {
		return fmt.Errorf("DuckDB cannot be had: %w", err)
	}
	files, err := writeOddities(j.root, j.Sizes.Lines, j.Seed)
	if err != nil {
		return err
	}
	out := j.path("out")
	args := append([]string{"reconcile", "--out", out, "--memory", "64MiB", "--ours"}, files[:2]...)
	args = append(append(args, "--theirs"), files[2:]...)
	if text, err := exec.CommandContext(ctx, filepath.Join(j.Bin, "posctl"), args...).CombinedOutput(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
			return fmt.Errorf("posctl reconcile: %w: %s", err, text)
		}
	}
	script := filepath.Join(dir, "compare.mjs")
	if err := os.WriteFile(script, compareScript, 0o600); err != nil {
		return err
	}
	theirs := j.path("duckdb.csv")
	cmd := exec.CommandContext(ctx, "node", append([]string{script, theirs}, files...)...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("duckdb: %w: %s", err, text)
	}
	n, err := sameLines(filepath.Join(out, "breaks.csv"), theirs)
	if err != nil {
		return err
	}
	j.run.report(Figure{
		Name: "same-breaks", Value: float64(n), Unit: "rows", Count: 2 * j.Sizes.Lines,
		Means: pos.Text{
			ZH: fmt.Sprintf("与 DuckDB 逐字节相同的差异行数,含各种异常数据,种子 %d", j.Seed),
			EN: fmt.Sprintf("breaks equal to DuckDB's byte for byte, with every oddity mixed in, seed %d", j.Seed),
		},
	})
	return nil
}

// sameLines compares two files and counts their lines below the header.
func sameLines(a, b string) (int, error) {
	left, err := os.ReadFile(a)
	if err != nil {
		return 0, err
	}
	right, err := os.ReadFile(b)
	if err != nil {
		return 0, err
	}
	x, y := bytes.Split(left, []byte("\n")), bytes.Split(right, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return 0, fmt.Errorf("line %d differs:\n posctl %s\n duckdb %s", i+1, x[i], y[i])
		}
	}
	if len(x) != len(y) {
		return 0, fmt.Errorf("posctl has %d lines, duckdb %d", len(x), len(y))
	}
	return len(x) - 2, nil
}

// writeOddities writes two files of either side. Of every few lines one is missing, doubled
// (also in the other file, also with other values), in another order or differs in one or
// several fields; ids, names, amounts and times come in all forms that the contract allows.
func writeOddities(dir string, pairs int, seed uint64) ([]string, error) {
	r := rand.New(rand.NewPCG(seed, 77))
	var sides [2][2][]string
	put := func(side int, line oddLine) {
		file := &sides[side][r.IntN(2)]
		*file = append(*file, line.text(r))
	}
	for i := range pairs {
		l := anOddLine(r, i)
		for side := range sides {
			o := l
			switch r.IntN(14) {
			case 0:
				continue
			case 1:
				put(side, o)
			case 2: // doubled with other values: which one comes first decides
				twin := anOddLine(r, i)
				twin.id = o.id
				put(side, twin)
			case 3:
				o.amount = r.Int64N(1 << 40)
			case 4:
				o.status = "SFPR"[r.IntN(4)]
			case 5:
				o.fee = -o.fee - 1
			case 6:
				o.merchant, o.bank = "换商户", "NEW"
			}
			put(side, o)
		}
	}
	var paths []string
	for side := range sides {
		for file := range sides[side] {
			lines := sides[side][file]
			r.Shuffle(len(lines), func(i, k int) { lines[i], lines[k] = lines[k], lines[i] })
			path := filepath.Join(dir, fmt.Sprintf("odd%d%d.csv", side, file))
			paths = append(paths, path)
			if err := writeOddFile(path, lines, file == 1, side == 1); err != nil {
				return nil, err
			}
		}
	}
	return paths, nil
}

func writeOddFile(path string, lines []string, crlf, bom bool) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	end := "\n"
	if crlf {
		end = "\r\n"
	}
	if bom {
		_, _ = w.WriteString("\xef\xbb\xbf") // Flush tells
	}
	for _, l := range append([]string{"txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts"}, lines...) {
		_, _ = w.WriteString(l + end)
	}
	return w.Flush()
}

type oddLine struct {
	id, merchant, bank string
	amount, fee        int64
	status             byte
}

func anOddLine(r *rand.Rand, i int) oddLine {
	ids := []string{
		fmt.Sprintf("%032x", i), strconv.Itoa(i) + strings.Repeat("x", r.IntN(50)), "流水" + strconv.Itoa(i), fmt.Sprintf(" %d ", i),
		fmt.Sprintf("%08x-0000-7000-8000-%012x", i, i), fmt.Sprintf(`"%d'`, i), strconv.Itoa(i),
	}
	return oddLine{
		id:       ids[i%len(ids)],
		merchant: []string{"M1", "", "老誠号|小吃", `"quoted"`, "M" + strconv.Itoa(r.IntN(3000)), " M1", "null", "NaN"}[r.IntN(8)],
		bank:     []string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"}[r.IntN(6)],
		amount:   []int64{0, 1, r.Int64N(200_000), r.Int64N(1 << 40)}[r.IntN(4)],
		fee:      r.Int64N(1000) - 200,
		status:   "SSSSSSFPR"[r.IntN(9)],
	}
}

func (l oddLine) text(r *rand.Rand) string {
	amount := strconv.FormatInt(l.amount, 10)
	if r.IntN(5) == 0 {
		amount = "000" + amount // as many institutions fill fields up
	}
	ts := []string{"2021-02-10T13:00:00Z", "2021-02-10T23:59:59+08:00", "1612962000000", "20210210210000"}[r.IntN(4)]
	return fmt.Sprintf("%s,%s,T%d,%s,%s,%d,%c,%s", l.id, l.merchant, r.IntN(9), l.bank, amount, l.fee, l.status, ts)
}
