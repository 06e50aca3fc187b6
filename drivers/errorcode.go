package drivers

import (
	"fmt"

	"dcpos/pos"
)

// ErrorCode is a UnifiedPOS error code and an error by itself, so callers write
// errors.Is(err, drivers.ErrOffline). The numbers are those of javapos-contracts,
// JposConst.java:49-180 (JPOS_E_*).
type ErrorCode int

// The error codes of UnifiedPOS.
const (
	ErrClosed     ErrorCode = 101 // E_CLOSED: the device was not opened
	ErrClaimed    ErrorCode = 102 // E_CLAIMED: another program holds the device
	ErrNotClaimed ErrorCode = 103 // E_NOTCLAIMED: claim it first
	ErrNoService  ErrorCode = 104 // E_NOSERVICE: no driver or profile of that name
	ErrDisabled   ErrorCode = 105 // E_DISABLED: enable it first
	ErrIllegal    ErrorCode = 106 // E_ILLEGAL: the device cannot do that, or the request is wrong
	ErrNoHardware ErrorCode = 107 // E_NOHARDWARE: not connected, or not switched on
	ErrOffline    ErrorCode = 108 // E_OFFLINE: does not answer
	ErrNoExist    ErrorCode = 109 // E_NOEXIST: a named thing is absent
	ErrExists     ErrorCode = 110 // E_EXISTS: a named thing is there already
	ErrFailure    ErrorCode = 111 // E_FAILURE: the device reported a fault of its own
	ErrTimeout    ErrorCode = 112 // E_TIMEOUT: not done in time; it may still happen
	ErrBusy       ErrorCode = 113 // E_BUSY: doing something else
	ErrExtended   ErrorCode = 114 // E_EXTENDED: see the category's own code
)

// The extended codes of the POSPrinter category (POSPrinterConst.java:430-493, EPTR).
const (
	ErrCoverOpen ErrorCode = 201 // EPTR_COVER_OPEN: the printer's cover is open
	ErrPaperEnd  ErrorCode = 203 // EPTR_REC_EMPTY: the receipt paper is at its end
	ErrTooBig    ErrorCode = 206 // EPTR_TOOBIG: does not fit the paper or the printer's memory
	ErrBadFormat ErrorCode = 207 // EPTR_BADFORMAT: what came in cannot be read
)

// The extended codes of the SmartCardRW category. The standard counts each category's
// extended codes from 201; here they are 10000 higher so that a code means one thing, and
// Number gives the standard's own (SmartCardRWConst.java).
const (
	ErrTorn      ErrorCode = 10203 // ESC_TORN: the card left in the middle
	ErrNoCard    ErrorCode = 10204 // ESC_NO_CARD: no card in the field
	ErrManyCards ErrorCode = 10299 // ours: more than one card in the field
)

// Number is the code's number in the standard, without the category that sets apart
// codes of the same number.
func (c ErrorCode) Number() int { return int(c) % 10_000 }

// word is what each code is called and what a person is told.
type word struct {
	name string
	text pos.Text
	hint pos.Text
}

func (c ErrorCode) word() word {
	if w, ok := words()[c]; ok {
		return w
	}
	return word{
		fmt.Sprintf("E_%d", int(c)),
		pos.Text{ZH: "设备故障", EN: "Device fault"},
		pos.Text{ZH: "请联系技术支持", EN: "Call support"},
	}
}

func words() map[ErrorCode]word {
	retry := pos.Text{ZH: "请稍后重试", EN: "Try again in a moment"}
	support := pos.Text{ZH: "请联系技术支持", EN: "Call support"}
	plug := pos.Text{ZH: "请检查电源和连接线", EN: "Check power and cable"}
	model := pos.Text{ZH: "请检查设备型号设置", EN: "Check the model in the device settings"}
	row := func(name, zh, en string, hint pos.Text) word { return word{name, pos.Text{ZH: zh, EN: en}, hint} }
	return map[ErrorCode]word{
		ErrClosed: row("E_CLOSED", "设备未打开", "The device is not open", retry),
		ErrClaimed: row("E_CLAIMED", "设备被其他程序占用", "Another program is using the device",
			pos.Text{ZH: "请关闭占用该设备的程序", EN: "Close the program that uses it"}),
		ErrNotClaimed: row("E_NOTCLAIMED", "设备未占用", "The device is not claimed", retry),
		ErrNoService:  row("E_NOSERVICE", "没有该设备的驱动或型号文件", "No driver or profile for this device", model),
		ErrDisabled:   row("E_DISABLED", "设备未启用", "The device is not enabled", retry),
		ErrIllegal:    row("E_ILLEGAL", "该设备不支持此操作", "This device cannot do that", support),
		ErrNoHardware: row("E_NOHARDWARE", "找不到设备", "The device is not connected", plug),
		ErrOffline:    row("E_OFFLINE", "设备没有响应", "The device does not answer", plug),
		ErrNoExist:    row("E_NOEXIST", "不存在", "It does not exist", support),
		ErrExists:     row("E_EXISTS", "已存在", "It exists already", support),
		ErrFailure: row("E_FAILURE", "设备报告故障", "The device reports a fault",
			pos.Text{ZH: "请关机再开机;仍不行请联系技术支持", EN: "Switch it off and on; if it stays, call support"}),
		ErrTimeout: row("E_TIMEOUT", "设备未在规定时间内完成", "The device did not finish in time",
			pos.Text{ZH: "请看设备是否已完成,再决定是否重试", EN: "Look whether it was done before you try again"}),
		ErrBusy:     row("E_BUSY", "设备正忙", "The device is busy", retry),
		ErrExtended: row("E_EXTENDED", "设备故障", "Device fault", support),
		ErrCoverOpen: row("EPTR_COVER_OPEN", "打印机盖子打开", "The printer's cover is open",
			pos.Text{ZH: "请合上打印机盖子", EN: "Close the printer's cover"}),
		ErrPaperEnd: row("EPTR_REC_EMPTY", "打印纸用完", "The printer is out of paper",
			pos.Text{ZH: "请更换打印纸,然后重打", EN: "Put in a new roll, then print again"}),
		ErrTorn: row("ESC_TORN", "卡片移开过早", "The card was taken away too early",
			pos.Text{ZH: "请重新靠近感应区,直到提示完成", EN: "Hold it to the reader again until it says done"}),
		ErrNoCard: row("ESC_NO_CARD", "感应区没有卡片", "There is no card at the reader",
			pos.Text{ZH: "请将卡片或手机靠近感应区", EN: "Hold the card or phone to the reader"}),
		ErrManyCards: row("ESC_MANY_CARDS", "感应区有多张卡片", "There is more than one card at the reader",
			pos.Text{ZH: "请只放一张卡片", EN: "Hold only one card to the reader"}),
		ErrTooBig: row("EPTR_TOOBIG", "内容太长", "The content is too long", model),
		ErrBadFormat: row("EPTR_BADFORMAT", "无法识别的数据", "The data cannot be read",
			pos.Text{ZH: "请再扫一次;仍不行请检查扫码枪设置", EN: "Scan again; if it stays, check the scanner's settings"}),
	}
}

// Name returns the code's name in the standard, such as "E_OFFLINE".
func (c ErrorCode) Name() string { return c.word().name }

// Text says in two languages what is wrong.
func (c ErrorCode) Text() pos.Text { return c.word().text }

// Hint says in two languages what a shop assistant can do.
func (c ErrorCode) Hint() pos.Text { return c.word().hint }

// Error implements error.
func (c ErrorCode) Error() string { return fmt.Sprintf("%s (%d)", c.Name(), c.Number()) }
