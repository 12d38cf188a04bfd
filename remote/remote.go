package remote

import (
	"context"
	"io"
	"net"
)

// Runner runs one command on one machine.
//
// Run returns nil when the command ended with status 0; *ExitError when it
// ended otherwise; *UnreachableError when it was never started, because the
// machine could not be reached; *LostError when the connection broke after the
// start, so that nobody knows how it ended. When ctx ends first, Run returns
// its cause, having asked the far side to end the command. When a write to
// Stdout or Stderr fails, the command is ended likewise and Run returns that
// error. Run does not wait for Stdin to end, only for the command: a Read may
// be under way when Run returns, and ends by itself. Nothing is written to
// Stdout or Stderr after Run has returned, and both may be the same writer.
// Run is safe for concurrent use.
type Runner interface {
	Run(ctx context.Context, c Cmd) error
}

// Dialer opens connections as seen from one machine: "127.0.0.1:5432" is that
// machine's own loopback. Networks are "tcp" and "unix". Deadlines work on
// every connection that it returns.
type Dialer interface {
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
}

// Cmd is one command. Argv is never a shell string: whoever carries it to the
// machine quotes it. Nothing secret may stand in Argv; secrets go in by Stdin.
type Cmd struct {
	Argv           []string
	Stdin          io.Reader // nil: end of file at once
	Stdout, Stderr io.Writer // nil: discarded
	// Pure promises that the command changes nothing. A ReadOnly runner lets
	// only such commands pass, so a false promise is a bug worth a review.
	Pure bool
}

// Sh is the command that runs script in the machine's POSIX shell, with args
// as $1, $2, …
func Sh(script string, args ...string) Cmd {
	return Cmd{Argv: append([]string{"sh", "-c", script, "belay"}, args...)}
}

// Host is one machine of a plan.
type Host struct {
	Name string // as the plan says it
	Addr string // for people: user@address:port, or "this machine"
	// Typed is how a person reaches it from a shell, such as "ssh old"; empty
	// where no ssh is in between.
	Typed string
	Runner
	Dialer
}

// Hosts are a plan's machines by name.
type Hosts map[string]Host

// Light tells how the connection to a host is doing.
type Light int

// Unlit is a host that was not needed yet.
const (
	Unlit        Light = iota
	Connecting         // first attempt
	Up                 // the last keepalive was answered
	Reconnecting       // lost; trying again with back-off
	Down               // given up for now: refused, or not the key we know
)

func (l Light) String() string {
	return [...]string{"not needed yet", "connecting", "up", "reconnecting", "down"}[l]
}
