package steps

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "service",
		Summary: "Starts, stops, restarts, reloads, enables or disables a systemd unit.",
		Example: `- step: Stop the old web server for good
  on: chat
  service: {name: apache2, state: stopped, enabled: false}
`,
		New: func() Step { return &service{} },
	})
}

// service brings a systemd unit into a state.
type service struct {
	Name    string `yaml:"name" required:"" doc:"the unit; .service is understood"`
	State   string `yaml:"state" default:"started" enum:"started|stopped|restarted|reloaded" doc:"restarted and reloaded are done each time, also when it runs already"`
	Enabled string `yaml:"enabled" default:"keep" enum:"true|false|keep" doc:"whether it starts when the host boots"`
}

var unitName = regexp.MustCompile(`^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*$`)

func (s *service) Validate() error {
	if !unitName.MatchString(s.Name) {
		return Field("name", "%q is not the name of one systemd unit", s.Name)
	}
	return nil
}

// Repeatable: each of the states can be asked for any number of times.
func (s *service) Repeatable() bool { return true }

// Needs systemd, as far as a program tells.
func (s *service) Needs(on string) []checks.Check {
	return []checks.Check{&checks.ToolCheck{On: []string{on}, Name: "systemctl"}}
}

// unitNow is how systemd sees a unit; also what is remembered for Undo.
type unitNow struct {
	Load    string `json:"load"`    // loaded, not-found, masked, …
	Active  string `json:"active"`  // active, reloading, inactive, failed, activating, deactivating
	Sub     string `json:"sub"`     // running, exited, dead, auto-restart, …
	Enabled string `json:"enabled"` // enabled, disabled, static, masked, …; "" when systemd does not say
	Since   string `json:"since"`   // of this invocation, monotonic microseconds
	CanLoad string `json:"-"`       // yes when it can be reloaded
}

func (u unitNow) runs() bool { return u.Active == "active" || u.Active == "reloading" }

// bootStart tells whether the unit starts at boot, as far as enabling goes.
func (u unitNow) bootStart() bool {
	return u.Enabled == "enabled" || u.Enabled == "enabled-runtime" || u.Enabled == "linked"
}

// show asks systemd. Properties: systemctl(1), org.freedesktop.systemd1(5).
func (s *service) show(ctx context.Context, e Env) (unitNow, error) {
	var u unitNow
	out, err := remote.Output(ctx, e.Host, remote.Cmd{Pure: true, Argv: []string{"systemctl", "show", "--no-pager",
		"-p", "LoadState,ActiveState,SubState,UnitFileState,ActiveEnterTimestampMonotonic,CanReload", "--", s.Name}})
	if exit, ok := errors.AsType[*remote.ExitError](err); ok {
		if exit.Status == 127 || strings.Contains(exit.Stderr, "not been booted with systemd") {
			return u, fmt.Errorf("unit %q: %s is not run by systemd; use run or process.stop there; nothing was changed", s.Name, e.Host.Name)
		}
		return u, fmt.Errorf("unit %q: %w", s.Name, err)
	} else if err != nil {
		return u, err
	}
	fields := map[string]*string{"LoadState": &u.Load, "ActiveState": &u.Active, "SubState": &u.Sub,
		"UnitFileState": &u.Enabled, "ActiveEnterTimestampMonotonic": &u.Since, "CanReload": &u.CanLoad}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if p := fields[key]; p != nil {
			*p = value
		}
	}
	switch {
	case u.Active == "":
		return u, fmt.Errorf("unit %q: systemctl's answer holds no ActiveState", s.Name)
	case u.Load == "not-found" && s.State != "stopped":
		return u, fmt.Errorf("unit %q: systemd on %s does not know it; nothing was changed", s.Name, e.Host.Name)
	case u.Load == "masked" && s.State != "stopped":
		return u, fmt.Errorf("unit %q: it is masked on %s, so it cannot be started; `systemctl unmask %s` if that is meant; nothing was changed", s.Name, e.Host.Name, s.Name)
	}
	return u, nil
}

// acts are the systemctl verbs still to be called, in order.
func (s *service) acts(u unitNow) []string {
	var verbs []string
	// Enabling goes first and disabling too: a reboot in between must not
	// bring back what is to be gone.
	switch {
	case s.Enabled == "true" && !u.bootStart():
		verbs = append(verbs, "enable")
	case s.Enabled == "false" && u.bootStart():
		verbs = append(verbs, "disable")
	}
	switch s.State {
	case "started":
		if !u.runs() {
			verbs = append(verbs, "start")
		}
	case "stopped":
		if u.Active != "inactive" && u.Active != "failed" {
			verbs = append(verbs, "stop")
		}
	case "restarted":
		verbs = append(verbs, "restart")
	case "reloaded":
		verbs = append(verbs, "reload")
	}
	return verbs
}

func (s *service) argv(verb string) []string { return []string{"systemctl", verb, "--", s.Name} }

// Pending lists the verbs. A restart or a reload is always one of them.
func (s *service) Pending(ctx context.Context, e Env) ([]Change, error) {
	u, err := s.show(ctx, e)
	if err != nil {
		return nil, err
	}
	if s.State == "reloaded" && (u.CanLoad == "no" || !u.runs()) {
		return nil, fmt.Errorf("unit %q: it cannot be reloaded (%s, CanReload=%s); nothing was changed", s.Name, u.Active, u.CanLoad)
	}
	var todo []Change
	for _, verb := range s.acts(u) {
		todo = append(todo, Change{Text: fmt.Sprintf("%s %s (now %s, %s)", verb, s.Name, u.Active, orNone(u.Enabled)), Cmd: remote.Quote(s.argv(verb)...)})
	}
	return todo, nil
}

func orNone(s string) string {
	if s == "" {
		return "without a unit file"
	}
	return s
}

// Apply remembers how the unit was found the first time, and calls systemctl.
func (s *service) Apply(ctx context.Context, e Env) error {
	u, err := s.show(ctx, e)
	if err != nil {
		return err
	}
	if known, err := e.Memory.Get("was", &unitNow{}); err != nil {
		return err
	} else if !known {
		if err := e.Memory.Put("was", u); err != nil {
			return err
		}
	}
	if err := e.Memory.Put("before", u); err != nil {
		return err
	}
	for _, verb := range s.acts(u) {
		if err := s.call(ctx, e, verb); err != nil {
			return err
		}
	}
	return nil
}

// call runs one verb. When it fails, what the unit itself said goes to the log.
func (s *service) call(ctx context.Context, e Env, verb string) error {
	fmt.Fprintln(e.Log, "-- systemctl", verb, s.Name)
	err := e.Host.Run(ctx, remote.Cmd{Argv: s.argv(verb), Stdout: e.Log, Stderr: e.Log})
	if !isExit(err) {
		return err
	}
	status := remote.Cmd{Pure: true, Argv: []string{"systemctl", "status", "--no-pager", "--lines=20", "--", s.Name}, Stdout: e.Log, Stderr: e.Log}
	if serr := e.Host.Run(ctx, status); serr != nil && !isExit(serr) {
		err = errors.Join(err, serr)
	}
	return fmt.Errorf("systemctl %s %s: %w; the log holds what the unit said", verb, s.Name, err)
}

// Verify asks for the state once more and, of a unit that is to run, whether
// it still does a moment later: `systemctl start` returns before a simple
// program that dies at once has died. Of a restart it wants a newer start.
func (s *service) Verify(ctx context.Context, e Env) error {
	u, err := s.show(ctx, e)
	if err != nil {
		return err
	}
	if s.State != "stopped" {
		if err := pause(ctx, serviceSettle); err != nil {
			return err
		}
		if u, err = s.show(ctx, e); err != nil {
			return err
		}
	}
	var before unitNow
	found, err := e.Memory.Get("before", &before)
	if err != nil {
		return err
	}
	switch runs := u.runs(); {
	case s.State == "stopped" && (runs || u.Active == "activating" || u.Active == "deactivating"):
		return fmt.Errorf("unit %q is %s (%s), not stopped; a socket, a timer or Restart= may have started it again", s.Name, u.Active, u.Sub)
	case s.State != "stopped" && !runs:
		return fmt.Errorf("unit %q is %s (%s), not running; `systemctl status %s` says more", s.Name, u.Active, u.Sub, s.Name)
	case s.State == "restarted" && found && before.runs() && u.Since == before.Since:
		return fmt.Errorf("unit %q runs since before the restart", s.Name)
	case s.Enabled == "true" && !u.bootStart() || s.Enabled == "false" && u.bootStart():
		return fmt.Errorf("unit %q is %s at boot, which is not what was asked (enabled: %s)", s.Name, orNone(u.Enabled), s.Enabled)
	}
	return nil
}

// Undo brings back whether the unit ran, and whether it starts at boot.
func (s *service) Undo(ctx context.Context, e Env) error {
	var was unitNow
	if found, err := e.Memory.Get("was", &was); err != nil {
		return err
	} else if !found {
		fmt.Fprintln(e.Log, "-- nothing was done here, so there is nothing to undo")
		return nil
	}
	back := service{Name: s.Name, State: "stopped", Enabled: "keep"}
	if was.runs() || was.Active == "activating" {
		back.State = "started"
	}
	if s.Enabled != "keep" {
		back.Enabled = fmt.Sprint(was.bootStart())
	}
	u, err := back.show(ctx, e)
	if err != nil {
		return err
	}
	for _, verb := range back.acts(u) {
		if err := back.call(ctx, e, verb); err != nil {
			return err
		}
	}
	return back.Verify(ctx, Env{Host: e.Host, Memory: MapMemory{}, Log: e.Log})
}

// serviceSettle is how long a unit must go on running to count as started;
// tests shorten it.
var serviceSettle = time.Second
