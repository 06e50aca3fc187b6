package nfc

import (
	"errors"
	"io/fs"
	"strings"

	"dcpos/drivers"
	"dcpos/pos"
)

// ErrKernelHolds is returned when the kernel's own NFC stack is loaded. pn533_usb takes
// every reader with a PN532 or PN533 behind USB, the ACR122U too, and PC/SC then lists none.
var ErrKernelHolds = errors.New("the kernel's nfc driver is loaded")

// kernelModules take readers away, in the order in which they can be removed.
func kernelModules() []string { return []string{"pn533_usb", "pn533_i2c", "pn533", "nfc"} }

// KernelHolds looks whether the kernel's NFC stack is loaded; sys is the root of sysfs,
// os.DirFS("/sys"). The error names the modules and its *drivers.Advice says how to keep
// them out. The core "nfc" alone holds no reader and is no error.
func KernelHolds(sys fs.FS) error {
	var loaded []string
	for _, m := range kernelModules() {
		if _, err := fs.Stat(sys, "module/"+m); err == nil {
			loaded = append(loaded, m)
		}
	}
	if len(loaded) == 0 || len(loaded) == 1 && loaded[0] == "nfc" {
		return nil
	}
	names := strings.Join(loaded, " ")
	blacklist := "blacklist " + strings.Join(loaded, "\nblacklist ")
	return &drivers.Advice{
		Text: pos.Text{ZH: "内核模块占用读卡器:" + names, EN: "Kernel modules hold the reader: " + names},
		Hint: pos.Text{
			ZH: "以 root 执行 rmmod " + names + ",并把以下内容写入 /etc/modprobe.d/pos-nfc.conf 后重新插拔读卡器:\n" + blacklist,
			EN: "As root: rmmod " + names + "; write this to /etc/modprobe.d/pos-nfc.conf and plug the reader in again:\n" + blacklist,
		},
		Err: ErrKernelHolds,
	}
}
