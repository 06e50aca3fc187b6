package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"dcpos/cmd/poslab/till"
	"dcpos/internal/cli"
)

// TillCmd is poslab till.
type TillCmd struct {
	Dir     string `required:"" type:"path" help:"Folder for the links to the ttys, receipts/ and devices.yaml. 目录。"`
	Width   int    `default:"80" enum:"58,80" help:"Paper width in millimetres: the usual printer of it. 纸宽。"`
	Printer string `placeholder:"PROFILE" help:"Printer of this firmware-profile instead, such as epson-tm-t88. 打印机型号配置。"`
	Maker   string `placeholder:"NAME" help:"What the printer says its maker is. 打印机自报厂商。"`
	Model   string `placeholder:"NAME" help:"What the printer says its model is. 打印机自报型号。"`
	Scanner string `default:"serial-cr" placeholder:"PROFILE" help:"Serial scanner. 串口扫码枪。"`
	NFC     string `name:"nfc" default:"pn532-uart" placeholder:"PROFILE" help:"Contactless reader on a serial line. 串口读卡器。"`
	Display string `default:"vfd-gbk" placeholder:"PROFILE" help:"Customer display; epson-dm-d-shared hangs on the printer. 客显。"`
	Script  string `type:"existingfile" placeholder:"FILE" help:"Carry out this file's commands instead of what is typed; exit 1 where one fails. 执行脚本。"`
}

// Help says what can be typed.
func (TillCmd) Help() string {
	return `A counter for training: a printer, a scanner, a contactless reader and a customer display on serial lines of the
kernel, whatever they stand for described by firmware-profiles. DIR/printer, DIR/scanner, DIR/nfc and DIR/display lead to
the lines; DIR/devices.yaml is the part of posagent's configuration that names them. Receipts appear on the screen and in
DIR/receipts as PNG and text, what the customer sees in DIR/display.png.

Type a code and Enter: the scanner scans it. Commands begin with a colon, :help lists them:
  :paper out  :cover open  :jam on  :stall on  :silent on  :slow 960  :hangup 300  :unplug printer  :plug printer
  :tap  :take  :tear after 3  :frame crlf  :aim on  :halves CODE  :show  :config  :quit
HID-POS and keyboard scanners (:plug hidpos, :plug keyboard) are played through the kernel's /dev/uhid, which needs root.
A script has the same lines, # before remarks, and :wait 2s or :wait receipt between them.

培训用收银台:打印机、扫码枪、读卡器、客显都接在内核串口上,型号由 firmware-profiles 描述。输入条码回车即扫码,
冒号开头为命令,:help 列出全部。练习示例:收款途中 :paper out,看收银端提示,再 :paper in,检查只出一张小票。测试 TEST`
}

// Run serves the devices until standard input ends, :quit, or SIGTERM.
func (c TillCmd) Run(ctx context.Context, out *cli.Streams) (err error) {
	o := till.Options{
		Dir: c.Dir, Printer: c.Printer, Maker: c.Maker, Model: c.Model, Scanner: c.Scanner, NFC: c.NFC, Display: c.Display,
		In: out.In, Out: out.Out, Err: out.Err,
	}
	if o.Printer == "" {
		o.Printer = map[int]string{58: "pos-5890", 80: "escpos-80mm-gb18030"}[c.Width]
	}
	if c.Script != "" {
		f, err := os.Open(c.Script)
		if err != nil {
			return cli.Exit(cli.Usage, fmt.Errorf("--script: %w", err))
		}
		defer func() { _ = f.Close() }() // only read from
		o.Script = f
	}
	err = till.Run(ctx, o)
	if errors.Is(err, till.ErrOptions) {
		return cli.Exit(cli.Usage, err)
	}
	return err
}
