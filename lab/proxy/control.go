package proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// answer is what the control socket says to every command.
type answer struct {
	Error  string `json:"error,omitempty"`
	Status Status `json:"status"`
}

const controlLine = 256

// ServeControl answers on a unix socket until ctx ends or a client says quit. One
// command a line: status, cut, freeze, restore, quit; one JSON object a line back,
// {"error":…, "status":{…}}.
func (p *Proxy) ServeControl(ctx context.Context, socket string) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			quit()
			return fmt.Errorf("accept control: %w", err)
		}
		clients.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
			defer stop()
			defer func() { _ = conn.Close() }()
			p.answerClient(conn, quit)
		})
	}
}

func (p *Proxy) answerClient(conn io.ReadWriter, quit context.CancelFunc) {
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, controlLine), controlLine)
	for lines.Scan() {
		command := lines.Text()
		err := p.command(command)
		a := answer{Status: p.Status()}
		if err != nil {
			a.Error = err.Error()
		}
		if json.NewEncoder(conn).Encode(a) != nil {
			return
		}
		if command == "quit" {
			quit()
			return
		}
	}
}

func (p *Proxy) command(command string) error {
	switch command {
	case "status", "quit":
		return nil
	case "cut":
		return p.Cut()
	case "freeze":
		return p.Freeze()
	case "restore":
		return p.Restore()
	}
	return fmt.Errorf("unknown command %q; known: status, cut, freeze, restore, quit", command)
}
