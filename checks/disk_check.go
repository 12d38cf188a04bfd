package checks

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"belay/remote"
)

func init() {
	register(Kind{
		Name: "disk", Summary: "a directory's file system has enough room",
		Example: "- disk: {on: chat, path: /var/lib/docker, free: 5GiB}",
		New:     func() Check { return new(DiskCheck) },
	})
}

// DiskCheck judges the free space where Path is, or will be. It looks by
// itself, because only the host can follow symbolic links.
type DiskCheck struct {
	On   []string    `yaml:"on" doc:"hosts; all of the plan when left out"`
	Path string      `yaml:"path" scalar:"" default:"/" doc:"absolute directory; it need not be there yet"`
	Free remote.Size `yaml:"free" required:"" doc:"space that must be free, such as 5GiB"`
}

func (c *DiskCheck) HostNames() []string { return c.On }

// Validate refuses a path that is not absolute and a Free that asks nothing.
func (c *DiskCheck) Validate() error {
	var err error
	if c.Free <= 0 {
		err = Field("free", "must be more than nothing")
	}
	return errors.Join(absolute("path", c.path()), err)
}

func (c *DiskCheck) path() string {
	if c.Path == "" {
		return "/"
	}
	return c.Path
}

func absolute(field, path string) error {
	if !strings.HasPrefix(path, "/") {
		return Field(field, "%q is not an absolute path", path)
	}
	return nil
}

// diskScript prints the free KiB and the directory that was asked: the nearest
// one that is there. df -P is POSIX and follows links.
const diskScript = `LC_ALL=C; export LC_ALL
p=$1
while [ ! -e "$p" ]; do
	if [ -L "$p" ]; then echo "$p is a link that leads nowhere" >&2; exit 1; fi
	case $p in /*/*) p=${p%/*} ;; *) p=/ ;; esac
done
df -kP "$p" | { read -r head; read -r dev total used free rest; printf '%s %s\n' "$free" "$p"; }`

// Assess gives one finding a host.
func (c *DiskCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	return onHosts(ctx, c, w, c.On, c.path(), func(ctx context.Context, h remote.Host) Finding {
		out, err := look(ctx, h, 15*time.Second, diskScript, c.path())
		if err != nil {
			return couldNotLook(err)
		}
		free, at, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		kib, err := strconv.ParseInt(free, 10, 64)
		if err != nil || kib < 0 || kib > 1<<52 {
			return unknown("look at `df` there", "df printed something else than a number: %s", OneLine(string(out), 60))
		}
		where := c.path()
		if at != where {
			where += " (not there yet; it will be on " + at + ")"
		}
		if have := remote.Size(kib << 10); have < c.Free {
			return block("free some room there, or use another place", "%s free for %s, %s needed", have, where, c.Free)
		} else {
			return pass("%s free for %s, %s needed", have, where, c.Free)
		}
	})
}

// look runs a script that changes nothing, for at most limit.
func look(ctx context.Context, h remote.Host, limit time.Duration, script string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, slow(limit))
	defer cancel()
	cmd := remote.Sh(script, args...)
	cmd.Pure = true
	return remote.Output(ctx, h, cmd)
}

// slow is the cause of a look that took too long.
type slow time.Duration

func (s slow) Error() string { return "no answer within " + time.Duration(s).String() }
