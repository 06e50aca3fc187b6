package spill

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// chunkSize is how much memory the store asks for at a time: a huge page. Records go to
// a thousand pages in turn, and with small pages of the machine every one of them would
// miss its TLB.
const chunkSize = 2 << 20

type chunk struct {
	memory []byte
	mapped []byte
}

// newChunk maps memory outside of the collector's heap, as huge pages where the kernel
// has some.
func newChunk(size int) chunk {
	mapped, err := unix.Mmap(-1, 0, size+chunkSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return chunk{memory: make([]byte, size)}
	}
	_ = unix.Madvise(mapped, unix.MADV_HUGEPAGE) // small pages do as well
	return chunk{memory: mapped[aligned(mapped):][:size:size], mapped: mapped}
}

func (c *chunk) release() {
	if c.mapped != nil {
		_ = unix.Munmap(c.mapped)
	}
}

// aligned is where the first huge page begins.
func aligned(mapped []byte) int {
	address := uintptr(unsafe.Pointer(&mapped[0]))
	return int(-address & (chunkSize - 1))
}
