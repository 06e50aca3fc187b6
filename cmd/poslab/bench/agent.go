package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"dcpos/agent/identity"
	"dcpos/lab/drill"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// agent is one posagent that this bench starts by itself, to know its moment of birth
// and its process.
type agent struct {
	program string
	config  string
	socket  string
	log     string

	process *exec.Cmd
	client  *http.Client
}

func (r *run) agent(config string) (*agent, error) {
	b, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	var c struct {
		API struct{ Unix string }
	}
	if err := json.Unmarshal(b, &c); err != nil || c.API.Unix == "" {
		return nil, errors.Join(err, fmt.Errorf("%s names no socket", config))
	}
	a := &agent{program: filepath.Join(r.Bin, "posagent"), config: config, socket: c.API.Unix, log: r.path("agent.log")}
	a.client = &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", a.socket)
		},
	}}
	return a, nil
}

// start runs the agent and gives the time from exec to its first answer.
func (a *agent) start(ctx context.Context) (time.Duration, error) {
	if err := os.Remove(a.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	log, err := os.OpenFile(a.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }() // the child has its own
	a.process = exec.CommandContext(context.WithoutCancel(ctx), a.program, "--config", a.config)
	a.process.Stdout, a.process.Stderr = log, log
	a.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := a.process.Start(); err != nil {
		return 0, err
	}
	err = until(ctx, time.Millisecond, "posagent answers", func() (bool, error) { return a.answers(ctx), nil })
	took := time.Since(began)
	if err != nil {
		return 0, errors.Join(err, a.stop())
	}
	return took, nil
}

func (a *agent) answers(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://till/v1/status", nil)
	if err != nil {
		return false
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // the status line is the answer
	return resp.StatusCode < http.StatusInternalServerError
}

// stop ends the agent with SIGTERM and waits.
func (a *agent) stop() error {
	_ = a.process.Process.Signal(syscall.SIGTERM) // it may have ended: Wait tells
	overdue := time.AfterFunc(patience, func() { _ = a.process.Process.Kill() })
	defer overdue.Stop()
	if err := a.process.Wait(); err != nil {
		b, _ := os.ReadFile(a.log)
		return fmt.Errorf("posagent: %w: %s", err, b[max(0, len(b)-1000):])
	}
	return nil
}

// resident is the resident memory in MiB.
func (a *agent) resident() (float64, error) {
	u, err := drill.UsageOf(a.process.Process.Pid)
	return u.ResidentMiB, err
}

// starts starts the agent several times; it runs when this returns.
func (a *agent) starts(ctx context.Context, times int) (samples, error) {
	var s samples
	for i := range times {
		if i > 0 {
			if err := a.stop(); err != nil {
				return s, err
			}
		}
		took, err := a.start(ctx)
		if err != nil {
			return s, err
		}
		s = append(s, took)
	}
	return s, nil
}

// settle is how long an agent is left alone before its memory is read.
const settle = 2 * time.Second

func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// memory reports the resident memory of the agent after a rest.
func (r *run) memory(ctx context.Context, a *agent, name string, means pos.Text, peer *Peer) (float64, error) {
	if err := rest(ctx, min(settle, r.Repeat)); err != nil {
		return 0, err
	}
	m, err := a.resident()
	r.report(Figure{Name: name, Value: m, Unit: "MiB", Means: means, Peer: peer})
	return m, err
}

// agentSize measures memory and start of a till's program.
func agentSize(ctx context.Context, r *run) (err error) {
	bare, birth, err := r.bareAgent(ctx)
	if err != nil {
		return fmt.Errorf("agent that is not enrolled: %w", err)
	}
	site, err := r.site(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	till := site.Tills[0]
	if err := till.Stop(); err != nil {
		return err
	}
	a, err := r.agent(till.Config)
	if err != nil {
		return err
	}
	if err := r.smallJournal(ctx, a, site, till, bare, birth); err != nil {
		return err
	}
	return r.largeJournal(ctx, a, site, till, bare, birth)
}

// bareAgent is the floor: the same program before it has a journal, and how long it takes
// to say its version.
func (r *run) bareAgent(ctx context.Context) (memory, start *Peer, err error) {
	folder, err := r.folder("bare")
	if err != nil {
		return nil, nil, err
	}
	config := filepath.Join(folder, "posagent.json")
	b, err := json.Marshal(map[string]any{
		"env": "lab", "data": filepath.Join(folder, "data"), "class": "smart-pos",
		"api": map[string]any{"unix": filepath.Join(folder, "api.sock"), "listen": ""},
	})
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(config, b, 0o600); err != nil {
		return nil, nil, err
	}
	a, err := r.agent(config)
	if err != nil {
		return nil, nil, err
	}
	if _, err := a.start(ctx); err != nil {
		return nil, nil, err
	}
	m, err := a.resident()
	if err := errors.Join(err, a.stop()); err != nil {
		return nil, nil, err
	}
	var s samples
	for range r.Sizes.Starts {
		if err := s.time(exec.CommandContext(ctx, a.program, "version").Run); err != nil {
			return nil, nil, err
		}
	}
	return &Peer{Name: "posagent that waits for enrolment", Value: m},
		&Peer{Name: "posagent version, p50", Value: s.at(50)}, nil
}

// smallJournal looks at an agent that has sold nothing, and at one after its sales.
func (r *run) smallJournal(ctx context.Context, a *agent, s *drill.Site, t *drill.Till, bare, birth *Peer) (err error) {
	empty, err := a.starts(ctx, r.Sizes.Starts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	r.started("start.empty", empty, pos.Text{
		ZH: "空账簿:从启动到本地接口首次应答(中位数)",
		EN: "empty journal: from exec to the first answer on its socket, median",
	}, birth)
	if err := connected(ctx, t, true); err != nil {
		return err
	}
	idle, err := r.memory(ctx, a, "rss.idle", pos.Text{ZH: "空闲常驻内存", EN: "resident memory, idle"}, bare)
	if err != nil {
		return err
	}
	if err := sellMany(ctx, s, t, r.Sizes.Sales, 4); err != nil {
		return err
	}
	_, err = r.memory(ctx, a, "rss.after-sales", pos.Text{
		ZH: fmt.Sprintf("完成 %d 笔联网收款后的常驻内存", r.Sizes.Sales),
		EN: fmt.Sprintf("resident memory after %d online sales", r.Sizes.Sales),
	}, &Peer{Name: "idle", Value: idle})
	return err
}

// largeJournal looks at an agent that has not met its centre for very long.
func (r *run) largeJournal(ctx context.Context, a *agent, s *drill.Site, t *drill.Till, bare, birth *Peer) error {
	if err := s.Link.Cut(); err != nil {
		return err
	}
	b, err := openBook(ctx, t)
	if err != nil {
		return err
	}
	box, err := b.Outbox(ctx)
	if err == nil {
		_, err = b.fill(ctx, r.Sizes.Entries-int(box.Seq), //nolint:gosec // a few thousand
			func() ([]pos.Draft, error) { return b.sale(), nil })
	}
	if err := errors.Join(err, b.Close()); err != nil {
		return fmt.Errorf("fill the journal: %w", err)
	}
	full, err := a.starts(ctx, min(2, r.Sizes.Starts))
	if err != nil {
		return err
	}
	what := strconv.Itoa(r.Sizes.Entries)
	r.started("start.full", full, pos.Text{
		ZH: what + " 条账目、均未获回执:启动时校验整条链(中位数)",
		EN: what + " entries, hardly any receipted: the start checks the whole chain, median",
	}, birth)
	_, err = r.memory(ctx, a, "rss.full", pos.Text{
		ZH: what + " 条账目启动后的常驻内存", EN: "resident memory after that start",
	}, bare)
	return errors.Join(err, a.stop())
}

func (r *run) started(name string, s samples, means pos.Text, peer *Peer) {
	r.report(Figure{Name: name, Value: s.at(50), Unit: "ms", Count: len(s), Means: means, Peer: peer})
}

// openBook opens the journal of a till that does not run, with the till's own key.
func openBook(ctx context.Context, t *drill.Till) (*book, error) {
	folder := identity.Folder(t.Data)
	id, err := folder.Load()
	if err != nil {
		return nil, err
	}
	suite, err := dcep.SuiteByName(dcep.SM2SM3) // of a site's first till
	if err != nil {
		return nil, err
	}
	keys, err := folder.Keys(suite, identity.FileKeeper{})
	if err != nil {
		return nil, err
	}
	b := &book{path: folder.Journal()}
	b.Store, err = offline.Open(ctx, offline.Config{Path: b.path, Signer: keys.Journal, Env: id.Env, Terminal: id.Terminal})
	return b, err
}
