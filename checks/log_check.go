package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
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

// LogCheck looks at the last lines of a file, of a systemd unit's journal, of a
// container's log, or of what a command prints; in a soak also at all lines since
// the cutover.
type LogCheck struct {
	On        []string        `yaml:"on" doc:"hosts; all of the plan when left out"`
	Path      string          `yaml:"path" scalar:"" doc:"absolute path of the log file"`
	Unit      string          `yaml:"unit" doc:"systemd unit whose journal is read instead"`
	Container string          `yaml:"container" doc:"container whose log is read instead, by docker or podman"`
	Command   string          `yaml:"command" doc:"shell command that prints the log instead, such as journalctl -u nginx -n 200; it must change nothing"`
	Contains  string          `yaml:"contains" doc:"regular expression that a line must match"`
	Absent    string          `yaml:"absent" doc:"regular expression that no line may match"`
	AtMost    int             `yaml:"at_most" default:"0" doc:"so many lines may match absent all the same"`
	Since     string          `yaml:"since" enum:"cutover" doc:"cutover: of a soak, all lines that were written since the cutover began, instead of the last ones; 4 MiB at most"`
	Tail      int             `yaml:"tail" default:"1000" doc:"how many lines from the end are looked at, 4 MiB at most"`
	Timeout   remote.Duration `yaml:"timeout" default:"10s" doc:"how long it may take"`
}

func (c *LogCheck) HostNames() []string { return c.On }
func (c *LogCheck) NeedsFacts() bool    { return false }

// Marks tells whether it counts from the cutover on.
func (c *LogCheck) Marks() bool { return c.Since == "cutover" }

// Validate wants one source and at least one expectation.
func (c *LogCheck) Validate() error {
	all := []error{expression("contains", c.Contains), expression("absent", c.Absent)}
	sources := 0
	for _, s := range []string{c.Path, c.Unit, c.Container, c.Command} {
		if s != "" {
			sources++
		}
	}
	switch {
	case sources != 1:
		all = append(all, Field("path", "say either a path, or a `unit`, a `container` or a `command`"))
	case c.Path != "":
		all = append(all, absolute("path", c.Path))
	case c.Command != "" && c.Marks():
		all = append(all, Field("since", "what a command prints has no beginning that belay knows; give a path, a `unit` or a `container`"))
	}
	for field, name := range map[string]string{"unit": c.Unit, "container": c.Container} {
		if strings.HasPrefix(name, "-") {
			all = append(all, Field(field, "%q is an option, not a name", name))
		}
	}
	if c.Contains == "" && c.Absent == "" {
		all = append(all, Field("contains", "say what a line must match, here or under `absent`"))
	}
	if c.AtMost < 0 || c.AtMost > 0 && c.Absent == "" {
		all = append(all, Field("at_most", "is a number of lines that match `absent`"))
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

// readable ends with an error where the login sees nothing of the system's
// journal: journalctl itself shows such a login its own messages only, which may
// be none, and succeeds.
const readable = `[ -n "$(journalctl --system -q --no-pager -n 1 -o short)" ] || { echo "this login sees nothing of the system's journal" >&2; exit 1; }
`

// command prints the log of a unit or a container; since is seconds of the
// host's clock, or empty.
func (c *LogCheck) command(since string) string {
	n := strconv.Itoa(c.lines())
	switch {
	case c.Unit != "" && since != "":
		return readable + "journalctl -q --no-pager -o cat --since " + remote.Quote("@"+since) + " -u " + remote.Quote(c.Unit)
	case c.Unit != "":
		return readable + "journalctl -q --no-pager -o cat -n " + n + " -u " + remote.Quote(c.Unit)
	case c.Container != "":
		arg := "--tail " + n
		if since != "" {
			arg = "--since " + remote.Quote(since)
		}
		return "e=docker; command -v docker >/dev/null 2>&1 || e=podman; $e logs " + arg + " " + remote.Quote(c.Container) + " 2>&1"
	}
	return c.Command
}

func (c *LogCheck) lines() int {
	if c.Tail == 0 {
		return 1000
	}
	return c.Tail
}

// Assess gives one finding a host.
func (c *LogCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	contains, err1 := regexp.Compile(c.Contains)
	absent, err2 := regexp.Compile(c.Absent)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	limit := within(c.Timeout, 10*time.Second)
	key := c.Path + c.Unit + c.Container + c.Command + " " + c.Contains
	if c.Absent != "" {
		key += " not " + c.Absent
	}
	return onHosts(ctx, c, w, c.On, key, func(ctx context.Context, h remote.Host) Finding {
		if c.Marks() {
			return c.sinceMark(ctx, h, w.Memory[h.Name], limit, contains, absent)
		}
		out, err := look(ctx, h, limit, logScript, strconv.Itoa(c.lines()), strconv.Itoa(maxLog), c.Path, c.command(""))
		if err != nil {
			return couldNotLook(err)
		}
		return c.judge(out, "the last %d lines", contains, absent)
	})
}

func (c *LogCheck) judge(text []byte, where string, contains, absent *regexp.Regexp) Finding {
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
	in := fmt.Sprintf(where, n)
	switch {
	case badCount > c.AtMost:
		return block("read the log and mend what it tells of", "%d of %s match %s; the last: %s", badCount, in, c.Absent, bad)
	case c.Contains != "" && seen == "":
		f := block("read the log; what is awaited has not come", "none of %s matches %s", in, c.Contains)
		f.Detail = tailOf(string(text), 2000)
		return f
	case c.Contains != "":
		return pass("the log says: %s", seen)
	}
	if badCount > 0 {
		return pass("%d of %s match %s, %d may", badCount, in, c.Absent, c.AtMost)
	}
	return pass("none of %s matches %s", in, c.Absent)
}
