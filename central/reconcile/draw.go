package reconcile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// fewChildren is how many shards of one node are drawn one by one.
const fewChildren = 8

// DrawPlan draws the rule tree of a plan.json (or of the one in a directory of results) as
// text: what every node looks at, how many lines were expected and seen, and why it was
// split. Many shards of one node are drawn as one line unless all are wanted.
func DrawPlan(path, lang string, all bool) (string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, planFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", statement.Unreadable(path, err)
	}
	var p plan
	if err := json.Unmarshal(b, &p); err != nil {
		return "", fmt.Errorf("read plan %s: %w", path, err)
	}
	d := drawing{plan: &p, lang: lang, all: all, children: map[int][]int{}}
	for i := range p.Tree {
		if p.Tree[i].ID != i || p.Tree[i].Parent >= i {
			return "", fmt.Errorf("read plan %s: node %d is not in its place", path, i)
		}
		if i > 0 {
			d.children[p.Tree[i].Parent] = append(d.children[p.Tree[i].Parent], i)
		}
	}
	d.head()
	if len(p.Tree) > 0 {
		d.node(0, "", "")
	}
	return d.out.String(), nil
}

type drawing struct {
	plan     *plan
	lang     string
	all      bool
	children map[int][]int
	out      strings.Builder
}

func (d *drawing) in(zh, en string) string { return pos.Text{ZH: zh, EN: en}.In(d.lang) }

func (d *drawing) head() {
	s := d.plan.shards()
	even := 0.0
	if s.Mean > 0 {
		even = float64(s.Largest) / s.Mean
	}
	fmt.Fprintf(&d.out, d.in("规则版本 %d · 分片 %d · 最大 %d 行 · 平均 %.0f 行 · 最大/平均 %.3f\n",
		"rules version %d · %d shards · largest %d lines · mean %.0f · largest/mean %.3f\n"), d.plan.Rules, s.Count, s.Largest, s.Mean, even)
	fmt.Fprintf(&d.out, d.in("预算:内存 %d 字节,每个分片 %d 字节,%d 个工作线程;溢写 %d 字节\n",
		"budget: memory %d bytes, a shard %d bytes, %d workers; spilled %d bytes\n"),
		d.plan.Budget.MemoryBytes, d.plan.Budget.ShardBytes, d.plan.Budget.Workers, d.plan.SpilledBytes)
	for _, in := range d.plan.Inputs {
		fmt.Fprintf(&d.out, d.in("%s %s:预计 %d 行,实际 %d 行文本\n", "%s %s: expected %d lines, saw %d lines of text\n"), d.side(in.Side), in.File, in.Expected, in.Observed)
	}
}

func (d *drawing) node(id int, branch, below string) {
	n := &d.plan.Tree[id]
	fmt.Fprintf(&d.out, d.in("%s%s:预计 %d,实际 %d,%s(%s)\n", "%s%s: expected %d, saw %d, %s (%s)\n"),
		branch, d.rule(n.Rule), n.Expected, n.Observed, d.outcome(n.Outcome), d.in(n.WhyZH, n.Why))
	children := d.children[id]
	if !d.all && len(children) > fewChildren && d.plain(children) {
		d.together(children, below)
		return
	}
	for i, child := range children {
		if i == len(children)-1 {
			d.node(child, below+"└─ ", below+"   ")
			continue
		}
		d.node(child, below+"├─ ", below+"│  ")
	}
}

// plain reports whether none of the nodes has children.
func (d *drawing) plain(ids []int) bool {
	for _, id := range ids {
		if len(d.children[id]) > 0 {
			return false
		}
	}
	return true
}

func (d *drawing) together(ids []int, below string) {
	var rows, least, most int64
	for i, id := range ids {
		n := d.plan.Tree[id].Observed
		rows += n
		most = max(most, n)
		if i == 0 || n < least {
			least = n
		}
	}
	fmt.Fprintf(&d.out, d.in("%s└─ %d 个分片:%s … %s;共 %d 行,每片 %d 至 %d\n", "%s└─ %d shards: %s … %s; %d lines, %d to %d each\n"),
		below, len(ids), d.rule(d.plan.Tree[ids[0]].Rule), d.rule(d.plan.Tree[ids[len(ids)-1]].Rule), rows, least, most)
}

func (d *drawing) side(name string) string {
	if name == sideName(ours) {
		return d.in("我方", name)
	}
	return d.in("对方", name)
}

// Words of a node's rule, which plan.json holds in English.
var (
	hashPart = regexp.MustCompile(`^id_hash: part (\d+) of (\d+)$`)
	hashBits = regexp.MustCompile(`^id_hash: first (\d+) bits = ([01]+)$`)
	otherBin = regexp.MustCompile(`(^|, )any other (\w+)(?:, bin (\d+) of (\d+))?$`)
)

// rule says in the drawing's language what a node looks at; names of columns stay.
func (d *drawing) rule(name string) string {
	if d.lang != "zh" {
		return name
	}
	switch name {
	case "all lines":
		return "全部明细"
	case "id_hash: all":
		return "流水号散列:全部"
	case residualRule:
		return "跨分支:在多个分支出现的流水号"
	}
	name = hashPart.ReplaceAllString(name, "流水号散列:第 $1/$2 份")
	name = hashBits.ReplaceAllString(name, "流水号散列:前 $1 位 = $2")
	if m := otherBin.FindStringSubmatch(name); m != nil {
		name = strings.TrimSuffix(name, m[0]) + m[1] + "其他 " + m[2]
		if m[3] != "" {
			name += ",第 " + m[3] + "/" + m[4] + " 组"
		}
	}
	return name
}

func (d *drawing) outcome(o string) string {
	names := map[string]pos.Text{
		outcomeJoined: {ZH: "已比对", EN: "joined"}, outcomeSplit: {ZH: "已拆分", EN: "split"},
		outcomeSorted: {ZH: "已排序比对", EN: "sorted and walked through"}, outcomeEmpty: {ZH: "空", EN: "empty"},
	}
	if text, ok := names[o]; ok {
		return text.In(d.lang)
	}
	return o
}
