package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"dcpos/internal/cli"
	"dcpos/internal/labclock"
	"dcpos/lab/institution"
	"dcpos/lab/institution/authority"
	"dcpos/pos"
)

// labAddressFile is the file in the lab's folder that names the running simulator's URL.
const labAddressFile = "address"

// InstitutionsCmd runs the six simulated institutions until it is told to stop.
type InstitutionsCmd struct {
	Dir         string        `required:"" type:"path" help:"Folder of keys, certificates, books and statements; made when absent. 目录,不存在则创建。"`
	Listen      string        `default:"127.0.0.1:0" help:"Address to listen on; port 0 picks a free one. 监听地址。"`
	AddressFile string        `type:"path" help:"Write the URL to this file too, when it answers (always in DIR/address). 将网址另写入此文件。"`
	CutOver     time.Duration `default:"23h" help:"End of the settlement day after midnight in Shanghai. 日切时间。"`
	FeeBP       int64         `name:"fee-bp" default:"0" help:"Fee in basis points of a payment; e-CNY takes none. 手续费(万分之几)。"`
	Clock       string        `type:"existingfile" help:"File with the duration that is added to their clock, to play a campaign of another year. 时钟偏移文件。"`
	Suite       string        `default:"sm2-sm3" enum:"sm2-sm3,ed25519-sha256" help:"Suite of the certificate authority when it is made. 首次建立证书机构所用算法。"`
}

// Help says what kong's one line cannot.
func (InstitutionsCmd) Help() string {
	return `Six institutions (ICBC, ABC, BOC, CCB, BOCOM, PSBC) answer behind one address, each under /CODE/v1,
with books, statements and faults of their own. No real bank, no real money: 测试 TEST.
API keys are drawn into DIR/keys.json at the first start; DCPOS_LAB_KEY_<CODE> replaces one for a run.
A fault on demand, here one payment that is debited and never answered:
  curl -H "X-Dcpos-Key: $KEY" -d '{"op":"payments","kind":"lost_answer","count":1}' $URL/ICBC/v1/faults
Kinds: slow, lost_answer, duplicate, decline, unavailable, expired_code, late, planted.
六家模拟机构,各有账本、对账单与可控故障;不是真实银行,没有真钱。`
}

// Run implements the command.
func (c InstitutionsCmd) Run(ctx context.Context, out *cli.Streams) error {
	keys := map[string]string{}
	for _, i := range institution.Institutions() {
		keys[i.Code] = os.Getenv(institution.KeyVariable(i.Code))
	}
	cut := c.CutOver
	if cut == 0 {
		cut = -1 // the Options' word for midnight
	}
	now := time.Now
	if c.Clock != "" {
		clock, err := labclock.Open(c.Clock)
		if err != nil {
			return cli.Exit(cli.Usage, err)
		}
		now = clock.Now
	}
	sim, err := institution.Open(institution.Options{
		Dir: c.Dir, CutOver: cut, FeeBasisPoints: c.FeeBP, Suite: c.Suite, Keys: keys, Now: now,
	})
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return errors.Join(c.serve(ctx, out, sim), sim.Close())
}

func (c InstitutionsCmd) serve(ctx context.Context, out *cli.Streams, sim *institution.Simulator) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return cli.Exit(cli.Usage, pos.FieldError(pos.ErrConfig, "listen", err))
	}
	url := "http://" + l.Addr().String()
	own := filepath.Join(c.Dir, labAddressFile)
	for _, path := range []string{own, c.AddressFile} {
		if path == "" {
			continue
		}
		if err := authority.WriteFile(path, []byte(url+"\n"), 0o644); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	_, _ = fmt.Fprintf(out.Out, "测试 TEST: 运营机构模拟器 institution simulator\n%s/\n", url)
	for _, i := range institution.Institutions() {
		_, _ = fmt.Fprintf(out.Out, "%s/%s/v1  %s\n", url, i.Code, i.Name.Both())
	}
	_, _ = fmt.Fprintf(out.Out, "API 密钥 keys: %s\n证书 certificates: %s/lab/trust\n停止 stop: Ctrl-C\n",
		filepath.Join(c.Dir, institution.KeysFile), url)
	err = sim.Serve(ctx, l)
	if gone := os.Remove(own); !errors.Is(gone, os.ErrNotExist) { // a stale address misleads
		err = errors.Join(err, gone)
	}
	return err
}
