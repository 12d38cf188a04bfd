package checks

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"belay/remote"
)

func init() {
	register(Kind{
		Name: "command", Summary: "a command that changes nothing ends, and says, as it should",
		Example: `- command: {on: chat, run: nginx -t, status: 0, expect: "", timeout: 10s}`,
		New:     func() Check { return new(CommandCheck) },
	})
}

// CommandCheck runs a script in the host's sh. That the script changes nothing
// is the promise of who writes the plan.
type CommandCheck struct {
	On      []string        `yaml:"on" doc:"hosts; all of the plan when left out"`
	Run     string          `yaml:"run" scalar:"" required:"" doc:"shell script (POSIX sh); it must change nothing"`
	Expect  string          `yaml:"expect" doc:"regular expression that its output must match"`
	Status  int             `yaml:"status" doc:"exit status that must come; 0 when left out"`
	Timeout remote.Duration `yaml:"timeout" default:"30s" doc:"how long it may take"`
}

func (c *CommandCheck) HostNames() []string { return c.On }
func (c *CommandCheck) NeedsFacts() bool    { return false }

// Validate refuses an empty script, a bad expression and a status that no
// program can end with.
func (c *CommandCheck) Validate() error {
	var all []error
	if strings.TrimSpace(c.Run) == "" {
		all = append(all, Field("run", "is empty"))
	}
	if c.Status < 0 || c.Status > 255 {
		all = append(all, Field("status", "%d is not an exit status: 0 to 255", c.Status))
	}
	return errors.Join(append(all, expression("expect", c.Expect))...)
}

// Assess gives one finding a host.
func (c *CommandCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	expect, err := regexp.Compile(c.Expect)
	if err != nil {
		return nil, err
	}
	limit := within(c.Timeout, 30*time.Second)
	return onHosts(ctx, c, w, c.On, c.Run, func(ctx context.Context, h remote.Host) Finding {
		began := time.Now()
		out, err := look(ctx, h, limit, c.Run)
		return c.judge(out, err, time.Since(began), expect)
	})
}

func (c *CommandCheck) judge(out []byte, err error, took time.Duration, expect *regexp.Regexp) Finding {
	status, said := 0, ""
	if exit, ok := errors.AsType[*remote.ExitError](err); ok {
		status, said = exit.Status, exit.Stderr
	} else if late := slow(0); errors.As(err, &late) {
		return block("see what it waits for", "%s: %s", OneLine(c.Run, 80), late)
	} else if err != nil {
		return couldNotLook(err)
	}
	saw := fmt.Sprintf("exit %d in %s", status, millis(took))
	for _, text := range []string{string(out), said} {
		if text = OneLine(text, 80); text != "" {
			saw += ": " + text
			break
		}
	}
	const fix = "run it there by hand and see"
	var f Finding
	switch {
	case status != c.Status:
		f = block(fix, "%s; exit %d was expected", saw, c.Status)
	case !expect.Match(out):
		f = block(fix, "%s; the output does not match %s", saw, c.Expect)
	default:
		f = pass("%s", saw).took(took)
	}
	f.Detail = "$ " + c.Run + "\n" + tailOf(string(out), 4000)
	if said != "" {
		f.Detail += "\n[stderr]\n" + said
	}
	return f
}

// tailOf is the end of s, at most n bytes.
func tailOf(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
