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
		Name: "file", Summary: "a file or directory is there as it should be, or is not",
		Example: `- file: {on: chat, path: /etc/nginx/nginx.conf, owner: root, mode: "0644", contains: proxy_pass}`,
		New:     func() Check { return new(FileCheck) },
	})
}

// FileCheck judges a file, a link's target or a directory.
type FileCheck struct {
	On       []string    `yaml:"on" doc:"hosts; all of the plan when left out"`
	Path     string      `yaml:"path" scalar:"" required:"" doc:"absolute path; links are followed"`
	Exists   *bool       `yaml:"exists" doc:"false: it must not be there; true when left out"`
	Type     string      `yaml:"type" enum:"file|directory" doc:"what it must be"`
	Mode     string      `yaml:"mode" doc:"its permissions, such as 0644"`
	Owner    string      `yaml:"owner" doc:"name of its owner, or owner:group"`
	Size     remote.Size `yaml:"size" doc:"least size, such as 1MiB"`
	Contains string      `yaml:"contains" doc:"regular expression that a line must match (of the first 16 MiB)"`
}

func (c *FileCheck) HostNames() []string { return c.On }

func (c *FileCheck) absent() bool { return c.Exists != nil && !*c.Exists }

// Validate refuses what cannot be asked of a file that must not exist.
func (c *FileCheck) Validate() error {
	all := []error{absolute("path", c.Path), expression("contains", c.Contains)}
	if _, err := strconv.ParseUint(c.Mode, 8, 12); c.Mode != "" && err != nil {
		all = append(all, Field("mode", "%q is not an octal mode such as 0644", c.Mode))
	}
	if c.absent() && (c.Mode != "" || c.Owner != "" || c.Size > 0 || c.Contains != "" || c.Type != "") {
		all = append(all, Field("exists", "a file that must not be there has no type, mode, owner, size or content"))
	}
	return errors.Join(all...)
}

// fileScript prints "kind mode owner group size", or "absent"; then, if asked
// to, the content of a regular file. It fails where a directory on the way may
// not be searched, because then absence is not proved.
const fileScript = `LC_ALL=C; export LC_ALL
p=$1
if [ ! -e "$p" ]; then
	if [ -L "$p" ]; then echo dangling; exit 0; fi
	while [ ! -e "$p" ] && [ ! -L "$p" ]; do
		case $p in /*/*) p=${p%/*} ;; *) p=/ ;; esac
	done
	if [ -d "$p" ] && [ ! -x "$p" ]; then echo "$p may not be searched" >&2; exit 1; fi
	echo absent
	exit 0
fi
k=other
[ -f "$p" ] && k=file
[ -d "$p" ] && k=directory
s=$(stat -L -c '%a %U %G %s' "$p") || exit 1
printf '%s %s\n' $k "$s"
[ "$2" = yes ] && [ $k = file ] || exit 0
head -c 16000000 "$p"`

// Assess gives one finding a host.
func (c *FileCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	contains, err := regexp.Compile(c.Contains)
	if err != nil {
		return nil, err
	}
	content := "no"
	if c.Contains != "" {
		content = "yes"
	}
	return onHosts(ctx, c, w, c.On, c.Path, func(ctx context.Context, h remote.Host) Finding {
		out, err := look(ctx, h, 15*time.Second, fileScript, c.Path, content)
		if err != nil {
			return couldNotLook(err)
		}
		head, body, whole := bytes.Cut(out, []byte("\n"))
		if !whole {
			return unknown("re-check", "the shell answered something else: %s", OneLine(string(out), 60))
		}
		return c.judge(strings.Fields(string(head)), body, contains)
	})
}

func (c *FileCheck) judge(stat []string, body []byte, contains *regexp.Regexp) Finding {
	switch {
	case len(stat) == 1 && stat[0] == "absent":
		if !c.absent() {
			return block("create it, or correct the path", "%s is not there", c.Path)
		}
		return pass("%s is not there", c.Path)
	case len(stat) == 1 && stat[0] == "dangling":
		return block("mend or remove the link", "%s is a link that leads nowhere", c.Path)
	case len(stat) != 5:
		return unknown("look yourself: stat "+c.Path, "the shell answered something else: %s", strings.Join(stat, " "))
	case c.absent():
		return block("move it away first", "%s is there (%s)", c.Path, stat[0])
	}
	kind, owner, group := stat[0], stat[2], stat[3]
	mode, err1 := strconv.ParseUint(stat[1], 8, 16)
	size, err2 := strconv.ParseInt(stat[4], 10, 64)
	if err1 != nil || err2 != nil {
		return unknown("look yourself: stat "+c.Path, "the shell answered something else: %s", strings.Join(stat, " "))
	}
	want, _ := strconv.ParseUint(c.Mode, 8, 16)
	var wrong []string
	no := func(format string, a ...any) { wrong = append(wrong, fmt.Sprintf(format, a...)) }
	if c.Type != "" && c.Type != kind {
		no("is a %s, not a %s", kind, c.Type)
	}
	if c.Mode != "" && want != mode {
		no("has mode %04o, not %04o", mode, want)
	}
	if c.Owner != "" && c.Owner != owner && c.Owner != owner+":"+group {
		no("belongs to %s:%s, not to %s", owner, group, c.Owner)
	}
	if size < int64(c.Size) {
		no("has %s, %s needed", remote.FormatBytes(size), c.Size)
	}
	if c.Contains != "" && kind != "file" {
		no("is a %s, so it has no lines", kind)
	} else if c.Contains != "" && !matchesLine(contains, body) {
		no("has no line that matches %s", c.Contains)
	}
	if len(wrong) > 0 {
		return block("correct the file, or what the plan expects of it", "%s %s", c.Path, strings.Join(wrong, ", "))
	}
	return pass("%s is there (%s, mode %04o, %s:%s, %s)", c.Path, kind, mode, owner, group, remote.FormatBytes(size))
}

func matchesLine(re *regexp.Regexp, text []byte) bool {
	for line := range bytes.Lines(text) {
		if re.Match(bytes.TrimRight(line, "\r\n")) {
			return true
		}
	}
	return false
}
