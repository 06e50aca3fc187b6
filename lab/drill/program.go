package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopPatience is how long a program may take to end after SIGTERM.
const stopPatience = 20 * time.Second

// Program is one program of the house, run as a child process. Its methods are called
// by one goroutine at a time.
type Program struct {
	Name string   // for reports and the log file
	Path string   // of the binary
	Args []string // after the program's name
	Log  string   // file to which output is appended
	Env  []string // added to this process's environment

	process *exec.Cmd
	exited  chan struct{}
	err     error // how it ended; read after exited is closed
}

// Start runs the program. It lives until Kill or Stop, or until this process ends.
func (p *Program) Start(ctx context.Context) error {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.process = exec.CommandContext(context.WithoutCancel(ctx), p.Path, p.Args...)
	p.process.Env = append(os.Environ(), p.Env...)
	p.process.Stdout, p.process.Stderr = log, log
	p.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.process.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.Name, err), log.Close())
	}
	p.exited = make(chan struct{})
	go func(process *exec.Cmd, exited chan struct{}) {
		p.err = process.Wait()
		_ = log.Close() // the child has its own handle
		close(exited)
	}(p.process, p.exited)
	return nil
}

// PID is the process's number; it must have been started.
func (p *Program) PID() int { return p.process.Process.Pid }

// Running reports that the program has not ended.
func (p *Program) Running() bool {
	if p.exited == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Kill ends the program with SIGKILL and waits for it. It is an error when the program
// had ended by itself before.
func (p *Program) Kill() error {
	if !p.Running() {
		return p.gone()
	}
	_ = p.process.Process.Kill() // an error means that it has just ended
	<-p.exited
	return nil
}

// Stop ends the program with SIGTERM and waits; an exit code other than 0 is an error.
func (p *Program) Stop() error {
	if !p.Running() {
		return p.gone()
	}
	_ = p.process.Process.Signal(syscall.SIGTERM) // an error means that it has just ended
	timer := time.NewTimer(stopPatience)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		_ = p.process.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s did not stop within %s", p.Name, stopPatience)
	}
	if p.err != nil {
		return fmt.Errorf("stop %s: %w: %s", p.Name, p.err, p.tail())
	}
	return nil
}

func (p *Program) gone() error {
	if p.exited == nil {
		return fmt.Errorf("%s was never started", p.Name)
	}
	return fmt.Errorf("%s ended by itself: %w: %s", p.Name, p.err, p.tail())
}

// tail is the end of what the program wrote.
func (p *Program) tail() string {
	const enough = 2000
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b[max(0, len(b)-enough):]))
}

// complaints finds what no program may ever write: a data race or a panic.
func (p *Program) complaints() []string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, sign := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: "} {
		if _, after, ok := strings.Cut(string(b), sign); ok {
			found = append(found, fmt.Sprintf("%s wrote %q: %s", p.Name, strings.TrimSpace(sign), after[:min(len(after), 1500)]))
		}
	}
	return found
}

// command runs a program to its end and gives its output and exit code; err tells
// that it could not be run.
func command(ctx context.Context, binary string, args ...string) (out []byte, code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err = cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		return out, exit.ExitCode(), nil
	}
	if err != nil {
		return out, -1, fmt.Errorf("run %s: %w: %s", filepath.Base(binary), err, errs.Bytes())
	}
	return out, 0, nil
}

// must is command where only exit code 0 is right.
func must(ctx context.Context, binary string, args ...string) ([]byte, error) {
	out, code, err := command(ctx, binary, args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s %s: exit code %d", filepath.Base(binary), strings.Join(args, " "), code)
	}
	return out, err
}
