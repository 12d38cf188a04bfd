package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"belay/remote"
)

func init() {
	register(Kind{
		Name: "log", Summary: "the end of a log holds a line, or holds none of a kind",
		Example: `- log: {on: chat, path: /var/log/chat.log, absent: "panic|FATAL", tail: 500}`,
		New:     func() Check { return new(LogCheck) },
	})
}

// LogCheck looks at the last lines of a file, or of what a command prints.
type LogCheck struct {
	On       []string        `yaml:"on" doc:"hosts; all of the plan when left out"`
	Path     string          `yaml:"path" scalar:"" doc:"absolute path of the log file"`
	Command  string          `yaml:"command" doc:"shell command that prints the log instead, such as journalctl -u nginx -n 200; it must change nothing"`
	Contains string          `yaml:"contains" doc:"regular expression that a line must match"`
	Absent   string          `yaml:"absent" doc:"regular expression that no line may match"`
	Tail     int             `yaml:"tail" default:"1000" doc:"how many lines from the end are looked at, 4 MiB at most"`
	Timeout  remote.Duration `yaml:"timeout" default:"10s" doc:"how long it may take"`
}

func (c *LogCheck) HostNames() []string { return c.On }
func (c *LogCheck) NeedsFacts() bool    { return false }

// Validate wants one source and at least one expectation.
func (c *LogCheck) Validate() error {
	all := []error{expression("contains", c.Contains), expression("absent", c.Absent)}
	switch {
	case (c.Path == "") == (c.Command == ""):
		all = append(all, Field("path", "say either a path or a `command`"))
	case c.Path != "":
		all = append(all, absolute("path", c.Path))
	}
	if c.Contains == "" && c.Absent == "" {
		all = append(all, Field("contains", "say what a line must match, here or under `absent`"))
	}
	if c.Tail < 0 || c.Tail > 1e6 {
		all = append(all, Field("tail", "%d is not a number of lines up to 1000000", c.Tail))
	}
	return errors.Join(all...)
}

const maxLog = 4 << 20

// logScript prints the last $1 lines, at most $2 bytes, of the file $3 or of
// what the command $4 prints. It fails when any part does: an empty end of a
// log that was not read must not look like one without bad lines.
const logScript = `LC_ALL=C; export LC_ALL
if [ -n "$3" ]; then
	[ -f "$3" ] || { echo "$3 is not a file" >&2; exit 1; }
	[ -r "$3" ] || { echo "$3 may not be read" >&2; exit 1; }
fi
exec 4>&1
r=$({
	{
		if [ -n "$3" ]; then tail -n "$1" "$3"; else sh -c "$4" 3>&- 4>&-; fi
		echo $? >&3
	} | tail -n "$1" | {
		tail -c "$2" >&4
		echo $? >&3
	}
} 3>&1)
set -- $r
[ $# -eq 2 ] || exit 1
[ "$1" -eq 0 ] || exit "$1"
exit "$2"`

// Assess gives one finding a host.
func (c *LogCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	contains, err1 := regexp.Compile(c.Contains)
	absent, err2 := regexp.Compile(c.Absent)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	limit := within(c.Timeout, 10*time.Second)
	n := c.Tail
	if n == 0 {
		n = 1000
	}
	key := c.Path + c.Command + " " + c.Contains
	if c.Absent != "" {
		key += " not " + c.Absent
	}
	return onHosts(ctx, c, w, c.On, key, func(ctx context.Context, h remote.Host) Finding {
		out, err := look(ctx, h, limit, logScript, strconv.Itoa(n), strconv.Itoa(maxLog), c.Path, c.Command)
		if err != nil {
			return couldNotLook(err)
		}
		return c.judge(out, contains, absent)
	})
}

func (c *LogCheck) judge(text []byte, contains, absent *regexp.Regexp) Finding {
	n, seen, bad, badCount := 0, "", "", 0
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		n++
		if c.Contains != "" && contains.Match(line) {
			seen = OneLine(string(line), 200) + " "
		}
		if c.Absent != "" && absent.Match(line) {
			bad = OneLine(string(line), 200)
			badCount++
		}
	}
	in := fmt.Sprintf("the last %d lines", n)
	switch {
	case badCount > 0:
		return block("read the log and mend what it tells of", "%d of %s match %s; the last: %s", badCount, in, c.Absent, bad)
	case c.Contains != "" && seen == "":
		f := block("read the log; what is awaited has not come", "none of %s matches %s", in, c.Contains)
		f.Detail = tailOf(string(text), 2000)
		return f
	case c.Contains != "":
		return pass("the log says: %s", seen)
	}
	return pass("none of %s matches %s", in, c.Absent)
}
