package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// seat keeps a port for the proxy while it does not listen: a socket that is bound
// but never listens. Connecting to it is refused, and with SO_REUSEADDR (which Go
// sets on listeners) a listener may take the same port (Linux, socket(7)).
type seat struct {
	addr string
	file *os.File
}

func takeSeat(listen string) (*seat, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, err
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip := net.ParseIP(host).To4()
	if ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%q is not an IPv4 loopback address", host)
	}
	port, err := net.DefaultResolver.LookupPort(context.Background(), "tcp4", portText)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &seat{file: os.NewFile(uintptr(fd), "seat")}
	bound, err := bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte(ip)})
	if err != nil {
		return nil, errors.Join(err, s.leave())
	}
	s.addr = net.JoinHostPort(ip.String(), strconv.Itoa(bound))
	return s, nil
}

// bind takes the address and returns the port, which the kernel chose if it was 0.
func bind(fd int, addr *syscall.SockaddrInet4) (int, error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, addr); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	got, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	inet, ok := got.(*syscall.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("bound to %T", got)
	}
	return inet.Port, nil
}

func (s *seat) leave() error {
	err := s.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
