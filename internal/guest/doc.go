// Package guest boots a Debian kernel in QEMU, by software emulation, with programs of
// this machine in it: tests that need a kernel's USB stack, root, or a plug that can be
// pulled run there, on any machine and in CI. Nothing is installed for it but QEMU: the
// kernel's package is downloaded and unpacked, never installed, and kept in the user's
// cache.
//
// A test binary is its own guest: TestMain calls Main, which is the machine's init when
// the process is number 1, and the tests run the machine with Boot and this same binary
// as its program. The package knows no word of the house.
package guest
