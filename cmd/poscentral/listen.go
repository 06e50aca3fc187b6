package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
)

// front is where a part of the centre is heard.
type front struct {
	name        string // of its settings, for errors
	listen      string
	addressFile string // gets the address that was taken; empty: nobody asks
	cert, key   string // files; empty: without TLS
}

// open takes the address and loads the certificate, which is nil without TLS.
func (f front) open(ctx context.Context) (net.Listener, *tls.Certificate, error) {
	var certificate *tls.Certificate
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.name, err)
		}
		certificate = &pair
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.name, err)
	}
	if f.addressFile != "" {
		if err := os.WriteFile(f.addressFile, []byte(l.Addr().String()+"\n"), 0o600); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s.address_file: %w", f.name, err), l.Close())
		}
	}
	return l, certificate, nil
}
