package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "process.stop",
		Summary: "Stops processes and tmux sessions, and waits until a port is free.",
		Example: `- step: Stop the old chat
  on: chat
  process.stop:
    match: /root/stoatchat/
    tmux: "openhands-*"
    grace: 30s
    free_port: 8088
    start: cd /root/stoatchat && ./start.sh
`,
		New: func() Step { return &processStop{} },
	})
}

// stopAtMost is how many processes one step may stop: an expression that
// matches more is taken for a mistake.
const stopAtMost = 50

// processStop stops what matches, and what that has started.
type processStop struct {
	Match    string          `yaml:"match" scalar:"" doc:"regular expression (RE2) on whole command lines, as pgrep -f has it; the first 4096 bytes count"`
	Tmux     string          `yaml:"tmux" doc:"pattern (* ? [a-z]) of tmux session names, of every user whose tmux we may reach"`
	User     string          `yaml:"user" doc:"only processes of this user"`
	Children bool            `yaml:"children" default:"true" doc:"also stop what the matching processes have started"`
	Grace    remote.Duration `yaml:"grace" default:"30s" doc:"how long TERM is given before KILL"`
	FreePort int             `yaml:"free_port" doc:"TCP port that nobody may listen on afterwards"`
	Start    string          `yaml:"start" doc:"script that starts it all again: the way back (run as the kind run does)"`
}

func (s *processStop) Validate() error {
	var errs []error
	if s.Match == "" && s.Tmux == "" {
		errs = append(errs, Field("match", "one of match and tmux is needed"))
	}
	if re, err := regexp.Compile(s.Match); err != nil {
		errs = append(errs, Field("match", "%w", err))
	} else if s.Match != "" && re.MatchString("") {
		errs = append(errs, Field("match", "%q matches every process", s.Match))
	}
	if _, err := path.Match(s.Tmux, ""); err != nil {
		errs = append(errs, Field("tmux", "%q is not a pattern: a bracket is open", s.Tmux))
	}
	if s.FreePort < 0 || s.FreePort > 65535 {
		errs = append(errs, Field("free_port", "%d is not a port", s.FreePort))
	}
	return errors.Join(append(errs, validScript("start", s.Start))...)
}

// Repeatable: what is stopped cannot be stopped twice.
func (s *processStop) Repeatable() bool { return true }

// Pending lists what would be stopped, and who holds the port.
func (s *processStop) Pending(ctx context.Context, e Env) ([]Change, error) {
	l, err := s.look(ctx, e)
	if err != nil {
		return nil, err
	}
	procs, sessions, err := s.choose(l)
	if err != nil {
		return nil, err
	}
	var todo []Change
	for _, p := range procs {
		todo = append(todo, Change{Text: "stop " + l.describe(p), Cmd: fmt.Sprintf("kill -s TERM %d  # KILL after %v", p.PID, s.Grace)})
	}
	for _, t := range sessions {
		todo = append(todo, Change{Text: fmt.Sprintf("end tmux session %q of %s", t.Name, t.User), Cmd: remote.Quote(t.kill()...)})
	}
	if l.listens {
		todo = append(todo, Change{Text: fmt.Sprintf("wait until port %d is free (now held by %s)", s.FreePort, l.holder())})
	}
	return todo, nil
}

// choose says what is to be stopped, in the order of stopping: parents first,
// lest they start their children again.
func (s *processStop) choose(l *stopLook) ([]stopProc, []stopSession, error) {
	safe := l.protected()
	var roots []int
	if s.Match != "" {
		re, err := regexp.Compile(s.Match)
		if err != nil {
			return nil, nil, Field("match", "%w", err)
		}
		for pid, p := range l.procs {
			fits := p.State != "Z" && (l.want < 0 || p.UID == l.want) && re.MatchString(p.args())
			if fits && pid == 1 {
				return nil, nil, fmt.Errorf("match %q also matches PID 1 (%s), which cannot be stopped: make it narrower; nothing was stopped", s.Match, p.short())
			}
			if fits && !safe[pid] {
				roots = append(roots, pid)
			}
		}
		slices.Sort(roots)
	}
	var procs []stopProc
	all := roots
	safe[1] = true
	if s.Children {
		all = l.family(roots, safe)
	}
	for _, pid := range all {
		if l.procs[pid].State != "Z" {
			procs = append(procs, l.procs[pid])
		}
	}
	if err := s.tooMuch(l, procs); err != nil {
		return nil, nil, err
	}
	sessions, err := s.chooseSessions(l)
	return procs, sessions, err
}

// essential are programs whose end would lock us out or take the host down.
var essential = regexp.MustCompile(`^(init|sshd(:.*)?|systemd(-.*)?|dbus-(daemon|broker.*))$`)

func (s *processStop) tooMuch(l *stopLook, procs []stopProc) error {
	for _, p := range procs {
		if essential.MatchString(path.Base(strings.Fields(p.Argv[0] + " ?")[0])) {
			return fmt.Errorf("match %q takes in %s, which belay never stops: make it narrower, or name a user; nothing was stopped", s.Match, l.describe(p))
		}
	}
	if len(procs) <= stopAtMost {
		return nil
	}
	var list []string
	for _, p := range procs {
		list = append(list, "  "+l.describe(p))
	}
	return fmt.Errorf("match %q takes in %d processes, more than the %d that one step may stop: make it narrower, or name a user; nothing was stopped\n%s",
		s.Match, len(procs), stopAtMost, strings.Join(list, "\n"))
}

func (s *processStop) chooseSessions(l *stopLook) ([]stopSession, error) {
	var chosen []stopSession
	above := l.above(l.self)
	for _, t := range l.sessions {
		if fits, _ := path.Match(s.Tmux, t.Name); s.Tmux == "" || !fits {
			continue
		}
		if slices.ContainsFunc(t.panes, func(pid int) bool { return slices.Contains(above, pid) }) {
			return nil, fmt.Errorf("tmux session %q is the one that belay itself runs in: start belay in another one, or make the pattern %q narrower; nothing was stopped", t.Name, s.Tmux)
		}
		chosen = append(chosen, t)
	}
	slices.SortFunc(chosen, func(a, b stopSession) int {
		return cmp.Or(cmp.Compare(a.Socket, b.Socket), cmp.Compare(a.ID, b.ID))
	})
	return chosen, nil
}

// kill names the session by its id, which no other session ever gets, and
// goes to it as the owner of its socket: see the script that looks.
func (t stopSession) kill() []string {
	return remote.Sh(`o=$(ls -ldn "$1") || exit
o=$(set -f; set -- $o; echo "$3")
if [ "$o" = "$(id -u)" ]; then exec tmux -S "$1" kill-session -t "$2"; fi
exec setpriv --reuid "$o" --regid "$o" --clear-groups tmux -S "$1" kill-session -t "$2"`, t.Socket, t.ID).Argv
}

func (p stopProc) short() string { return fmt.Sprintf("%.200s", p.args()) }

func (l *stopLook) describe(p stopProc) string {
	return fmt.Sprintf("pid %d (%s): %s", p.PID, l.userName(p.UID), p.short())
}

// holder names who listens on the port, as far as we may see.
func (l *stopLook) holder() string {
	var who []string
	for _, pid := range l.holders {
		if p, ok := l.procs[pid]; ok {
			who = append(who, l.describe(p))
		}
	}
	if len(who) == 0 {
		return "a process that we may not see: its owner needs root (sudo), or it lives in a container"
	}
	return strings.Join(who, "; ")
}

// Verify looks again, and tries to connect to the port, which Apply did not.
func (s *processStop) Verify(ctx context.Context, e Env) error {
	l, err := s.look(ctx, e)
	if err != nil {
		return err
	}
	procs, sessions, err := s.choose(l)
	switch {
	case err != nil:
		return err
	case len(procs) > 0:
		return fmt.Errorf("still there or there again: %s", l.describe(procs[0]))
	case len(sessions) > 0:
		return fmt.Errorf("tmux session %q of %s is still there or there again", sessions[0].Name, sessions[0].User)
	case l.listens:
		return fmt.Errorf("port %d is held by %s", s.FreePort, l.holder())
	case s.FreePort == 0 || e.Host.Dialer == nil:
		return nil
	}
	conn, err := e.Host.Dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", s.FreePort))
	if err != nil {
		return context.Cause(ctx) // refused, as it should be
	}
	conn.Close()
	return fmt.Errorf("port %d still takes connections, though no process of this host listens on it: a container or a forwarding rule may", s.FreePort)
}
