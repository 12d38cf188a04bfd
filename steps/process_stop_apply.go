package steps

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"belay/remote"
)

const (
	stopPasses  = 4                // looks that may find something new before Apply gives up
	stopKilled  = 10 * time.Second // after KILL
	stopRelease = 10 * time.Second // until the port is free, when all is stopped
)

// stopped is what Apply remembers of each process and session before it ends it.
type stopped struct {
	PID   int    `json:"pid,omitempty"`
	Start string `json:"start,omitempty"` // of a session: when it was created
	User  string `json:"user"`
	Args  string `json:"args,omitempty"`
	Dir   string `json:"dir,omitempty"`
	Tmux  string `json:"tmux,omitempty"` // name of a session
}

// stops is all that was stopped since the step was last undone.
type stops struct {
	Round int       `json:"round"` // grows after each undo
	All   []stopped `json:"all,omitempty"`
}

// Apply sends TERM, waits for the grace, sends KILL, then ends the sessions;
// and looks again, because a loop in a session may have started something anew.
func (s *processStop) Apply(ctx context.Context, e Env) error {
	for pass := 0; ; pass++ {
		l, err := s.look(ctx, e)
		if err != nil {
			return err
		}
		procs, sessions, err := s.choose(l)
		if err != nil {
			return err
		}
		if len(procs)+len(sessions) == 0 {
			return s.waitFree(ctx, e)
		}
		if pass == stopPasses {
			return s.comesBack(l, procs, sessions)
		}
		if err := s.remember(ctx, e, l, procs, sessions); err != nil {
			return err
		}
		if err := s.end(ctx, e, l, procs); err != nil {
			return err
		}
		for _, t := range sessions {
			fmt.Fprintf(e.Log, "ending tmux session %q of %s\n", t.Name, t.User)
			// A session may have ended with its last process: the next look tells.
			if err := e.Host.Run(ctx, remote.Cmd{Argv: t.kill(), Stdout: e.Log, Stderr: e.Log}); err != nil && !isExit(err) {
				return fmt.Errorf("tmux session %q: %w", t.Name, err)
			}
		}
	}
}

func isExit(err error) bool {
	_, ok := errors.AsType[*remote.ExitError](err)
	return ok
}

func (s *processStop) comesBack(l *stopLook, procs []stopProc, sessions []stopSession) error {
	if len(procs) == 0 {
		return fmt.Errorf("tmux session %q of %s does not end, or is made again each time; stop what makes it, then try again", sessions[0].Name, sessions[0].User)
	}
	by := "by nobody that can be seen (its parent has gone)"
	if parent, ok := l.procs[procs[0].PPID]; ok {
		by = "by " + l.describe(parent)
	}
	return fmt.Errorf("it was stopped %d times and is there again: %s, started %s; stop what starts it (a systemd unit? cron?), then try again",
		stopPasses, l.describe(procs[0]), by)
}

// remember adds to the memory, before anything is ended, what will be.
func (s *processStop) remember(ctx context.Context, e Env, l *stopLook, procs []stopProc, sessions []stopSession) error {
	var known stops
	if _, err := e.Memory.Get("stopped", &known); err != nil {
		return err
	}
	if len(known.All) == 0 {
		known.Round++
	}
	add := func(x stopped) {
		if !slices.ContainsFunc(known.All, func(k stopped) bool { return k.PID == x.PID && k.Start == x.Start && k.Tmux == x.Tmux }) {
			known.All = append(known.All, x)
		}
	}
	dirs, err := stopDirs(ctx, e, procs)
	if err != nil {
		return err
	}
	for _, p := range procs {
		add(stopped{PID: p.PID, Start: p.Start, User: l.userName(p.UID), Args: p.short(), Dir: dirs[p.PID]})
	}
	for _, t := range sessions {
		add(stopped{Start: t.Created, User: t.User, Tmux: t.Name})
	}
	return e.Memory.Put("stopped", known)
}

// stopDirs are the working directories, of which a person who starts it all
// again by hand will want to know.
func stopDirs(ctx context.Context, e Env, procs []stopProc) (map[int]string, error) {
	c := remote.Sh(`for p; do printf '%s %s\n' "$p" "$(readlink "/proc/$p/cwd" | tr '\n' ' ')"; done`)
	c.Pure = true
	for _, p := range procs {
		c.Argv = append(c.Argv, strconv.Itoa(p.PID))
	}
	out, err := remote.Output(ctx, e.Host, c)
	dirs := map[int]string{}
	for line := range strings.Lines(string(out)) {
		pid, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.Atoi(pid); err == nil {
			dirs[n] = dir
		}
	}
	return dirs, err
}

// end sends TERM, then KILL to what is still there after the grace.
func (s *processStop) end(ctx context.Context, e Env, l *stopLook, procs []stopProc) error {
	total := int64(len(procs))
	for _, p := range procs {
		fmt.Fprintln(e.Log, "TERM to", l.describe(p))
	}
	left, err := stopSignal(ctx, e, "TERM", procs)
	left, err = s.await(ctx, e, left, err, time.Duration(s.Grace), total)
	if err != nil || len(left) == 0 {
		return err
	}
	for _, p := range left {
		fmt.Fprintf(e.Log, "not ended after %v: KILL to %s\n", s.Grace, l.describe(p))
	}
	left, err = stopSignal(ctx, e, "KILL", left)
	left, err = s.await(ctx, e, left, err, stopKilled, total)
	if err != nil || len(left) == 0 {
		return err
	}
	return fmt.Errorf("%s: did not end even after KILL (state %s; D waits for a disk or a network file system)", l.describe(left[0]), left[0].State)
}

// await waits until none of left is there, for at most limit.
func (s *processStop) await(ctx context.Context, e Env, left []stopProc, err error, limit time.Duration, total int64) ([]stopProc, error) {
	end := time.Now().Add(limit)
	for nap := 50 * time.Millisecond; err == nil && len(left) > 0 && time.Now().Before(end); nap = min(2*nap, time.Second) {
		e.Say(Progress{Done: total - int64(len(left)), Total: total, Unit: "processes", Text: "waiting for them to end"})
		if err = pause(ctx, min(nap, time.Until(end))); err == nil {
			left, err = stopSignal(ctx, e, "-", left)
		}
	}
	e.Say(Progress{Done: total - int64(len(left)), Total: total, Unit: "processes"})
	return left, err
}

//go:embed process_stop_signal.sh
var stopSignalScript string

// stopSignal sends a signal ("-": none) and returns those who were there.
func stopSignal(ctx context.Context, e Env, signal string, procs []stopProc) ([]stopProc, error) {
	c := remote.Sh(stopSignalScript, signal)
	c.Pure = signal == "-"
	for _, p := range procs {
		c.Argv = append(c.Argv, strconv.Itoa(p.PID), p.Start)
	}
	out, err := remote.Output(ctx, e.Host, c)
	if err != nil {
		return procs, fmt.Errorf("signal %s: %w", signal, err)
	}
	there := map[string]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return procs, fmt.Errorf("signal %s: answer %.80q is not understood", signal, line)
		}
		if f[0] == "denied" {
			return procs, fmt.Errorf("pid %s may not be stopped by us: give the host sudo, or log in as its owner", f[1])
		}
		if f[0] == "here" {
			there[f[1]] = f[2]
		}
	}
	var left []stopProc
	for _, p := range procs {
		if state, ok := there[strconv.Itoa(p.PID)]; ok {
			p.State = state
			left = append(left, p)
		}
	}
	return left, nil
}

// waitFree waits until nobody listens on the port.
func (s *processStop) waitFree(ctx context.Context, e Env) error {
	if s.FreePort == 0 {
		return nil
	}
	end := time.Now().Add(max(stopRelease, time.Duration(s.Grace)))
	for {
		l, err := s.look(ctx, e)
		if err != nil {
			return err
		}
		if !l.listens {
			fmt.Fprintf(e.Log, "port %d is free\n", s.FreePort)
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("port %d is still held by %s; what matched was stopped, this did not match", s.FreePort, l.holder())
		}
		e.Say(Progress{Text: fmt.Sprintf("port %d is held by %s", s.FreePort, l.holder())})
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// WayBack tells whether there is a start script.
func (s *processStop) WayBack() bool { return s.Start != "" }

// Undo runs the start script, once, if anything was stopped here.
func (s *processStop) Undo(ctx context.Context, e Env) error {
	if s.Start == "" {
		return ErrNoWayBack
	}
	var was stops
	if _, err := e.Memory.Get("stopped", &was); err != nil {
		return err
	}
	if t, _, err := traceOf(e, undoKey); err != nil {
		return err
	} else if t.N == 0 || t.Of != was.Round {
		gone, err := s.awaitGone(ctx, e, was.All)
		if err != nil {
			return err
		}
		if !gone {
			fmt.Fprintln(e.Log, "-- nothing was stopped here, so nothing is started")
			return nil
		}
	}
	if err := undoOnce(ctx, e, runTrace{Of: was.Round}, runScript{Script: s.Start}); err != nil {
		return fmt.Errorf("start script: %w", err)
	}
	return e.Memory.Put("stopped", stops{Round: was.Round})
}

// awaitGone tells whether anything of what was remembered has ended. An Apply
// that died may have sent TERM just before, so what is still there gets the
// grace in which it may be ending.
func (s *processStop) awaitGone(ctx context.Context, e Env, was []stopped) (bool, error) {
	if len(was) == 0 {
		return false, nil
	}
	for end := time.Now().Add(time.Duration(s.Grace)); ; {
		gone, err := s.anyGone(ctx, e, was)
		if gone || err != nil || time.Now().After(end) {
			return gone, err
		}
		e.Say(Progress{Text: "all is still there; waiting, in case it was told to end"})
		if err := pause(ctx, min(500*time.Millisecond, time.Duration(s.Grace))); err != nil {
			return false, err
		}
	}
}

// anyGone tells whether anything of what was remembered is not there any more:
// a step that died between remembering and stopping has stopped nothing.
func (s *processStop) anyGone(ctx context.Context, e Env, was []stopped) (bool, error) {
	l, err := s.look(ctx, e)
	if err != nil {
		return false, err
	}
	for _, w := range was {
		alive := l.procs[w.PID].Start == w.Start && l.procs[w.PID].State != "Z"
		if w.Tmux != "" {
			alive = slices.ContainsFunc(l.sessions, func(t stopSession) bool { return t.Name == w.Tmux && t.Created == w.Start })
		}
		if !alive {
			return true, nil
		}
	}
	return false, nil
}
