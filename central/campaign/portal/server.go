package portal

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

// The server's patience with strangers. A download of the list lifts the write limit.
const (
	headerWait   = 5 * time.Second
	readWait     = 15 * time.Second
	writeWait    = 30 * time.Second
	idleWait     = time.Minute
	stopWait     = 10 * time.Second
	downloadWait = 30 * time.Minute
)

// Run serves on the listener until ctx ends, then lets running requests finish. With a
// certificate it speaks TLS 1.2 or newer.
func (p *Portal) Run(ctx context.Context, l net.Listener, certificate *tls.Certificate) error {
	srv := &http.Server{
		Handler: p, ReadHeaderTimeout: headerWait, ReadTimeout: readWait, WriteTimeout: writeWait,
		IdleTimeout: idleWait, MaxHeaderBytes: 16 << 10,
	}
	if certificate != nil {
		l = tls.NewListener(l, &tls.Config{
			Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		})
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve campaigns: %w", err)
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer cancel()
	if err := srv.Shutdown(wait); err != nil { // a download that goes on: it is asked for again
		return srv.Close()
	}
	return nil
}
