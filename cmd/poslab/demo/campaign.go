package demo

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"dcpos/pos"
)

// campaign plays Wangfujing 2021 at small scale from publish to statement, with a centre and
// institutions of its own on the clock of 2021, and leaves its draw's bundle in draw/.
func (d *day) campaign(ctx context.Context) error {
	d.chapter("九、红包活动:王府井 2021,小规模,从发布到结算", "9. A campaign: Wangfujing 2021 at small scale, from publish to statement")
	dir := filepath.Join(d.w.root, "campaign")
	_, err := d.w.programs.run(ctx, "", "poslab", "campaign", "wangfujing-2021", "--scale", "0.0004", "--dir", dir)
	d.check("campaign.statement_is_the_truth", 0, exitCode(errors.Unwrap(err)), "exit code")
	if err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "draw"), filepath.Join(d.w.root, "draw")); err != nil {
		return err
	}
	_, err = d.w.programs.run(ctx, "", "posctl", "draw", "verify", filepath.Join(d.w.root, "draw"))
	d.check("campaign.draw_verifies", 0, exitCode(errors.Unwrap(err)), "exit code")
	b, err := os.ReadFile(filepath.Join(dir, "statement.json"))
	if err != nil {
		return err
	}
	figures := map[string]int64{}
	if err := json.Unmarshal(b, &figures); err != nil {
		return err
	}
	d.tell("报名 %[1]d 人,中签 %[2]d,领取 %[3]d;消费 %[4]d 笔,红包净支出 ¥%[5]s,到期收回 ¥%[6]s",
		"%[1]d registered, %[2]d won, %[3]d claimed; %[4]d payments, ¥%[5]s paid out of envelopes, ¥%[6]s recalled",
		figures["registered"], figures["winners"], figures["activated"], figures["payments"],
		pos.Money(figures["spent_fen"]), pos.Money(figures["recalled_fen"]))
	d.tell("抽签公布文件 draw/,结算表 campaign/statement.*", "the draw's published files are in draw/, the statement in campaign/statement.*")
	return nil
}
