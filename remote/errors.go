package remote

import (
	"errors"
	"fmt"
	"strings"
)

// ErrReadOnly is returned by a ReadOnly runner for a command that does not
// promise to change nothing.
var ErrReadOnly = errors.New("a command that may change things was tried while only looking is allowed")

// ErrNoForwarding is wrapped by a Dialer's error when the machine itself
// refuses to pass connections on (sshd: AllowTcpForwarding no), whatever the
// address. Who can, then asks a program on that machine to connect instead.
var ErrNoForwarding = errors.New("the host does not pass connections on")

// ExitError says that a command ran and ended with a status other than 0.
type ExitError struct {
	Argv   []string
	Status int    // 1–255; -1 when a signal ended it
	Signal string // "KILL"; empty when it ended by itself
	Stderr string // the end of what it wrote there, 4 KiB at most
}

func (e *ExitError) Error() string {
	what := fmt.Sprintf("exit status %d", e.Status)
	if e.Signal != "" {
		what = "ended by signal " + e.Signal
	}
	if last := lastLine(e.Stderr); last != "" {
		what += ": " + last
	}
	return what
}

// UnreachableError says that nothing was started: the machine was not reached.
type UnreachableError struct {
	Host string
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("host %q not reached: %v", e.Host, e.Err)
}
func (e *UnreachableError) Unwrap() error { return e.Err }

// LostError says that the connection broke while a command ran. Whether and
// how that command ended is unknown.
type LostError struct {
	Host string
	Err  error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("connection to host %q lost while a command ran (how it ended is unknown): %v", e.Host, e.Err)
}
func (e *LostError) Unwrap() error { return e.Err }

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return strings.TrimSpace(s)
}
