// Command posctl is the hand tool of store IT and operations: it talks to a running
// agent, verifies a till's journal, and reconciles files. It has no state and no
// privileges of its own.
package main

import (
	"os"

	"dcpos/internal/cli"
)

type grammar struct {
	Status    StatusCmd      `cmd:"" help:"How this till stands. 终端状态。"`
	Devices   DevicesCmd     `cmd:"" help:"Scanner, printer and how they are. 外设状态。"`
	Outbox    OutboxCmd      `cmd:"" help:"What the centre has not receipted yet. 未上传交易。"`
	Doctor    DoctorCmd      `cmd:"" help:"Look at everything and say what to do. 体检。"`
	Selftest  SelftestCmd    `cmd:"" help:"Print a self-test ticket; test any device. 自检。"`
	Enroll    EnrollCmd      `cmd:"" help:"Make this device a terminal by a one-time code. 注册终端。"`
	Journal   JournalCmd     `cmd:"" help:"Verify or salvage a till's journal. 校验或抢救终端账簿。"`
	Till      TillCmd        `cmd:"" help:"May this till be updated, un-enrolled, wiped? Hand in a receipt. 终端数据处置。"`
	Receipt   ReceiptCmd     `cmd:"" help:"Check what a paper receipt's QR proves. 校验小票二维码。"`
	Profile   ProfileCmd     `cmd:"" help:"Device models as data. 设备配置。"`
	Draw      DrawCmd        `cmd:"" help:"Verify a campaign's draw. 复核抽签。"`
	Reconcile ReconcileGroup `cmd:"" help:"Compare our lines with the institutions' statements and explain every difference. 对账。"`
	Breaks    BreaksCmd      `cmd:"" help:"Work on what reconciliation found. 差异处理。"`
	Statement StatementCmd   `cmd:"" help:"Institutions' statements: check one, list the formats. 对账单。"`
}

func main() {
	os.Exit(run(os.Args[1:], cli.OS()))
}

func run(args []string, out *cli.Streams) int {
	return cli.Main("posctl", "dcpos at the command line: journals, devices, enrolment, reconciliation.\n"+
		"Exit codes: 0 ok, 1 a negative finding, 2 usage or bad input, 3 cannot reach.", &grammar{}, args, out)
}
