package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"dcpos/drivers/scanner/router"
	"dcpos/internal/cli"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// ReceiptCmd is posctl receipt.
type ReceiptCmd struct {
	Verify ReceiptVerifyCmd `cmd:"" help:"Check what a paper receipt's QR proves. 校验小票二维码。"`
}

// ReceiptVerifyCmd checks one QR. Exit 0: it holds; 1: it does not; 2: wrong usage.
type ReceiptVerifyCmd struct {
	Text    string `arg:"" help:"What the QR says: dcpos:pay:…"`
	Key     string `required:"" placeholder:"FILE" help:"The terminal's public key (PEM), as the centre gives it out. 终端公钥。"`
	Journal string `placeholder:"FILE" help:"A copy of the till's journal: the recorded entry is looked up in it. 账簿副本。"`
	JSON    bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run verifies and prints what is proved.
func (c ReceiptVerifyCmd) Run(ctx context.Context, out *cli.Streams) error {
	slip, err := dcep.ParseSlip(strings.TrimPrefix(strings.TrimSpace(c.Text), router.PaymentPrefix))
	if err != nil {
		return cli.Exit(cli.Negative, err)
	}
	b, err := readSmall(c.Key)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return cli.Exit(cli.Usage, fmt.Errorf("%s: no PEM block of type PUBLIC KEY", c.Key))
	}
	if err := verifySlip(slip, block.Bytes); err != nil {
		return cli.Exit(cli.Negative, err)
	}
	if c.Journal != "" {
		r, err := offline.Verify(ctx, c.Journal, offline.VerifyOptions{ExpectHead: slip.Head})
		if err == nil && r.Terminal != slip.Terminal {
			err = fmt.Errorf("the journal is of %s, the receipt of %s", r.Terminal, slip.Terminal)
		}
		if err != nil {
			return cli.Exit(cli.Negative, err)
		}
	}
	if c.JSON {
		return printJSON(out.Out, slip)
	}
	_, err = fmt.Fprintf(out.Out, "%s %s\n¥%s %s\n%s epoch %d entry %d\n%x\n%s\n", say("签名有效", "the signature holds"), slip.Env.Notice().Both(),
		slip.Amount, slip.State.Text().Both(), slip.Terminal, slip.Epoch, slip.Seq, slip.Head,
		time.UnixMilli(slip.AtMS).In(pos.Shanghai()).Format(time.DateTime))
	return err
}

// verifySlip tries the key under either suite.
func verifySlip(slip dcep.Slip, public []byte) error {
	var errs []error
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		suite, err := dcep.SuiteByName(name)
		if err != nil {
			return err
		}
		v, err := suite.Verifier(bytes.Clone(public))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return slip.Verify(v)
	}
	return errors.Join(errs...)
}
