package remotetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"belay/remote"
)

// Scripted is a machine that exists on paper: it answers from a table and
// remembers what it was asked. It is safe for concurrent use.
type Scripted struct {
	t    testing.TB
	name string

	mu    sync.Mutex
	rules []*Rule
	dials map[string]func(ctx context.Context) (net.Conn, error)
	calls []Call
}

// Call is one command that was run.
type Call struct {
	Argv  []string
	Stdin string // all of it
	Pure  bool

	stdout, stderr io.Writer
}

// Print writes to the command's stdout, Complain to its stderr.
func (c Call) Print(format string, a ...any)    { fprintf(c.stdout, format, a...) }
func (c Call) Complain(format string, a ...any) { fprintf(c.stderr, format, a...) }

func fprintf(w io.Writer, format string, a ...any) {
	if w != nil {
		fmt.Fprintf(w, format, a...)
	}
}

// Rule is one line of the table: a pattern and its answer. Without further
// words it answers with status 0 and says nothing.
type Rule struct {
	argv   []string
	match  func(Call) bool
	answer []func(ctx context.Context, c Call) error
	used   bool
}

// NewScripted makes a machine with an empty table.
func NewScripted(t testing.TB, name string) *Scripted {
	return &Scripted{t: t, name: name, dials: map[string]func(context.Context) (net.Conn, error){}}
}

// Host is the machine as steps and checks get it.
func (s *Scripted) Host() remote.Host {
	return remote.Host{Name: s.name, Addr: "scripted", Runner: s, Dialer: s}
}

// When adds a line for a command of exactly these words; "*" stands for any
// one word, "..." at the end for any further ones. Of several lines that match
// a command, each answers once, in order, and the last one from then on.
func (s *Scripted) When(argv ...string) *Rule {
	return s.add(&Rule{argv: argv, match: func(c Call) bool { return matchWords(argv, c.Argv) }})
}

// WhenScript adds a line for commands with a word that contains text, as the
// script of remote.Sh does.
func (s *Scripted) WhenScript(text string) *Rule {
	return s.add(&Rule{argv: []string{"…", text, "…"}, match: func(c Call) bool {
		return slices.ContainsFunc(c.Argv, func(w string) bool { return strings.Contains(w, text) })
	}})
}

// WhenFunc adds a line for commands that match accepts.
func (s *Scripted) WhenFunc(match func(Call) bool) *Rule {
	return s.add(&Rule{argv: []string{"func"}, match: match})
}

func (s *Scripted) add(r *Rule) *Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, r)
	return r
}

func matchWords(pattern, argv []string) bool {
	for i, p := range pattern {
		if p == "..." && i == len(pattern)-1 {
			return len(argv) >= i
		}
		if i >= len(argv) || p != "*" && p != argv[i] {
			return false
		}
	}
	return len(argv) == len(pattern)
}

// Say answers with text on stdout.
func (r *Rule) Say(text string) *Rule {
	return r.Do(func(c Call) error { c.Print("%s", text); return nil })
}

// Exit answers with a status and text on stderr.
func (r *Rule) Exit(status int, stderr string) *Rule {
	return r.Do(func(c Call) error {
		c.Complain("%s", stderr)
		if status == 0 {
			return nil
		}
		return &remote.ExitError{Argv: c.Argv, Status: status, Stderr: stderr}
	})
}

// Fail answers with an error, say a *remote.LostError.
func (r *Rule) Fail(err error) *Rule { return r.Do(func(Call) error { return err }) }

// Hang answers when the command's context ends, as a stuck command does.
func (r *Rule) Hang() *Rule {
	return r.then(func(ctx context.Context, _ Call) error { <-ctx.Done(); return context.Cause(ctx) })
}

// Do answers by calling f; what f returns, Run returns.
func (r *Rule) Do(f func(c Call) error) *Rule {
	return r.then(func(_ context.Context, c Call) error { return f(c) })
}

func (r *Rule) then(f func(context.Context, Call) error) *Rule {
	r.answer = append(r.answer, f)
	return r
}

// Run implements remote.Runner.
func (s *Scripted) Run(ctx context.Context, c remote.Cmd) error {
	if err := c.Check(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	call := Call{Argv: slices.Clone(c.Argv), Pure: c.Pure, stdout: c.Stdout, stderr: c.Stderr}
	if c.Stdin != nil {
		in, err := io.ReadAll(c.Stdin)
		if err != nil {
			return fmt.Errorf("read stdin of %s: %w", c.Argv[0], err)
		}
		call.Stdin = string(in)
	}
	rule := s.take(call)
	if rule == nil {
		s.t.Errorf("machine %q was not told about this command: %s", s.name, remote.Quote(c.Argv...))
		return &remote.ExitError{Argv: c.Argv, Status: 127, Stderr: "not in the table of the scripted machine"}
	}
	for _, f := range rule.answer {
		if err := f(ctx, call); err != nil {
			return err
		}
	}
	return nil
}

// take notes the call and finds its rule: the first unused, else the last.
func (s *Scripted) take(c Call) *Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
	var last *Rule
	for _, r := range s.rules {
		if !r.match(c) {
			continue
		}
		last = r
		if !r.used {
			break
		}
	}
	if last != nil {
		last.used = true
	}
	return last
}

// OnDial says what answers at an address; network is "tcp" or "unix".
func (s *Scripted) OnDial(network, addr string, f func(ctx context.Context) (net.Conn, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials[network+" "+addr] = f
}

// Dial implements remote.Dialer.
func (s *Scripted) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	f := s.dials[network+" "+addr]
	s.mu.Unlock()
	if f == nil {
		s.t.Errorf("machine %q was not told about a connection to %s %s", s.name, network, addr)
		return nil, fmt.Errorf("dial %s %s: not in the table of the scripted machine", network, addr)
	}
	return f(ctx)
}

// Calls returns what was run so far, in order.
func (s *Scripted) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Ran returns what was run so far as shell lines, in order.
func (s *Scripted) Ran() []string {
	var lines []string
	for _, c := range s.Calls() {
		lines = append(lines, remote.Quote(c.Argv...))
	}
	return lines
}

// AllUsed fails the test for every line of the table that no command used.
func (s *Scripted) AllUsed() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if !r.used {
			s.t.Errorf("machine %q was expected to be asked: %s", s.name, remote.Quote(r.argv...))
		}
	}
}
