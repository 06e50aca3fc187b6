package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dcpos/agent/identity"
	"dcpos/agent/identity/tpm"
	"dcpos/internal/cli"
	"dcpos/internal/secret"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/pos/dcep/salvage"
)

// TillCmd is posctl till: what may happen to a till's data. None of it needs the agent.
type TillCmd struct {
	MayUpdate MayUpdateCmd `cmd:"" name:"may-update" help:"Exit 1 while an update or a downgrade could lose money: for packages' scripts. 升级前检查。"`
	Unenrol   UnenrolCmd   `cmd:"" help:"Forget who this till is; its journal is kept aside. Refused while money is unsent. 注销本机。"`
	Wipe      WipeCmd      `cmd:"" help:"Remove the till's data, journal included. Refused while money is unsent. 清除本机数据。"`
	Receipt   ReceiptInCmd `cmd:"" help:"Hand in the centre's receipt for a file that it took in. 导入中心回执。"`
}

// dataFolder says which till is meant.
type dataFolder struct {
	Data   string `default:"/var/lib/posagent" type:"path" help:"The till's data folder. 数据目录。"`
	Socket string `default:"/run/posagent/api.sock" env:"DCPOS_SOCKET" help:"The agent's socket: where one answers, the till is running. 本地接口套接字。"`
	JSON   bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// open opens the journal without its key. A folder that is not enrolled gives a nil store.
func (d dataFolder) open(ctx context.Context) (*offline.Store, identity.Identity, error) {
	folder := identity.Folder(d.Data)
	id, err := folder.Load()
	if errors.Is(err, identity.ErrNone) {
		if _, err := os.Stat(folder.Journal()); err == nil {
			return nil, id, fmt.Errorf("%s has a journal but no identity.json: put it back, or export the journal by posctl journal export --salvage", d.Data)
		}
		return nil, id, nil
	}
	if err != nil {
		return nil, id, err
	}
	store, err := offline.Open(ctx, offline.Config{Path: folder.Journal(), Env: id.Env, Terminal: id.Terminal})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, id, nil
	}
	return store, id, err
}

// standing is what would be lost, and why something is refused.
type standing struct {
	offline.Unfinished
	Aside   []string `json:"aside,omitempty"` // journals of damaged epochs that were kept
	Refused bool     `json:"refused"`
	Why     string   `json:"why,omitempty"`
}

// stand looks at the folder; a journal that does not verify is refused like unsent money.
func (d dataFolder) stand(ctx context.Context) (s standing, err error) {
	if s.Aside, err = filepath.Glob(filepath.Join(d.Data, identity.JournalFile+".epoch-*")); err != nil {
		return s, err
	}
	store, _, err := d.open(ctx)
	if err != nil {
		s.Refused, s.Why = true, pos.AsError(err).Error()
		return s, nil
	}
	if store == nil {
		return s, nil
	}
	defer func() { _ = store.Close() }() // beside a running agent the -wal stays; nothing is lost by it
	s.Unfinished, err = store.Unfinished(ctx)
	s.Refused = !s.Clear()
	return s, err
}

// report prints the standing and gives the exit code: 1 when refused, with the amounts and what to do.
func (d dataFolder) report(out *cli.Streams, s standing) error {
	if d.JSON {
		if err := json.NewEncoder(out.Out).Encode(s); err != nil {
			return err
		}
	}
	if !s.Refused {
		return nil
	}
	var e *pos.Error
	switch {
	case s.Why != "" && s.Clear():
		e = pos.NewError(pos.ErrChainBroken, errors.New(s.Why))
		e.Text = pos.Text{ZH: "账簿无法读取,不能确认是否有未上传金额: " + s.Why, EN: "the journal cannot be read, so nobody knows what is unsent: " + s.Why}
	default:
		e = pos.NewError(pos.ErrUnsentMoney, fmt.Errorf("%s: %d entries unsent", s.Terminal, s.Unsent))
		e.Text = pos.Text{
			ZH: fmt.Sprintf("%s: 未上传 %d 条,涉及 %d 笔 ¥%s;结果未知 %d 笔 ¥%s;进行中退款 %d 笔", s.Terminal, s.Unsent, s.Payments, s.Amount, s.Open, s.OpenSum, s.Refunds),
			EN: fmt.Sprintf("%s: %d entries unsent, with ¥%s in %d payments; ¥%s in %d payments whose outcome is not known; %d refunds under way",
				s.Terminal, s.Unsent, s.Amount, s.Payments, s.OpenSum, s.Open, s.Refunds),
		}
	}
	e.Hint = pos.Text{
		ZH: "联网让 posagent 上传并查询完毕;若本机再也无法联网:posctl journal export,由中心导入(poscentral take),再以 posctl till receipt 导入回执",
		EN: "connect and let posagent upload and ask; if this till will never be online again: posctl journal export, let the centre take it in (poscentral take), then posctl till receipt",
	}
	return cli.Exit(cli.Negative, e)
}

// stopped refuses while an agent answers.
func (d dataFolder) stopped(ctx context.Context) error {
	dialer := net.Dialer{Timeout: time.Second}
	c, err := dialer.DialContext(ctx, "unix", d.Socket)
	if err != nil {
		return nil //nolint:nilerr // nobody answers
	}
	_ = c.Close() // nothing was said
	return cli.Exit(cli.Usage, fmt.Errorf("an agent answers on %s: stop it first 请先停止 posagent", d.Socket))
}

// MayUpdateCmd is the gate that a package's script asks.
type MayUpdateCmd struct{ dataFolder }

// Run exits 0 when an update may go on, else 1 with the reason.
func (m MayUpdateCmd) Run(ctx context.Context, out *cli.Streams) error {
	s, err := m.stand(ctx)
	if err != nil {
		return err
	}
	return m.report(out, s)
}

// UnenrolCmd forgets the till's identity.
type UnenrolCmd struct {
	dataFolder
	Yes bool `help:"Do it; without it only what would happen is told. 确认执行。"`
}

// Run moves the journal aside and removes identity and keys.
func (u UnenrolCmd) Run(ctx context.Context, out *cli.Streams) error {
	if err := u.stopped(ctx); err != nil {
		return err
	}
	s, err := u.stand(ctx)
	if err == nil {
		err = u.report(out, s)
	}
	if err != nil {
		return err
	}
	id, err := identity.Folder(u.Data).Load()
	if errors.Is(err, identity.ErrNone) {
		_, err = fmt.Fprintln(out.Out, say("本机未注册", "this till is not enrolled"))
		return err
	}
	if err != nil {
		return err
	}
	kept := fmt.Sprintf("%s.%s-%d", identity.Folder(u.Data).Journal(), id.Terminal, id.Epoch)
	if !u.Yes {
		_, err = fmt.Fprintf(out.Out, say("将注销 %s,账簿保留为 %s;确认请加 --yes\n", "would un-enrol %s and keep its journal as %s; add --yes to do it\n"), id.Terminal, kept)
		return err
	}
	if _, err := os.Lstat(kept); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already: move it away by hand", kept)
	}
	for _, suffix := range append(offline.Suffixes(), "") {
		err := os.Rename(identity.Folder(u.Data).Journal()+suffix, kept+suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := remove(u.Data, "identity.json", "nats.seed", "key.pem", tpm.File, "code.key"); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.Out, say("%s 已注销;请在中心停用该终端。账簿: %s\n", "%s is un-enrolled; suspend the terminal at the centre too. Its journal: %s\n"), id.Terminal, kept)
	return err
}

// WipeCmd removes everything.
type WipeCmd struct {
	dataFolder
	Yes bool `help:"Do it; without it only what would happen is told. 确认执行。"`
}

// Run removes the till's files, never the folder's others.
func (w WipeCmd) Run(ctx context.Context, out *cli.Streams) error {
	if err := w.stopped(ctx); err != nil {
		return err
	}
	s, err := w.stand(ctx)
	if err == nil && len(s.Aside) > 0 && !s.Refused {
		return cli.Exit(cli.Negative, fmt.Errorf(say(
			"还有损坏账簿 %s:先 posctl journal export --salvage 交中心导入,再手工移走",
			"a damaged journal was kept as %s: give its posctl journal export --salvage to the centre, then move it away by hand"),
			strings.Join(s.Aside, ", ")))
	}
	if err == nil {
		err = w.report(out, s)
	}
	if err != nil {
		return err
	}
	if !w.Yes {
		_, err = fmt.Fprintf(out.Out, say("将清除 %s 内的账簿、密钥与身份;确认请加 --yes\n", "would remove journal, keys and identity in %s; add --yes to do it\n"), w.Data)
		return err
	}
	names := []string{"identity.json", "nats.seed", "key.pem", tpm.File, "code.key", "screen.key", "screen.url"}
	for _, suffix := range append(offline.Suffixes(), "") {
		names = append(names, identity.JournalFile+suffix)
	}
	if err := remove(w.Data, names...); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out.Out, say("已清除", "wiped"))
	return err
}

// remove deletes files of a folder, the identity first: a device that is cut off in between is not enrolled.
func remove(folder string, names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReceiptInCmd hands in a receipt that came by a file.
type ReceiptInCmd struct {
	dataFolder
	File string `arg:"" help:"What poscentral take --receipt wrote. 回执文件。"`
}

// Run moves the cursor as a receipt from the road would.
func (r ReceiptInCmd) Run(ctx context.Context, out *cli.Streams) (err error) {
	receipt, err := readReceipt(r.File)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	store, id, err := r.open(ctx)
	if err != nil {
		return err
	}
	if store == nil {
		return pos.NewError(pos.ErrNotEnrolled, nil)
	}
	defer func() { _ = store.Close() }() // beside a running agent the -wal stays
	suite, err := dcep.SuiteByName(id.Suite)
	if err != nil {
		return err
	}
	centre, err := suite.Verifier(id.CentreKey)
	if err != nil {
		return err
	}
	if err := store.Acknowledge(ctx, *receipt, centre); err != nil {
		return cli.Exit(cli.Negative, err)
	}
	_, err = fmt.Fprintf(out.Out, say("已回执至纪元 %d 序号 %d\n", "receipted up to epoch %d entry %d\n"), receipt.Epoch, receipt.Seq)
	return err
}

// signerOf opens the key of a data folder and never makes one.
func signerOf(folder, device, pinFile, suiteName string) (dcep.Signer, error) {
	var pin []byte
	if pinFile != "" {
		b, err := secret.Load(pinFile, func() ([]byte, error) { return nil, fs.ErrNotExist })
		if err != nil {
			return nil, err
		}
		pin = bytes.TrimRight(b, "\r\n")
	}
	keeper, inTPM, err := tpm.Find(folder, device, pin)
	if err != nil {
		return nil, err
	}
	suite, err := dcep.SuiteByName(suiteName)
	if err != nil {
		return nil, err
	}
	if inTPM {
		return keeper.Key(folder, suite)
	}
	if _, err := os.Stat(filepath.Join(folder, "key.pem")); err != nil {
		return nil, pos.FieldError(pos.ErrConfig, "key", fmt.Errorf("%s has no key: only export --salvage is possible: %w", folder, err))
	}
	return identity.FileKeeper{}.Key(folder, suite)
}

// seal writes what the centre lacks (all: everything that is here) of a whole journal, sealed to the centre.
func seal(ctx context.Context, store *offline.Store, id identity.Identity, signer dcep.Signer, all bool, w io.Writer) (offline.SalvageReport, error) {
	var none offline.SalvageReport
	box, err := store.Outbox(ctx)
	if err != nil {
		return none, err
	}
	centre, err := dcep.SuiteByName(id.Suite)
	if err != nil {
		return none, err
	}
	in, err := salvage.NewSealer(w, salvage.Header{
		Env: id.Env, Terminal: id.Terminal, Epoch: box.Epoch, FromSeq: box.Receipted + 1, MadeMS: time.Now().UnixMilli(),
	}, signer, centre, id.CentreKey)
	if err != nil {
		return none, err
	}
	r, err := store.Export(ctx, all, in)
	if err != nil {
		return r, err
	}
	return r, in.Close()
}
