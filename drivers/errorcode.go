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

// word is what each code is called and what a person is told.
type word struct {
	name string
	text pos.Text
	hint pos.Text
}

func (c ErrorCode) word() word {
	if w, ok := c.standardWord(); ok {
		return w
	}
	switch c {
	case ErrCoverOpen:
		return word{"EPTR_COVER_OPEN", pos.Text{ZH: "打印机盖子打开", EN: "The printer's cover is open"},
			pos.Text{ZH: "请合上打印机盖子", EN: "Close the printer's cover"}}
	case ErrPaperEnd:
		return word{"EPTR_REC_EMPTY", pos.Text{ZH: "打印纸用完", EN: "The printer is out of paper"},
			pos.Text{ZH: "请更换打印纸,然后重打", EN: "Put in a new roll, then print again"}}
	case ErrTooBig:
		return word{"EPTR_TOOBIG", pos.Text{ZH: "内容太长", EN: "The content is too long"},
			pos.Text{ZH: "请检查设备型号设置", EN: "Check the model in the device settings"}}
	case ErrBadFormat:
		return word{"EPTR_BADFORMAT", pos.Text{ZH: "无法识别的数据", EN: "The data cannot be read"},
			pos.Text{ZH: "请再扫一次;仍不行请检查扫码枪设置", EN: "Scan again; if it stays, check the scanner's settings"}}
	default:
		return word{fmt.Sprintf("E_%d", int(c)), pos.Text{ZH: "设备故障", EN: "Device fault"},
			pos.Text{ZH: "请联系技术支持", EN: "Call support"}}
	}
}

//nolint:gocognit // one row per code of the standard
func (c ErrorCode) standardWord() (word, bool) {
	retry := pos.Text{ZH: "请稍后重试", EN: "Try again in a moment"}
	support := pos.Text{ZH: "请联系技术支持", EN: "Call support"}
	plug := pos.Text{ZH: "请检查电源和连接线", EN: "Check power and cable"}
	switch c {
	case ErrClosed:
		return word{"E_CLOSED", pos.Text{ZH: "设备未打开", EN: "The device is not open"}, retry}, true
	case ErrClaimed:
		return word{"E_CLAIMED", pos.Text{ZH: "设备被其他程序占用", EN: "Another program is using the device"},
			pos.Text{ZH: "请关闭占用该设备的程序", EN: "Close the program that uses it"}}, true
	case ErrNotClaimed:
		return word{"E_NOTCLAIMED", pos.Text{ZH: "设备未占用", EN: "The device is not claimed"}, retry}, true
	case ErrNoService:
		return word{"E_NOSERVICE", pos.Text{ZH: "没有该设备的驱动或型号文件", EN: "No driver or profile for this device"},
			pos.Text{ZH: "请检查设备型号设置", EN: "Check the model in the device settings"}}, true
	case ErrDisabled:
		return word{"E_DISABLED", pos.Text{ZH: "设备未启用", EN: "The device is not enabled"}, retry}, true
	case ErrIllegal:
		return word{"E_ILLEGAL", pos.Text{ZH: "该设备不支持此操作", EN: "This device cannot do that"}, support}, true
	case ErrNoHardware:
		return word{"E_NOHARDWARE", pos.Text{ZH: "找不到设备", EN: "The device is not connected"}, plug}, true
	case ErrOffline:
		return word{"E_OFFLINE", pos.Text{ZH: "设备没有响应", EN: "The device does not answer"}, plug}, true
	case ErrNoExist:
		return word{"E_NOEXIST", pos.Text{ZH: "不存在", EN: "It does not exist"}, support}, true
	case ErrExists:
		return word{"E_EXISTS", pos.Text{ZH: "已存在", EN: "It exists already"}, support}, true
	case ErrFailure:
		return word{"E_FAILURE", pos.Text{ZH: "设备报告故障", EN: "The device reports a fault"},
			pos.Text{ZH: "请关机再开机;仍不行请联系技术支持", EN: "Switch it off and on; if it stays, call support"}}, true
	case ErrTimeout:
		return word{"E_TIMEOUT", pos.Text{ZH: "设备未在规定时间内完成", EN: "The device did not finish in time"},
			pos.Text{ZH: "请看设备是否已完成,再决定是否重试", EN: "Look whether it was done before you try again"}}, true
	case ErrBusy:
		return word{"E_BUSY", pos.Text{ZH: "设备正忙", EN: "The device is busy"}, retry}, true
	case ErrExtended:
		return word{"E_EXTENDED", pos.Text{ZH: "设备故障", EN: "Device fault"}, support}, true
	default:
		return word{}, false
	}
}

// Name returns the code's name in the standard, such as "E_OFFLINE".
func (c ErrorCode) Name() string { return c.word().name }

// Text says in two languages what is wrong.
func (c ErrorCode) Text() pos.Text { return c.word().text }

// Hint says in two languages what a shop assistant can do.
func (c ErrorCode) Hint() pos.Text { return c.word().hint }

// Error implements error.
func (c ErrorCode) Error() string { return fmt.Sprintf("%s (%d)", c.Name(), int(c)) }
