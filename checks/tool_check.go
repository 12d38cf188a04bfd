package checks

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"belay/remote"
)

func init() {
	register(Kind{
		Name: "tool", Summary: "a program is installed, in a version that will do",
		Example: `- tool: {on: chat, name: git, version: ">= 2.20"}`,
		New:     func() Check { return new(ToolCheck) },
	})
}

// ToolCheck judges whether a program is installed. It looks at the facts for
// the tools that every assessment asks for, and else at the host.
type ToolCheck struct {
	On      []string `yaml:"on" doc:"hosts; all of the plan when left out"`
	Name    string   `yaml:"name" scalar:"" doc:"program, such as git or \"docker compose\""`
	Any     []string `yaml:"any" doc:"programs of which one is enough"`
	Version string   `yaml:"version" doc:"requirement such as \">= 2.20\", \">= 2.20, < 3\" or \"15\" (any 15.x)"`
}

func (c *ToolCheck) HostNames() []string { return c.On }

// NeedsFacts is true if any of the programs is one that the facts tell of.
func (c *ToolCheck) NeedsFacts() bool {
	for _, n := range c.tools() {
		if hasTool(n) {
			return true
		}
	}
	return false
}

func (c *ToolCheck) tools() []string {
	if c.Name == "" {
		return c.Any
	}
	return append([]string{c.Name}, c.Any...)
}

var toolName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`)

// Validate refuses a check without a program, names that are no program's, and
// a version requirement that cannot be read.
func (c *ToolCheck) Validate() error {
	var all []error
	if len(c.tools()) == 0 {
		all = append(all, Field("name", "say which program, here or under `any`"))
	}
	for _, n := range c.tools() {
		if !hasTool(n) && !toolName.MatchString(n) {
			field := "name"
			if n != c.Name {
				field = "any"
			}
			all = append(all, Field(field, "%q is not the name of a program", n))
		}
	}
	if c.Version != "" {
		if _, err := parseConstraint(c.Version); err != nil {
			all = append(all, Field("version", "%v", err))
		}
	}
	return errors.Join(all...)
}

// Assess gives one finding a host.
func (c *ToolCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	var want constraint
	if c.Version != "" {
		var err error
		if want, err = parseConstraint(c.Version); err != nil {
			return nil, err
		}
	}
	return onHosts(ctx, c, w, c.On, strings.Join(c.tools(), "|"), func(ctx context.Context, h remote.Host) Finding {
		return c.judge(ctx, h, w.Facts[h.Name], want)
	})
}

func (c *ToolCheck) judge(ctx context.Context, h remote.Host, f *Facts, want constraint) Finding {
	var seen []string
	for _, name := range c.tools() {
		line, installed, err := toolOn(ctx, h, f, name)
		switch {
		case err != nil:
			return couldNotLook(err)
		case !installed:
			seen = append(seen, name+" is not installed")
			continue
		case len(want) == 0:
			return pass("%s is installed: %s", name, line)
		}
		version := versionIn(line)
		if version == "" {
			return unknown("ask it yourself: "+name+" --version", "%s is installed, but its version is not known: %s", name, line)
		}
		if want.ok(version) {
			return pass("%s %s is installed, %s needed", name, version, c.Version)
		}
		seen = append(seen, name+" is "+version+", "+c.Version+" needed")
	}
	return block("install it there first", "%s", strings.Join(seen, "; "))
}

const toolScript = `PATH=$PATH:` + systemPath + `; export PATH
LC_ALL=C; export LC_ALL
command -v "$1" >/dev/null 2>&1 || { echo absent; exit 0; }
echo installed
"$1" --version </dev/null 2>&1 | head -c 1000
exit 0`

// toolOn finds a program's version line.
func toolOn(ctx context.Context, h remote.Host, f *Facts, name string) (line string, installed bool, err error) {
	if hasTool(name) {
		if f == nil {
			return "", false, errors.New("there are no facts of this host")
		}
		if line, installed = f.Tools[name]; installed {
			return line, true, nil
		}
		if why, lacks := f.Lacks("tools"); lacks {
			return "", false, errors.New("tools could not be read: " + why)
		}
		return "", false, nil
	}
	out, err := look(ctx, h, 10*time.Second, toolScript, name)
	if err != nil {
		return "", false, err
	}
	first, rest, _ := strings.Cut(string(out), "\n")
	switch first {
	case "absent":
		return "", false, nil
	case "installed":
		return versionLine(strings.Split(rest, "\n")), true, nil
	}
	return "", false, errors.New("the shell answered something else: " + OneLine(first, 60))
}
