package all_test

import (
	"context"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/drivers/receipt"
	"dcpos/lab/device"
	"dcpos/pos"
)

const reference = "dcpos:pay:0197f1b2-7c3d-7e11-9a2b-3c4d5e6f7a8b"

// slip is a receipt with everything that one may have.
func slip() receipt.Receipt {
	yuan := func(m pos.Money) string { return "¥" + m.String() }
	row := func(name, count, price, sum string) receipt.Item {
		return receipt.Row(receipt.Cell{Text: name}, receipt.Cell{Text: count, Width: 5, Align: receipt.Right},
			receipt.Cell{Text: price, Width: 9, Align: receipt.Right}, receipt.Cell{Text: sum, Width: 10, Align: receipt.Right})
	}
	r := receipt.New(
		receipt.Text("测试 TEST", receipt.Style{Bold: true, Size: receipt.Tall, Align: receipt.Center, Invert: true}),
		receipt.Feed(1),
		receipt.Title("王府井冰雪超市"),
		receipt.Centered("Wangfujing Ice & Snow Market"),
		receipt.Centered("北京市东城区王府井大街 255 号"),
		receipt.Feed(1),
		receipt.Pair("收银台 03 · 收银员 李娜", "2021-02-12 18:26:09"),
		receipt.Pair("单号 Order", "A-20210212-0042"),
		receipt.DoubleRule(),
		row("商品", "数量", "单价", "金额"),
		receipt.Rule(),
		row("冰糖葫芦(山楂)", "2", "12.00", "24.00"),
		row("北京烤鸭真空礼盒装 1kg 老字号", "1", "128.00", "128.00"),
		row("Coca-Cola 可乐 500ml", "3", "4.50", "13.50"),
		row("老酸奶 “王府井” 特供", "4", "8.80", "35.20"),
		receipt.Rule(),
		receipt.Pair("合计 Total", yuan(20070), receipt.Style{Bold: true, Size: receipt.Double}),
		receipt.Pair("数字人民币红包 Red envelope", "-"+yuan(20000)),
		receipt.Pair("数字人民币 e-CNY", yuan(70)),
		receipt.DoubleRule(),
		receipt.Text("✓ 已支付 PAID", receipt.Style{Bold: true, Size: receipt.Double, Align: receipt.Center}),
		receipt.Pair("运营机构 Institution", "中国工商银行 ICBC"),
		receipt.Pair("支付编号 Payment", "0197f1b2-7c3d-7e11-9a2b-3c4d5e6f7a8b"),
		receipt.Feed(1),
		receipt.QR(reference),
		receipt.Centered("扫码查询本笔支付"),
		receipt.Centered("Scan to look this payment up"),
		receipt.Feed(1),
		receipt.Centered("谢谢惠顾,欢迎再来"),
		receipt.KickDrawer(),
		receipt.Cut(),
	)
	return r
}

func paperBench(t *testing.T, o device.PrinterOptions) (*device.Printer, *device.Bench) {
	t.Helper()
	p, err := device.NewPrinter(o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := device.Start(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Unplug(); err != nil {
			t.Errorf("bench: %v", err)
		}
	})
	return p, b
}

func opened(t *testing.T, b *device.Bench, profile string) drivers.POSPrinter {
	t.Helper()
	p, err := all.OpenPrinter(t.Context(), drivers.DeviceConfig{
		Name: "printer", Profile: profile,
		Transport: drivers.TransportConfig{Kind: drivers.TransportSerial, Path: b.Path},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

func TestChineseReceiptOnPaper(t *testing.T) {
	for _, tc := range []struct {
		profile string
		model   device.PrinterOptions
		by      drivers.Confirmation
		code    string // the QR code as the paper's text has it: with a line around it, or with white in it
	}{
		{"epson-tm-t70ii-ch", device.PrinterOptions{StartsWithoutChinese: true}, drivers.ConfirmedByJobID, "\n[picture 231x231]\n"},
		{
			"escpos-80mm-gb18030",
			device.PrinterOptions{Answers: &device.Answers{DLEEOT: true, ASB: true, GSR: true}, LosesChinese: true},
			drivers.ConfirmedByStatus, "[picture 232x287]",
		},
		{"pos-5890", device.PrinterOptions{
			WidthMM: 58, NoCutter: true, Chinese: device.GBK, ChineseSizeByFS: true, LosesChinese: true, StartsWithoutChinese: true,
			TearAfter: time.Hour, Answers: &device.Answers{DLEEOT: true, GSR: true},
		}, drivers.ConfirmedByStatus, "[picture 168x205]"},
	} {
		t.Run(tc.profile, func(t *testing.T) {
			folder := t.TempDir()
			if keep := os.Getenv("DCPOS_KEEP_RECEIPTS"); keep != "" { // to look at them
				folder = filepath.Join(keep, tc.profile)
			}
			tc.model.Directory = folder
			paper := make(chan device.Receipt, 1)
			tc.model.Receipt = func(r device.Receipt) { paper <- r }
			model, b := paperBench(t, tc.model)
			p := opened(t, b, tc.profile)
			result, err := p.Print(t.Context(), drivers.PrintJob{ID: "1", Receipt: slip()})
			if err != nil || result.State != drivers.PrintConfirmed || result.ConfirmedBy != tc.by {
				t.Fatalf("got %+v, %v", result, err)
			}
			if len(result.Notes) != 0 {
				t.Errorf("notes: %q", result.Notes)
			}
			model.Tear() // a hand, on the printer without a cutter
			got := <-paper
			if u := model.Unknown(); len(u) != 0 {
				t.Errorf("commands that the printer does not know: %q", u)
			}
			if model.Kicks() != 1 {
				t.Errorf("drawer kicks: got %d, want 1", model.Kicks())
			}
			if diff := cmp.Diff(wantText(t, p.Columns(), tc.code), got.Text()); diff != "" {
				t.Errorf("paper (-want +got):\n%s", diff)
			}
			aligned(t, got.Lines, p.Columns())
			if text := decodeQR(t, got.Image); text != reference {
				t.Errorf("qr code: got %q, want %q", text, reference)
			}
			for _, name := range []string{"1.png", "1.txt"} {
				if data, err := os.ReadFile(filepath.Join(folder, name)); err != nil || len(data) == 0 {
					t.Errorf("%s: %d bytes, %v", name, len(data), err)
				}
			}
		})
	}
}

// wantText is the layout as text, with the picture that stands for the QR code.
func wantText(t *testing.T, columns int, code string) string {
	t.Helper()
	text, err := slip().Text(columns)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(text, "[QR] "+reference, code, 1)
}

// aligned checks what a customer sees: amounts end in the same column.
func aligned(t *testing.T, lines []string, columns int) {
	t.Helper()
	for _, l := range lines {
		for _, tail := range []string{"24.00", "128.00", "13.50", "35.20", "金额", "ICBC", "18:26:09"} {
			if strings.HasSuffix(l, tail) && receipt.Width(l) != columns {
				t.Errorf("%q ends in column %d, want %d", l, receipt.Width(l), columns)
			}
		}
		if receipt.Width(l) > columns && !strings.HasPrefix(l, "[") {
			t.Errorf("%q is wider than the paper", l)
		}
	}
}

func decodeQR(t *testing.T, img image.Image) string {
	t.Helper()
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	found, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true})
	if err != nil {
		t.Fatalf("no qr code on the paper: %v", err)
	}
	return found.GetText()
}
