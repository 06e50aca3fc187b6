// Package phone is every citizen's phone at once: it takes the short messages that a
// centre's webhook posts, and shows the last ones. Whatever it shows is a TEST.
package phone

import (
	"encoding/json"
	"html/template"
	"net/http"
	"sync"
	"time"
)

// Bounds of what is kept.
const (
	maxBody     = 16 << 10
	maxMessages = 1_000
	shown       = 50
)

// Message is one that came in.
type Message struct {
	Phone string    `json:"phone"`
	ZH    string    `json:"zh"`
	EN    string    `json:"en"`
	At    time.Time `json:"at"`
}

// Phones keep the last messages. They are safe for concurrent use.
type Phones struct {
	mu   sync.Mutex
	all  []Message
	last map[string]Message
}

// New makes phones without messages.
func New() *Phones { return &Phones{last: map[string]Message{}} }

// Last is the newest message to a number.
func (p *Phones) Last(number string) (Message, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.last[number]
	return m, ok
}

// Handler serves POST /messages (the webhook), GET /messages?phone=… (the newest to a
// number, as JSON) and a page at /.
func (p *Phones) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /messages", p.take)
	mux.HandleFunc("GET /messages", func(w http.ResponseWriter, r *http.Request) {
		m, ok := p.Last(r.URL.Query().Get("phone"))
		if !ok {
			http.Error(w, "no message to this number", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(m) // the client may be gone: nobody to tell
	})
	mux.HandleFunc("GET /{$}", p.page)
	return mux
}

func (p *Phones) take(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Phone string `json:"phone"`
		Text  struct {
			ZH string `json:"zh"`
			EN string `json:"en"`
		} `json:"text"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil || in.Phone == "" {
		http.Error(w, "want phone and text", http.StatusBadRequest)
		return
	}
	m := Message{in.Phone, in.Text.ZH, in.Text.EN, time.Now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) == maxMessages {
		p.all = append(p.all[:0:0], p.all[maxMessages/2:]...)
		p.last = map[string]Message{}
		for _, m := range p.all {
			p.last[m.Phone] = m
		}
	}
	p.all = append(p.all, m)
	p.last[m.Phone] = m
	w.WriteHeader(http.StatusNoContent)
}

var inbox = template.Must(template.New("").Parse(`<!doctype html><html lang="zh"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="3"><title>短信 Messages · TEST</title>
<style>body{font:16px/1.5 system-ui,"Noto Sans CJK SC",sans-serif;max-width:560px;margin:0 auto;padding:16px;background:#f3f5f9}h1{font-size:1.2rem}
p{background:#fff;border-radius:14px;padding:12px 16px;box-shadow:0 1px 2px #0002}small{color:#5b6479;display:block}</style>
<h1>短信 Messages · 测试 TEST</h1>{{range .}}<p><b>{{.Phone}}</b><small>{{.At.Format "15:04:05"}}</small>{{.ZH}}<br>{{.EN}}</p>{{else}}<p>没有短信 no message yet</p>{{end}}</html>`))

func (p *Phones) page(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	var newest []Message
	for i := len(p.all) - 1; i >= 0 && len(newest) < shown; i-- {
		newest = append(newest, p.all[i])
	}
	p.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = inbox.Execute(w, newest) // the browser may be gone: nobody to tell
}
