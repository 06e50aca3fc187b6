package pos

// Text is one sentence for a person, in Chinese and in English.
type Text struct {
	ZH string `json:"zh"`
	EN string `json:"en"`
}

// In returns the sentence in the language ("zh" or "en"); anything else is English.
func (t Text) In(lang string) string {
	if lang == "zh" {
		return t.ZH
	}
	return t.EN
}

// Both returns "中文 English", for slips and logs that serve every reader.
func (t Text) Both() string {
	if t.ZH == t.EN {
		return t.ZH
	}
	return t.ZH + " " + t.EN
}

// IsZero reports whether there is no sentence in either language.
func (t Text) IsZero() bool { return t.ZH == "" && t.EN == "" }
