package checks

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

func init() {
	register(Kind{
		Name: "port", Summary: "a port is free, or is held by the process it should be",
		Example: "- port: {on: chat, port: 8088, owner: stoatchat}",
		New:     func() Check { return new(PortCheck) },
	})
}

// PortCheck judges who listens on a port; with no Owner, nobody may.
type PortCheck struct {
	On    []string `yaml:"on" doc:"hosts; all of the plan when left out"`
	Port  int      `yaml:"port" scalar:"" required:"" doc:"number of the port"`
	Proto string   `yaml:"proto" enum:"tcp|udp" default:"tcp" doc:"protocol"`
	Owner string   `yaml:"owner" doc:"regular expression of the name or command line of the process (or name of the container) that must hold it; when left out the port must be free"`
	Free  bool     `yaml:"free" doc:"says openly that the port must be free"`
}

func (c *PortCheck) HostNames() []string { return c.On }
func (c *PortCheck) NeedsFacts() bool    { return true }

// Validate refuses a number that is no port and a free port with an owner.
func (c *PortCheck) Validate() error {
	var both error
	if c.Free && c.Owner != "" {
		both = Field("free", "a port that must be free has no owner; leave one of the two out")
	}
	return errors.Join(portNumber("port", c.Port), expression("owner", c.Owner), both)
}

// Assess gives one finding a host.
func (c *PortCheck) Assess(_ context.Context, w World) ([]Finding, error) {
	owner, err := regexp.Compile(c.Owner)
	if err != nil {
		return nil, err
	}
	key := c.proto() + " " + strconv.Itoa(c.Port)
	if c.Owner != "" {
		key += " " + c.Owner
	}
	return onFacts(c, w, c.On, key, func(f *Facts) Finding {
		if c.Owner == "" {
			return c.free(f)
		}
		return c.held(f, owner)
	})
}

func (c *PortCheck) proto() string {
	if c.Proto == "udp" {
		return "udp"
	}
	return "tcp"
}

func (c *PortCheck) listeners(f *Facts) []Port {
	var all []Port
	for _, p := range f.Ports {
		if p.Number == c.Port && strings.TrimSuffix(p.Proto, "6") == c.proto() {
			all = append(all, p)
		}
	}
	return all
}

func (c *PortCheck) free(f *Facts) Finding {
	if all := c.listeners(f); len(all) > 0 {
		return block("stop that process, or choose another port", "port %d is held by %s", c.Port, f.holder(all[0]))
	}
	if why, lacks := f.Lacks("ports"); lacks {
		return notRead("ports", why)
	}
	if box := f.publisher(c.Port); box != nil && c.proto() == "tcp" {
		return block("stop that container, or choose another port", "port %d is published by container %s", c.Port, box.Name)
	}
	return pass("port %d is free", c.Port)
}

func (c *PortCheck) held(f *Facts, owner *regexp.Regexp) Finding {
	all := c.listeners(f)
	if len(all) == 0 {
		// Docker without its userland proxy: the kernel passes the port on.
		if box := f.publisher(c.Port); box != nil && c.proto() == "tcp" && owner.MatchString(box.Name) {
			return pass("port %d is published by container %s", c.Port, box.Name)
		}
		if why, lacks := f.Lacks("ports"); lacks {
			return notRead("ports", why)
		}
		return block(fmt.Sprintf("start what should listen there (%s)", c.Owner), "nobody listens on port %d", c.Port)
	}
	hidden := false
	for _, p := range all {
		if slicesMatch(owner, f.holderNames(p)) {
			return pass("port %d is held by %s", c.Port, f.holder(p))
		}
		hidden = hidden || p.PID == 0 && p.Process == ""
	}
	if hidden {
		return unknown("log in as root, or set sudo for this host, so that owners can be seen", "port %d is held, but by whom is hidden from user %s", c.Port, f.User)
	}
	return block("look at that process: it is not the one that the plan expects", "port %d is held by %s, not by %s", c.Port, f.holder(all[0]), c.Owner)
}

// holderNames are all the names that an owner may be known by.
func (f *Facts) holderNames(p Port) []string {
	names := []string{p.Process}
	if p.Process == "" {
		names = nil
	}
	for _, q := range f.Processes {
		if q.PID == p.PID && p.PID != 0 {
			names = append(names, q.Args)
		}
	}
	if c := f.publisher(p.Number); c != nil && (p.Process == "docker-proxy" || p.PID == 0) {
		names = append(names, c.Name)
	}
	return names
}

func (f *Facts) holder(p Port) string {
	if c := f.publisher(p.Number); c != nil && (p.Process == "docker-proxy" || p.PID == 0) {
		return "container " + c.Name
	}
	if p.PID == 0 && p.Process == "" {
		return "a process that user " + f.User + " may not see"
	}
	return fmt.Sprintf("%s (pid %d)", p.Process, p.PID)
}

func slicesMatch(re *regexp.Regexp, all []string) bool {
	for _, s := range all {
		if re.MatchString(s) {
			return true
		}
	}
	return false
}
