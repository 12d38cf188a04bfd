package checks

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
)

func init() {
	register(Kind{
		Name: "process", Summary: "a process runs, or does not",
		Example: "- process: {on: chat, match: stoatchat, count: 1}",
		New:     func() Check { return new(ProcessCheck) },
	})
}

// ProcessCheck judges the processes whose command line matches. Kernel threads
// and belay itself do not count.
type ProcessCheck struct {
	On     []string `yaml:"on" doc:"hosts; all of the plan when left out"`
	Match  string   `yaml:"match" scalar:"" required:"" doc:"regular expression of the command line"`
	User   string   `yaml:"user" doc:"count only this user's processes"`
	Count  int      `yaml:"count" doc:"how many there must be; at least one when left out"`
	Absent bool     `yaml:"absent" doc:"there must be none"`
}

func (c *ProcessCheck) HostNames() []string { return c.On }
func (c *ProcessCheck) NeedsFacts() bool    { return true }

// Validate refuses a bad expression, and a count of what must be absent.
func (c *ProcessCheck) Validate() error {
	var err error
	if c.Count < 0 {
		err = Field("count", "must not be negative")
	} else if c.Absent && c.Count > 0 {
		err = Field("absent", "a process that must be absent has no count; leave one of the two out")
	}
	if c.Match == "" {
		err = errors.Join(err, Field("match", "would match every process"))
	}
	return errors.Join(expression("match", c.Match), err)
}

// Assess gives one finding a host.
func (c *ProcessCheck) Assess(_ context.Context, w World) ([]Finding, error) {
	match, err := regexp.Compile(c.Match)
	if err != nil {
		return nil, err
	}
	return onFacts(c, w, c.On, c.Match, func(f *Facts) Finding {
		var found []Process
		for _, p := range f.Processes {
			if match.MatchString(p.Args) && (c.User == "" || c.User == p.User) && path.Base(firstWord(p.Args)) != "belay" {
				found = append(found, p)
			}
		}
		why, lacks := f.Lacks("processes")
		return c.judge(found, why, lacks)
	})
}

// judge: a list that is not whole still proves that something is there.
func (c *ProcessCheck) judge(found []Process, why string, lacks bool) Finding {
	n := len(found)
	verdict := pass("no process matches %s", c.Match)
	switch {
	case c.Absent && n > 0:
		verdict = block("stop it first", "%s", describe(found, c.Match))
	case lacks && (c.Absent || n == 0 || c.Count > 0):
		return notRead("processes", why)
	case c.Absent:
	case n == 0:
		verdict = block("start it, or see why it ended", "no process matches %s", c.Match)
	case c.Count > 0 && n != c.Count:
		verdict = block("see which should not run, or start what is missing", "%s, but there should be %d", describe(found, c.Match), c.Count)
	default:
		verdict = pass("%s", describe(found, c.Match))
	}
	for _, p := range found[:min(n, 50)] {
		verdict.Detail += fmt.Sprintf("%d %s %s\n", p.PID, p.User, OneLine(p.Args, 200))
	}
	return verdict
}

func describe(found []Process, match string) string {
	p := found[0]
	text := fmt.Sprintf("%s runs (pid %d, user %s, for %s)", path.Base(firstWord(p.Args)), p.PID, p.User, p.Age)
	if n := len(found); n > 1 {
		text = fmt.Sprintf("%d processes match %s; the first: %s", n, match, text)
	}
	return text
}
