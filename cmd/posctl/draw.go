package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"dcpos/central/campaign/draw"
	"dcpos/internal/cli"
	"dcpos/pos"
)

// DrawCmd is posctl draw.
type DrawCmd struct {
	Verify drawVerifyCmd `cmd:"" help:"Do a published draw again from its files alone. 复核已公布的抽签。"`
}

type drawVerifyCmd struct {
	Dir   string `arg:"" type:"existingdir" help:"Folder of the published files. 公布文件目录。"`
	Trust string `type:"existingfile" help:"File with lines 'publisher KEY' and 'witness KEY' that came another way. 可信公钥文件。"`
	JSON  bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Help says what a verdict means.
func (drawVerifyCmd) Help() string {
	return `Needs no network and no account: it checks that every file is the one the manifest lists, that terms and list of
entries were co-signed by the witness before the named round of the public beacon could be known, the beacon's signature,
and then draws again and compares every byte. Without --trust nobody has vouched for the keys; compare the two
fingerprints with those that publisher and witness made known. Exit 0: all fits. 1: the file that does not is named.
无需联网:核对清单、见证时间、随机信标签名,并重新抽签逐字节比对。`
}

// Run verifies; exit 1 names the file that does not fit.
func (d drawVerifyCmd) Run(_ context.Context, out *cli.Streams) error {
	var trust *draw.Trust
	if d.Trust != "" {
		f, err := os.Open(d.Trust)
		if err != nil {
			return cli.Exit(cli.Usage, err)
		}
		t, err := draw.ParseTrust(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return cli.Exit(cli.Usage, fmt.Errorf("%s: %w", d.Trust, err))
		}
		trust = &t
	}
	v, err := draw.Verify(d.Dir, trust)
	if err != nil {
		return cli.Exit(cli.Negative, fmt.Errorf("%s %w", say("抽签复核不符:", "the draw does not verify:"), err))
	}
	return tillAt{JSON: d.JSON}.show(out.Out, v, func(w io.Writer) error { return verdictForPeople(w, v) })
}

func verdictForPeople(out io.Writer, v draw.Verdict) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(zh, en, value string) { _, _ = fmt.Fprintf(w, "%s\t%s\n", say(zh, en), value) }
	when := func(t time.Time) string { return t.In(pos.Shanghai()).Format("2006-01-02 15:04:05 -07:00") } // as the terms say them
	if v.Practice {
		line("练习", "PRACTICE", say("练习信标,任何人可预知结果,不作数", "a practice beacon: anybody could know the result; it counts for nothing"))
	}
	line("活动", "campaign", v.Campaign)
	line("规则版本", "terms in force", fmt.Sprintf(say("第 %d 版", "version %d"), v.Version))
	line("参与", "entries", fmt.Sprint(v.Entries))
	line("中签", "winners", fmt.Sprint(v.Winners))
	line("候补", "waiting", fmt.Sprintf(say("%d,已递补 %d", "%d, %d moved up"), v.Waiting, v.Advances))
	line("规则见证", "terms witnessed", when(v.TermsSeen))
	line("名单见证", "list witnessed", when(v.ListSeen))
	line("随机数时间", "randomness known", fmt.Sprintf(say("%s,第 %d 轮", "%s, round %d"), when(v.RoundTime), v.Round))
	line("发布方指纹", "publisher", v.Publisher)
	line("见证方指纹", "witness", v.Witness)
	if v.Authenticated {
		line("结论", "verdict", say("一致,公钥可信", "consistent, keys trusted"))
	} else {
		line("结论", "verdict", say("一致;发布方身份未核实(--trust)", "consistent; publisher not authenticated (--trust)"))
	}
	return w.Flush()
}
