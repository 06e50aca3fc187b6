package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"dcpos/central/link"
	"dcpos/internal/cli"
	"dcpos/pos/dcep"
)

type takeCmd struct {
	File    string `arg:"" type:"existingfile" help:"What posctl journal export wrote. 终端导出的文件。"`
	Receipt string `type:"path" help:"Write the centre's signed receipt here, for posctl till receipt. 回执输出文件。"`
	JSON    bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Help says what happens to what is in the file.
func (takeCmd) Help() string {
	return `Takes in the entries of a till that cannot send them: a sealed file, or the salvage of a damaged journal. They are
verified as those from the road; what follows a gap is kept apart with its money in suspense (see "suspense");
what does not verify is refused and kept for you to see. May be repeated, also after the till was heard again.
Exit 1: something was refused or kept apart.
导入无法上传的终端记录,可重复执行,不会重复入账;缺口之后的记录单独保存,金额挂账。`
}

// Run takes the file in.
func (k takeCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) (err error) {
		f, err := os.Open(k.File)
		if err != nil {
			return cli.Exit(cli.Usage, err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		r, err := c.linkDesk().TakeFile(ctx, f, actor())
		if err != nil {
			return err
		}
		if k.Receipt != "" && r.Receipt != nil {
			b, err := dcep.Marshal(r.Receipt)
			if err != nil {
				return err
			}
			if err := os.WriteFile(k.Receipt, b, 0o600); err != nil {
				return err
			}
		}
		if k.JSON {
			err = json.NewEncoder(out.Out).Encode(r)
		} else {
			err = printTaken(out, r)
		}
		if err == nil && (r.Refused > 0 || r.Apart > 0 || r.Fenced) {
			return cli.Exit(cli.Negative, nil)
		}
		return err
	})
}

// linkDesk takes in files without a conveyor; a running centre reads what it kept from the database.
func (c *centre) linkDesk() *link.Link {
	return link.Desk(link.Config{Store: c.store.Link(), Env: c.settings.Env, Signer: c.keys.centre, Observer: c.desk, Log: c.log, Now: time.Now})
}

func printTaken(out *cli.Streams, r link.FileReport) error {
	s := fmt.Sprintf("%s: entries 记录 %d, new 新增 %d, known 已有 %d, kept apart 单独保存 %d, refused 拒收 %d\n",
		r.Terminal, r.Entries, r.New, r.Known, r.Apart, r.Refused)
	for _, g := range r.Gaps {
		s += fmt.Sprintf("missing 缺失: epoch 纪元 %d, %d – %d\n", g.Epoch, g.From, g.To)
	}
	for _, why := range r.Reasons {
		s += "! " + why + "\n"
	}
	if r.Receipt != nil {
		s += fmt.Sprintf("receipted 回执至: epoch 纪元 %d, entry 序号 %d\n", r.Receipt.Epoch, r.Receipt.Seq)
	}
	_, err := fmt.Fprint(out.Out, s)
	return err
}
