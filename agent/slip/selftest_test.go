package slip_test

import (
	"strings"
	"testing"
	"time"

	"dcpos/agent/slip"
	"dcpos/drivers"
	"dcpos/drivers/escpos"
	"dcpos/drivers/receipt/draw"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

func info(columns int) slip.SelfTestInfo {
	return slip.SelfTestInfo{
		Shop: shop(pos.Lab), Version: "0.9", Columns: columns,
		Printer: drivers.DeviceInfo{Profile: "epson-tm-t70ii-ch", Maker: "EPSON", Model: "TM-T70II", Firmware: "1.02", Port: "usb:04b8:0202", Chinese: "gb18030"},
		Status:  &drivers.PrinterStatus{PaperNearEnd: drivers.Reading{Value: drivers.Yes}, CoverOpen: drivers.Reading{Value: drivers.No}},
		At:      time.UnixMilli(1_700_000_000_000).In(pos.Shanghai()),
	}
}

func TestSelfTestShowsAllThatReceiptsNeed(t *testing.T) {
	for _, columns := range []int{32, 42, 48} {
		s := text(t, slip.SelfTest(info(columns)), columns)
		for _, want := range []string{
			"打印机自检", "Printer self-test", "测试 TEST", "EPSON", "TM-T70II", "1.02", "usb:04b8:0202", "GB18030", "T1", "王府井", "龘", "𠮷", "￥12.00",
			"倍宽 wide", "T1 2023-11-15 06:13:20", "未答", "是 yes", "否 no",
		} {
			if !strings.Contains(s, want) {
				t.Errorf("%d columns lack %q:\n%s", columns, want, s)
			}
		}
		ruler := 0
		for line := range strings.SplitSeq(s, "\n") {
			if strings.HasPrefix(line, ".........1") {
				ruler = len(line)
			}
		}
		if ruler != columns {
			t.Errorf("the ruler has %d columns of %d", ruler, columns)
		}
	}
}

// Nothing but who it is known to be is claimed.
func TestSelfTestOfAPrinterThatTellsNothing(t *testing.T) {
	i := info(32)
	i.Printer, i.Status = drivers.DeviceInfo{Profile: "pos-5890", Chinese: "none"}, nil
	s := text(t, slip.SelfTest(i), 32)
	for _, not := range []string{"Maker", "Firmware", "Port", "未答"} {
		if strings.Contains(s, not) {
			t.Errorf("it tells of %q:\n%s", not, s)
		}
	}
	if !strings.Contains(s, "图形 drawn") {
		t.Errorf("how Chinese is printed:\n%s", s)
	}
}

func TestSelfTestPrintsOnEveryPrinterThatShips(t *testing.T) {
	names, err := profiles.Names(profiles.KindPrinter)
	if err != nil {
		t.Fatal(err)
	}
	font := draw.NewFont("")
	for _, name := range names {
		p, err := profiles.FindPrinter(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Driver != "escpos" {
			continue // known by name alone
		}
		doc, err := escpos.Encode(slip.SelfTest(info(p.Paper.Columns)), p, font)
		if err != nil || len(doc.Notes) != 0 || doc.QRCodes != 1 {
			t.Errorf("%s: %v, notes %q, %d codes", name, err, doc.Notes, doc.QRCodes)
		}
	}
}
