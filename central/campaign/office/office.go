package office

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/register"
	"dcpos/pos"
)

// fresh is how long a campaign's standing is believed without reading the store again.
const fresh = time.Second

// Config is what an Office needs.
type Config struct {
	Env   pos.Environment
	Store Store
	// Desk is the configuration of every campaign's desk; its Campaign is set here.
	Desk register.Config
	// PublisherKey is the verifier key of Desk.Publisher, Witness that of the witness.
	PublisherKey string
	Witness      string
	Ask          draw.Ask
	// Institutions are those that are connected.
	Institutions []string
	// Folder gets a folder of published files for each campaign.
	Folder string
	Log    *slog.Logger
}

// Office runs campaigns. It is safe for concurrent use, also by several processes on
// one database.
type Office struct {
	cfg Config
	now func() time.Time

	released  map[string]bool // by hash; of Run alone
	destroyed map[string]bool // by name; of Run alone: whose personal data is gone
	folder    sync.Mutex      // held while published files are written
	mu        sync.Mutex
	tidied    map[string]string             // by campaign: the folder as it was found to be right
	known     map[string]campaign.Published // by hash: opening one checks its fence
	logs      map[string]readLog            // by campaign: what was verified before
	desks     map[string]*register.Desk
	results   map[string]Results
	moved     map[string]moved
	all       []Campaign
	readAt    time.Time
}

// New makes an office.
func New(cfg Config) (*Office, error) {
	if cfg.Store == nil || cfg.Desk.Publisher == nil || cfg.Folder == "" {
		return nil, pos.NewError(pos.ErrConfig, errors.New("campaigns: want store, publisher and folder"))
	}
	if cfg.Desk.Now == nil {
		cfg.Desk.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Office{
		cfg: cfg, now: cfg.Desk.Now, known: map[string]campaign.Published{}, logs: map[string]readLog{},
		desks: map[string]*register.Desk{}, results: map[string]Results{},
		moved: map[string]moved{}, released: map[string]bool{}, destroyed: map[string]bool{}, tidied: map[string]string{},
	}, nil
}

// Now is the clock of campaigns.
func (o *Office) Now() time.Time { return o.now() }

// State is where a campaign stands.
type State string

// The states. What follows Drawn is issuance's.
const (
	Published   State = "published"
	Registering State = "registering"
	Closed      State = "closed"
	Drawn       State = "drawn"
	// Void is a campaign that no draw would verify: terms or list were not witnessed in time.
	Void State = "void"
)

// Text is what a person reads.
func (s State) Text() pos.Text {
	switch s {
	case Published:
		return pos.Text{ZH: "已公布,尚未开始报名", EN: "published, registration has not opened"}
	case Registering:
		return pos.Text{ZH: "报名中", EN: "registration is open"}
	case Closed:
		return pos.Text{ZH: "报名已结束,等待抽签", EN: "registration has closed, the draw follows"}
	case Drawn:
		return pos.Text{ZH: "已抽签", EN: "drawn"}
	case Void:
		return pos.Text{ZH: "未按时见证,本次活动作废", EN: "void: not witnessed in time"}
	}
	return pos.Text{ZH: string(s), EN: string(s)}
}

// Edition is one version as it was published, with its terms.
type Edition struct {
	campaign.Published
	PublishedMS int64
	Terms       draw.Terms
	TermsText   []byte
}

// Campaign is a published campaign and what its log says.
type Campaign struct {
	Edition               // the newest version: the one in force
	Former      []Edition // those before it, the first first
	Log         *draw.Log // everybody's: not to be appended to
	Checkpoints map[int64][]byte
	Seen        map[int64]time.Time // when the witness saw so many records
	RoundAt     time.Time           // when the round can be known
	Round       *draw.Round         // nil before the draw
}

// TermsSeen is when the witness saw the version in force; zero: not yet.
func (c Campaign) TermsSeen() time.Time { return c.Seen[int64(c.Version)] }

// ListSeen is when she saw the list.
func (c Campaign) ListSeen() time.Time { return c.Seen[int64(c.Version)+1] }

// ResultSeen is when she saw the result.
func (c Campaign) ResultSeen() time.Time { return c.Seen[int64(c.Version)+2] }

// Entries is how many the frozen list has; 0 before.
func (c Campaign) Entries() int64 {
	r, _ := c.Log.List()
	return r.Size
}

// opening is the moment by which the version in force must have been witnessed: nobody may
// have registered by it, nor by the one that it follows.
func (c Campaign) opening() time.Time {
	from := c.Definition.Register.From
	if n := len(c.Former); n > 0 && c.Former[n-1].Definition.Register.From.Before(from) {
		return c.Former[n-1].Definition.Register.From
	}
	return from
}

// termsInTime refuses terms that the witness saw when registration had opened.
func (c Campaign) termsInTime(seen time.Time) error {
	if n := len(c.Former); n > 0 {
		if err := c.Former[n-1].Terms.TermsInTime(seen); err != nil {
			return err
		}
	}
	return c.Terms.TermsInTime(seen)
}

// State is where it stands at a moment.
func (c Campaign) State(now time.Time) State {
	w := c.Definition.Register
	switch {
	case !c.ResultSeen().IsZero():
		return Drawn
	case c.TermsSeen().IsZero() && !now.Before(c.opening()), c.ListSeen().IsZero() && !now.Before(c.RoundAt):
		return Void
	case now.Before(w.From):
		return Published
	case now.Before(w.Until):
		return Registering
	}
	return Closed
}

// Campaigns are all, by name.
func (o *Office) Campaigns(ctx context.Context) ([]Campaign, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.readAt.IsZero() && time.Since(o.readAt) < fresh {
		return o.all, nil
	}
	known := make(map[string]int64, len(o.logs))
	for name, l := range o.logs {
		known[name] = int64(len(l.log.Records))
	}
	kept, err := o.cfg.Store.Campaigns(ctx, known)
	if err != nil {
		return nil, fmt.Errorf("read campaigns: %w", err)
	}
	all := make([]Campaign, 0, len(kept))
	for _, k := range kept {
		c, err := o.open(k)
		if err != nil {
			return nil, fmt.Errorf("campaign %s: %w", k.Name, err)
		}
		all = append(all, c)
	}
	o.all, o.readAt = all, time.Now()
	return all, nil
}

// Campaign is one; pos.ErrNotFound for a name that is not published.
func (o *Office) Campaign(ctx context.Context, name string) (Campaign, error) {
	all, err := o.Campaigns(ctx)
	if err != nil {
		return Campaign{}, err
	}
	for _, c := range all {
		if c.Definition.Name == name {
			return c, nil
		}
	}
	return Campaign{}, pos.FieldError(pos.ErrNotFound, "campaign", fmt.Errorf("%.40q is not published", name))
}

// open verifies what lies in the store.
func (o *Office) open(k Kept) (c Campaign, err error) {
	for i, e := range k.Editions {
		if i > 0 {
			c.Former = append(c.Former, c.Edition)
		}
		if c.Edition, err = o.edition(e); err != nil {
			return c, fmt.Errorf("version %d: %w", e.Version, err)
		}
		if c.Version != i+1 {
			return c, fmt.Errorf("version %d in the place of %d", c.Version, i+1)
		}
	}
	c.Checkpoints = k.Checkpoints
	if c.RoundAt, err = draw.TimeOf(c.Terms.Beacon.Chain, c.Terms.Beacon.Round); err != nil {
		return c, err
	}
	if c.Log, c.Seen, err = o.readLog(k, c.Terms); err != nil {
		return c, err
	}
	if len(k.Round) > 0 {
		c.Round = new(draw.Round)
		if err := json.Unmarshal(k.Round, c.Round); err != nil {
			return c, fmt.Errorf("round: %w", err)
		}
	}
	return c, nil
}

func (o *Office) edition(k KeptEdition) (e Edition, err error) {
	p, ok := o.known[k.Hash]
	if !ok {
		if p, err = campaign.Open(k.Text, k.Area); err != nil {
			return e, err
		}
		o.known[k.Hash] = p
	}
	e = Edition{Published: p, PublishedMS: k.PublishedMS, TermsText: k.Terms}
	if e.Terms, err = draw.DecodeTerms(k.Terms); err != nil {
		return e, err
	}
	if e.Terms.Definition != p.Hash || e.Terms.Version != p.Version {
		return e, errors.New("its terms are of another definition")
	}
	return e, nil
}

// readLog is what of a campaign's log was verified. It is never changed, only replaced.
type readLog struct {
	log  *draw.Log
	seen map[int64]time.Time
}

// readLog decodes records and verifies checkpoints; what was there before is not done again.
func (o *Office) readLog(k Kept, t draw.Terms) (*draw.Log, map[int64]time.Time, error) {
	have := o.logs[k.Name]
	if have.log == nil {
		have = readLog{&draw.Log{}, map[int64]time.Time{}}
	}
	known := int64(len(have.log.Records))
	if k.Logged == known && len(k.Checkpoints) == len(have.seen) {
		return have.log, have.seen, nil
	}
	next := readLog{have.log, maps.Clone(have.seen)}
	if k.Logged != known+int64(len(k.Records)) {
		return nil, nil, fmt.Errorf("the log has %d records, it had %d and %d are new", k.Logged, known, len(k.Records))
	}
	if len(k.Records) > 0 {
		next.log = have.log.Clone()
		if err := next.log.Extend(bytes.Join(k.Records, nil)); err != nil {
			return nil, nil, err
		}
	}
	for n, text := range k.Checkpoints {
		if _, ok := next.seen[n]; ok {
			continue
		}
		w, err := next.log.Witnessed(text, n, t)
		if err != nil {
			return nil, nil, fmt.Errorf("checkpoint %d: %w", n, err)
		}
		next.seen[n] = w.At
	}
	o.logs[k.Name] = next
	return next.log, next.seen, nil
}

// Desk is the campaign's desk. Its registration opens only when the terms were witnessed.
func (o *Office) Desk(ctx context.Context, name string) (*register.Desk, error) {
	c, err := o.Campaign(ctx, name)
	if err != nil {
		return nil, err
	}
	if c.State(o.now()) == Void {
		return nil, pos.FieldError(pos.ErrForbidden, "campaign", errors.New("it was not witnessed in time"))
	}
	return o.desk(c.Published)
}

func (o *Office) desk(p campaign.Published) (*register.Desk, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d, ok := o.desks[p.Hash]; ok {
		return d, nil
	}
	cfg := o.cfg.Desk
	cfg.Campaign = p
	d, err := register.Open(cfg)
	if err == nil {
		o.desks[p.Hash] = d
	}
	return d, err
}

// Dir is the folder of the campaign's published files.
func (o *Office) Dir(name string) string { return filepath.Join(o.cfg.Folder, name) }

// append keeps the next record and returns the campaign with it.
func (o *Office) append(ctx context.Context, c Campaign, r draw.Record, by string) (Campaign, error) {
	next := c.Log.Clone()
	if _, err := next.Append(r); err != nil {
		return c, err
	}
	record, err := r.Line()
	if err != nil {
		return c, err
	}
	name := c.Definition.Name
	if err := o.cfg.Store.Append(ctx, name, int64(len(next.Records)), record, by); err != nil {
		return c, err
	}
	return o.again(ctx, name)
}

// again reads the campaign anew.
func (o *Office) again(ctx context.Context, name string) (Campaign, error) {
	o.mu.Lock()
	o.readAt = time.Time{}
	o.mu.Unlock()
	return o.Campaign(ctx, name)
}

// cosign has the log's first n records co-signed, if they are not yet, keeps the
// checkpoint and returns the campaign with it. inTime refuses a signature that no
// verifier would take.
func (o *Office) cosign(ctx context.Context, c Campaign, n int64, inTime func(seen time.Time) error) (Campaign, error) {
	if !c.Seen[n].IsZero() {
		return c, nil
	}
	name := c.Definition.Name
	var old int64
	for m := range c.Seen {
		if m < n {
			old = max(old, m)
		}
	}
	text, err := o.cfg.Ask.Cosign(ctx, c.Log, old, n, name, o.cfg.Desk.Publisher)
	if stale, ok := errors.AsType[*draw.Stale](err); ok && stale.Size > old && stale.Size <= n { // an answer of hers was lost
		text, err = o.cfg.Ask.Cosign(ctx, c.Log, stale.Size, n, name, o.cfg.Desk.Publisher)
	}
	if err != nil {
		return c, unwitnessed(err)
	}
	w, err := c.Log.Witnessed(text, n, c.Terms)
	if err != nil {
		return c, unwitnessed(err)
	}
	if inTime != nil {
		if err := inTime(w.At); err != nil {
			return c, pos.FieldError(pos.ErrIllegalMove, "witness", err)
		}
	}
	if err := o.cfg.Store.PutCheckpoint(ctx, name, n, text); err != nil {
		return c, fmt.Errorf("keep checkpoint: %w", err)
	}
	return o.again(ctx, name)
}

// unwitnessed says that the witness did not sign, and what to do.
func unwitnessed(err error) error {
	e := pos.FieldError(pos.ErrInstitution, "witness", err)
	e.Text = pos.Text{ZH: "见证方未签名", EN: "the witness did not sign"}
	e.Hint = pos.Text{
		ZH: "已保存,中心会自动重试;请检查见证方地址与公钥,并让见证方登记本活动日志",
		EN: "it is kept and tried again by itself; check the witness's address and key, and that she watches this campaign's log",
	}
	return e
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// Publisher makes a publisher's key: the secret and its verifier key.
func Publisher(name string) (secret, public string, err error) {
	secret, public, err = note.GenerateKey(nil, name)
	if err != nil {
		return "", "", fmt.Errorf("publisher key: %w", err)
	}
	return secret, public, nil
}

// OpenPublisher reads the secret that Publisher made.
func OpenPublisher(secret string) (note.Signer, error) {
	s, err := note.NewSigner(secret)
	if err != nil {
		return nil, fmt.Errorf("publisher key: %w", err)
	}
	return s, nil
}
