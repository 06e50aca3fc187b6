package devices

import (
	"errors"
	"time"

	"dcpos/drivers"
	"dcpos/pos"
)

// State is where a device is on its way from the box to work.
type State string

// The states.
const (
	StateAbsent   State = "ABSENT"   // not there
	StatePresent  State = "PRESENT"  // there, not opened yet
	StateClaimed  State = "CLAIMED"  // being opened: the port is ours or about to be
	StateEnabled  State = "ENABLED"  // opened; how it is has not been told yet
	StateReady    State = "READY"    // does its work
	StateDegraded State = "DEGRADED" // does its work, and somebody should look after it soon
	StateError    State = "ERROR"    // there, and cannot work until somebody or the agent has done something
	StateReleased State = "RELEASED" // given back; the agent is ending
)

// Works reports whether the device does its work now.
func (s State) Works() bool { return s == StateReady || s == StateDegraded }

// Text is the state in two languages.
func (s State) Text() pos.Text {
	switch s {
	case StateAbsent:
		return pos.Text{ZH: "未连接", EN: "not connected"}
	case StatePresent:
		return pos.Text{ZH: "已连接", EN: "connected"}
	case StateClaimed:
		return pos.Text{ZH: "正在打开", EN: "being opened"}
	case StateEnabled:
		return pos.Text{ZH: "已打开", EN: "opened"}
	case StateReady:
		return pos.Text{ZH: "就绪", EN: "ready"}
	case StateDegraded:
		return pos.Text{ZH: "可用,需留意", EN: "works, needs care"}
	case StateError:
		return pos.Text{ZH: "故障", EN: "fault"}
	case StateReleased:
		return pos.Text{ZH: "已释放", EN: "released"}
	}
	return pos.Text{}
}

// Status is how one device stands.
type Status struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"`     // printer, scanner, nfc, display
	Category  string    `json:"category"` // of UnifiedPOS: POSPrinter, Scanner, SmartCardRW, LineDisplay
	Profile   string    `json:"profile"`
	Pinned    bool      `json:"pinned"`          // named in the configuration; else found by itself
	Bound     string    `json:"bound,omitempty"` // by what it is known again: a USB serial number, a port, a path, an address
	Port      string    `json:"port,omitempty"`  // the open port
	USB       string    `json:"usb,omitempty"`   // vid:pid of a USB device
	Maker     string    `json:"maker,omitempty"` // as the device says itself, else as its USB descriptor says
	Model     string    `json:"model,omitempty"` // likewise
	Firmware  string    `json:"firmware,omitempty"`
	State     State     `json:"state"`
	StateText pos.Text  `json:"state_text"`
	UPOS      string    `json:"upos_state"`       // CLOSED, IDLE, BUSY, ERROR: the state of UnifiedPOS
	Reason    string    `json:"reason,omitempty"` // of DEGRADED, ERROR and ABSENT: a UnifiedPOS code's name, or one of Reason…
	Text      *pos.Text `json:"text,omitempty"`   // what is wrong
	Hint      *pos.Text `json:"hint,omitempty"`   // what to do
	SinceMS   int64     `json:"since_ms"`         // when the state began
	Owner     string    `json:"owner,omitempty"`  // who uses it now
	// Framing is how a scanner's codes end, where it was learned or is configured.
	Framing *Framing `json:"framing,omitempty"`
	// Printer is the last known answer to each question; of printers only.
	Printer *drivers.PrinterStatus `json:"printer,omitempty"`
}

// Reasons that are not codes of UnifiedPOS.
const (
	ReasonNearEnd    = "REC_NEAREMPTY" // the standard's status event: the roll is nearly at its end
	ReasonHung       = "HUNG"          // a call into its driver did not return
	ReasonPermission = "PERMISSION"    // we may not open its file
)

// trouble is why a device is not ready: a reason with its words.
type trouble struct {
	reason     string
	text, hint pos.Text
}

func nearEnd() trouble {
	return trouble{
		ReasonNearEnd,
		pos.Text{ZH: "打印纸即将用完", EN: "The roll is nearly at its end"},
		pos.Text{ZH: "请准备更换打印纸", EN: "Have a new roll at hand"},
	}
}

func headHot() trouble {
	return trouble{
		"head_hot",
		pos.Text{ZH: "打印头过热,暂停打印", EN: "The print head is hot and rests"},
		pos.Text{ZH: "请稍候,冷却后自动继续", EN: "Wait: it goes on by itself when it has cooled"},
	}
}

func hung(stuck int) trouble {
	if stuck >= maxStuck {
		return trouble{
			ReasonHung,
			pos.Text{ZH: "设备多次卡死,已停用", EN: "The device keeps hanging and is not used any more"},
			pos.Text{ZH: "请拔下重插;仍不行请重启收银程序并联系技术支持", EN: "Unplug it and plug it in again; if it stays, restart the agent and call support"},
		}
	}
	return trouble{
		ReasonHung,
		pos.Text{ZH: "设备卡死,正在自动恢复", EN: "The device hangs and is being reset"},
		pos.Text{ZH: "请稍候;若一分钟内未恢复,请关机再开机", EN: "Wait a moment; after a minute switch it off and on"},
	}
}

func noPermission() trouble {
	return trouble{
		ReasonPermission,
		pos.Text{ZH: "没有打开设备的权限", EN: "This program may not open the device"},
		pos.Text{ZH: "请运行 posctl profile udev 安装权限规则,再重新插拔", EN: "Install the rules of posctl profile udev, then plug it in again"},
	}
}

// troubleOf puts an error into words.
func troubleOf(err error) trouble {
	code, ok := errors.AsType[drivers.ErrorCode](err)
	e := pos.AsError(err)
	if !ok {
		return trouble{string(e.Code), e.Text, e.Hint}
	}
	return trouble{code.Name(), e.Text, e.Hint}
}

// ofPrinter tells from a printer's answers how it stands. What it leaves open is not held
// against it: many print well and never say how they are.
func ofPrinter(s drivers.PrinterStatus) (State, trouble) {
	bad := func(code drivers.ErrorCode) (State, trouble) {
		return StateError, trouble{code.Name(), code.Text(), code.Hint()}
	}
	switch {
	case s.CoverOpen.Value == drivers.Yes:
		return bad(drivers.ErrCoverOpen)
	case s.PaperEnd.Value == drivers.Yes:
		return bad(drivers.ErrPaperEnd)
	case s.CutterError.Value == drivers.Yes, s.Fault.Value == drivers.Yes:
		return bad(drivers.ErrFailure)
	case s.HeadHot.Value == drivers.Yes:
		return StateError, headHot()
	case s.Online.Value == drivers.No:
		return bad(drivers.ErrOffline)
	case s.PaperNearEnd.Value == drivers.Yes:
		return StateDegraded, nearEnd()
	}
	return StateReady, trouble{}
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
