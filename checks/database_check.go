package checks

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

func init() {
	register(Kind{
		Name: "database", Summary: "a database listens, in a version that will do",
		Example: `- database: {on: chat, kind: postgresql, port: 5432, version: ">= 14"}`,
		New:     func() Check { return new(DatabaseCheck) },
	})
}

// DatabaseCheck judges the databases that listen on TCP ports, by their
// processes; nobody logs in.
type DatabaseCheck struct {
	On      []string `yaml:"on" doc:"hosts; all of the plan when left out"`
	Kind    string   `yaml:"kind" scalar:"" required:"" enum:"postgresql|mysql|mariadb|redis|valkey|mongodb|cassandra" doc:"kind of database"`
	Port    int      `yaml:"port" doc:"its port; any when left out"`
	Version string   `yaml:"version" doc:"requirement such as \">= 14\" or \"15\" (any 15.x)"`
}

func (c *DatabaseCheck) HostNames() []string { return c.On }
func (c *DatabaseCheck) NeedsFacts() bool    { return true }

// Validate refuses a bad port and a version requirement that cannot be read.
func (c *DatabaseCheck) Validate() error {
	var all []error
	if c.Port != 0 {
		all = append(all, portNumber("port", c.Port))
	}
	if c.Version != "" {
		if _, err := parseConstraint(c.Version); err != nil {
			all = append(all, Field("version", "%v", err))
		}
	}
	return errors.Join(all...)
}

// Assess gives one finding a host.
func (c *DatabaseCheck) Assess(_ context.Context, w World) ([]Finding, error) {
	var want constraint
	if c.Version != "" {
		var err error
		if want, err = parseConstraint(c.Version); err != nil {
			return nil, err
		}
	}
	key := c.Kind
	if c.Port > 0 {
		key += fmt.Sprintf(" %d", c.Port)
	}
	return onFacts(c, w, c.On, key, func(f *Facts) Finding { return c.judge(f, want) })
}

func (c *DatabaseCheck) judge(f *Facts, want constraint) Finding {
	var all []string
	for _, d := range f.Databases {
		all = append(all, fmt.Sprintf("%s on port %d", d.Kind, d.Port))
		if d.Kind != c.Kind || c.Port != 0 && d.Port != c.Port {
			continue
		}
		return c.judgeOne(f, d, want)
	}
	for _, fact := range []string{"ports", "processes"} {
		if why, lacks := f.Lacks(fact); lacks {
			return notRead(fact, why)
		}
	}
	for _, p := range f.Ports {
		// Who listens there may well be the database, and is hidden.
		if p.PID == 0 && p.Process == "" && (c.Port == p.Number || c.Port == 0 && !f.Root) {
			return unknown("log in as root, or set sudo for this host", "no %s was seen, but who listens on port %d is hidden from user %s", c.Kind, p.Number, f.User)
		}
	}
	where := ""
	if c.Port != 0 {
		where = fmt.Sprintf(" on port %d", c.Port)
	}
	return block("start it, or correct kind and port; those that listen: "+strings.Join(all, ", "), "no %s listens%s", c.Kind, where)
}

func (c *DatabaseCheck) judgeOne(f *Facts, d Database, want constraint) Finding {
	if d.Process == "" {
		return unknown("log in as root, or set sudo for this host", "something listens on port %d, which is %s's, but the process is hidden from user %s", d.Port, d.Kind, f.User)
	}
	saw := fmt.Sprintf("%s listens on port %d (%s)", d.Kind, d.Port, d.Process)
	if d.Version != "" {
		saw += ", " + d.Version
	}
	if len(want) == 0 {
		return pass("%s", saw)
	}
	version := versionIn(d.Version)
	switch {
	case version == "":
		return unknown("ask the database for its version", "%s; its version is not known", saw)
	case !want.ok(version):
		return block("bring it to a version that will do", "%s; %s needed", saw, c.Version)
	}
	return pass("%s", saw)
}
