// Command poslab is the outside world, simulated: institutions, wallets, device
// benches, broken networks and disks. Everything it makes says that it is a TEST.
package main

import (
	"os"

	"dcpos/internal/cli"
)

type grammar struct {
	Demo         DemoCmd         `cmd:"" help:"A day at a shop, played by the real programs. 演示。"`
	Institutions InstitutionsCmd `cmd:"" help:"Run six simulated operating institutions. 模拟六家运营机构。"`
	Wallet       WalletCmd       `cmd:"" help:"Be a customer's wallet. 模拟客户钱包。"`
	Till         TillCmd         `cmd:"" help:"A counter for training: printer, scanners, reader, display, by hand. 培训用收银台外设。"`
	Record       RecordCmd       `cmd:"" help:"Write down what passes between an agent and a real device. 录制真实外设。"`
	Play         PlayCmd         `cmd:"" help:"Be the device of a recording. 回放录制的外设。"`
	Witness      WitnessCmd      `cmd:"" help:"Co-sign the checkpoints of public logs. 公开日志见证方。"`
	Phone        PhoneCmd        `cmd:"" help:"Everybody's phone: receive short messages. 模拟手机短信。"`
	Shop         ShopCmd         `cmd:"" help:"A merchant's web shop to look at. 样板网店。"`
	Proxy        ProxyCmd        `cmd:"" help:"Stand between till and centre and be a bad network. 模拟差网络。"`
	Forgetfs     ForgetfsCmd     `cmd:"" help:"Mount a file system that forgets what was not fsynced. 模拟断电丢数据的磁盘。"`
	Campaign     CampaignCmd     `cmd:"" help:"A whole campaign from publish to statement, against its truth. 整场红包活动。"`
	Kill         KillCmd         `cmd:"" help:"Kill programs and cut their power under load, then judge. 杀进程与断电演练。"`
	Bench        BenchCmd        `cmd:"" help:"Measure every figure of docs/PERFORMANCE.md. 性能测量。"`
}

func main() {
	os.Exit(run(os.Args[1:], cli.OS()))
}

func run(args []string, out *cli.Streams) int {
	return cli.Main("poslab", "The outside world of dcpos, simulated for tests, training and demos. 测试 TEST only.\n"+
		"Exit codes: 0 ok, 1 a negative finding, 2 usage or bad input, 3 cannot reach.", &grammar{}, args, out)
}
