package steps

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "timer.take",
		Summary: "Stops and disables a systemd timer, and waits until what it has started has ended.",
		Example: `- step: Stop backup.timer on old
  on: old
  timer.take: {name: backup.timer, wait: 10m}
`,
		New: func() Step { return &timerTake{} },
	})
}

type timerTake struct {
	Name string          `yaml:"name" required:"" doc:"the timer; .timer is understood"`
	Wait remote.Duration `yaml:"wait" default:"10m" doc:"how long what it started may go on before the step fails; it is never ended; 0s: it is not waited for"`
}

// service is the part that systemctl does.
func (t *timerTake) service() *service {
	return &service{Name: timerName(t.Name), State: "stopped", Enabled: "false"}
}

func timerName(name string) string {
	if strings.HasSuffix(name, ".timer") {
		return name
	}
	return name + ".timer"
}

func timerValid(name string, wait remote.Duration) error {
	var errs []error
	if !unitName.MatchString(name) {
		errs = append(errs, Field("name", "%q is not the name of one systemd timer", name))
	}
	if wait < 0 {
		errs = append(errs, Field("wait", "it is less than 0"))
	}
	return errors.Join(errs...)
}

func (t *timerTake) Validate() error                { return timerValid(t.Name, t.Wait) }
func (t *timerTake) Repeatable() bool               { return true }
func (t *timerTake) Needs(on string) []checks.Check { return t.service().Needs(on) }

func (t *timerTake) Pending(ctx context.Context, e Env) ([]Change, error) {
	todo, err := t.service().Pending(ctx, e)
	if err != nil || t.Wait == 0 {
		return todo, err
	}
	running, err := timerRunning(ctx, e.Host, timerName(t.Name))
	if err != nil {
		return nil, err
	}
	for _, r := range running {
		todo = append(todo, Change{Text: "wait for " + r})
	}
	return todo, nil
}

func (t *timerTake) Apply(ctx context.Context, e Env) error {
	if err := t.service().Apply(ctx, e); err != nil {
		return err
	}
	return timerWait(ctx, e, timerName(t.Name), t.Wait)
}

func (t *timerTake) Verify(ctx context.Context, e Env) error { return t.service().Verify(ctx, e) }

// Undo starts it again if it ran, and enables it if it was. What Persistent=
// would make up for is told from the stamp, which timer.give brings back first.
func (t *timerTake) Undo(ctx context.Context, e Env) error { return t.service().Undo(ctx, e) }

// systemctlShow asks for properties of one unit.
func systemctlShow(ctx context.Context, h remote.Host, unit string, properties ...string) (map[string]string, error) {
	c := remote.Cmd{Pure: true, Argv: []string{"systemctl", "show", "--no-pager", "-p", strings.Join(properties, ","), "--", unit}}
	out, err := remote.Output(ctx, h, c)
	if err != nil {
		return nil, fmt.Errorf("unit %q: %w", unit, err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[key] = value
	}
	return all, nil
}

// timerRunning is what a timer has started and that has not ended yet, in words.
// A program that stays is no job: it has ended once it is active and exited.
func timerRunning(ctx context.Context, h remote.Host, timer string) ([]string, error) {
	t, err := systemctlShow(ctx, h, timer, "Unit", "LoadState")
	if err != nil || t["LoadState"] == "not-found" || t["LoadState"] == "masked" {
		return nil, err
	}
	starts := t["Unit"]
	if starts == "" {
		starts = strings.TrimSuffix(timer, ".timer") + ".service"
	}
	u, err := systemctlShow(ctx, h, starts, "ActiveState", "SubState", "MainPID")
	if err != nil {
		return nil, err
	}
	switch active := u["ActiveState"]; {
	case active == "active" && u["SubState"] == "exited", active == "inactive", active == "failed", active == "":
		return nil, nil
	}
	return []string{fmt.Sprintf("%s (%s, pid %s)", harmless(starts), harmless(u["SubState"]), harmless(u["MainPID"]))}, nil
}

func timerWait(ctx context.Context, e Env, timer string, bound remote.Duration) error {
	w := jobWait{whose: timer, look: func(ctx context.Context) ([]string, error) { return timerRunning(ctx, e.Host, timer) }}
	return w.until(ctx, e, time.Duration(bound))
}

// timerStamp is the file whose time of change tells systemd when a timer with
// Persistent= last elapsed (systemd.timer(5)).
func timerStamp(timer string) string { return "/var/lib/systemd/timers/stamp-" + timer }

// timerLast reads it: seconds since 1970 with their fraction, "" for none.
func timerLast(ctx context.Context, h remote.Host, timer string) (string, error) {
	c := remote.Sh(`[ ! -e "$1" ] || stat -c %.9Y "$1"`, timerStamp(timer))
	c.Pure = true
	out, err := remote.Output(ctx, h, c)
	if err != nil {
		return "", fmt.Errorf("when %s last elapsed on %s: %w", timer, h.Name, err)
	}
	last := strings.TrimSpace(string(out))
	if _, err := strconv.ParseFloat(last, 64); last != "" && err != nil {
		return "", fmt.Errorf("when %s last elapsed on %s: stat said %q", timer, h.Name, last)
	}
	return last, nil
}

// timerSetLast writes it; "" removes it.
func timerSetLast(ctx context.Context, h remote.Host, timer, last string) error {
	c := remote.Sh(`if [ -z "$2" ]; then exec rm -f "$1"; fi; mkdir -p "${1%/*}" && : >>"$1" && touch -d "@$2" "$1"`, timerStamp(timer), last)
	if err := h.Run(ctx, c); err != nil {
		return fmt.Errorf("when %s last elapsed on %s: %w", timer, h.Name, err)
	}
	return nil
}

// later tells whether a is after b; "" is before all.
func later(a, b string) bool {
	x, _ := strconv.ParseFloat(a, 64)
	y, _ := strconv.ParseFloat(b, 64)
	return a != "" && (b == "" || x > y)
}

// day is a time of stat in words.
func day(last string) string {
	seconds, _ := strconv.ParseFloat(last, 64)
	return time.Unix(int64(seconds), 0).UTC().Format("2006-01-02 15:04:05 UTC")
}
