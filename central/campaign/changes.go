package campaign

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dcpos/pos"
)

// FieldChange is one field that two versions of a definition have differently.
type FieldChange struct {
	Field    string   // as a refusal would name it: tiers[0].count
	Text     pos.Text // of the part of the definition that it is in
	Old, New string   // empty: it is not there
}

// Changes lists what the second of two versions has differently, by field. The area of the
// fence counts by its SHA-256.
func Changes(from, to Published) []FieldChange {
	old, next := flat(from), flat(to)
	keys := slices.Sorted(maps.Keys(old))
	for k := range next {
		if _, ok := old[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var all []FieldChange
	for _, k := range keys {
		if old[k] != next[k] {
			all = append(all, FieldChange{Field: k, Text: PartText(k), Old: old[k], New: next[k]})
		}
	}
	return all
}

// flat is every field of a published definition with its value.
func flat(p Published) map[string]string {
	all := map[string]string{}
	var t struct {
		Definition any    `json:"definition"`
		Area       string `json:"area_sha256"`
	}
	d := json.NewDecoder(strings.NewReader(string(p.Text)))
	d.UseNumber()
	if err := d.Decode(&t); err != nil {
		return all // Publish wrote it
	}
	flatten(all, "", t.Definition)
	all["area_sha256"] = t.Area
	return all
}

func flatten(into map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flatten(into, strings.TrimPrefix(path+"."+k, "."), x)
		}
	case []any:
		for i, x := range v {
			flatten(into, fmt.Sprintf("%s[%d]", path, i), x)
		}
	case nil:
	default:
		into[path] = fmt.Sprint(v)
	}
}

// PartText names the part of a definition that a field is in.
func PartText(field string) pos.Text {
	part := field
	if i := strings.IndexAny(field, ".["); i >= 0 {
		part = field[:i]
	}
	if t, ok := partTexts()[part]; ok {
		return t
	}
	return pos.Text{ZH: part, EN: part}
}

// partTexts are the parts of a definition as people read them.
func partTexts() map[string]pos.Text {
	return map[string]pos.Text{
		"name":         {ZH: "名称", EN: "name"},
		"title":        {ZH: "标题", EN: "title"},
		"city":         {ZH: "城市", EN: "city"},
		"env":          {ZH: "环境", EN: "environment"},
		"register":     {ZH: "报名时间", EN: "registration window"},
		"spend":        {ZH: "使用时间", EN: "spend window"},
		"presence":     {ZH: "到场要求", EN: "presence"},
		"fence":        {ZH: "围栏", EN: "fence"},
		"area_sha256":  {ZH: "围栏区域", EN: "area of the fence"},
		"tiers":        {ZH: "红包档位", EN: "tiers of envelopes"},
		"strata":       {ZH: "分组名额", EN: "strata and quotas"},
		"unfilled":     {ZH: "剩余名额", EN: "what is left of a quota"},
		"waiting":      {ZH: "候补人数", EN: "waiting list"},
		"institutions": {ZH: "机构", EN: "institutions"},
		"scope":        {ZH: "适用范围", EN: "scope"},
		"registration": {ZH: "报名规则", EN: "rules of registration"},
		"funding":      {ZH: "资金方", EN: "fund provider"},
		"budget_fen":   {ZH: "预算(分)", EN: "budget (fen)"},
		"sources":      {ZH: "来源", EN: "sources"},
		"note":         {ZH: "说明", EN: "note"},
	}
}
