package checks

import (
	"context"
	"errors"
	"strings"
)

func init() {
	register(Kind{
		Name: "identity", Summary: "a host is the machine that the plan means",
		Example: "- identity: {on: chat, hostname: chat-1, os: debian 12}",
		New:     func() Check { return new(IdentityCheck) },
	})
}

// IdentityCheck judges what a host says of itself.
type IdentityCheck struct {
	On        []string `yaml:"on" doc:"hosts; all of the plan when left out"`
	Hostname  string   `yaml:"hostname" scalar:"" doc:"its host name; the short one matches a full one"`
	MachineID string   `yaml:"machine_id" doc:"content of its /etc/machine-id"`
	OS        string   `yaml:"os" doc:"its system as /etc/os-release says it: debian, or debian 12"`
	User      string   `yaml:"user" doc:"who we are there"`
}

func (c *IdentityCheck) HostNames() []string { return c.On }
func (c *IdentityCheck) NeedsFacts() bool    { return true }

// Validate refuses a check that asks nothing.
func (c *IdentityCheck) Validate() error {
	if c.Hostname == "" && c.MachineID == "" && c.OS == "" && c.User == "" {
		return errors.New("say at least one of hostname, machine_id, os and user")
	}
	return nil
}

// Assess gives one finding a host.
func (c *IdentityCheck) Assess(_ context.Context, w World) ([]Finding, error) {
	return onFacts(c, w, c.On, "", c.judge)
}

func (c *IdentityCheck) judge(f *Facts) Finding {
	var good, bad, dark []string
	compare := func(what, want, have string, same bool) {
		switch {
		case want == "":
		case have == "":
			dark = append(dark, what)
		case same:
			good = append(good, what+" "+have)
		default:
			bad = append(bad, what+" is "+have+", not "+want)
		}
	}
	short, _, _ := strings.Cut(f.Hostname, ".")
	compare("host name", c.Hostname, f.Hostname, c.Hostname == f.Hostname || c.Hostname == short)
	compare("machine id", c.MachineID, f.MachineID, strings.EqualFold(c.MachineID, f.MachineID))
	id, version, _ := strings.Cut(strings.ToLower(c.OS), " ")
	compare("system", c.OS, strings.TrimSpace(f.OS.ID+" "+f.OS.Version),
		id == strings.ToLower(f.OS.ID) && (version == "" || version == f.OS.Version || strings.HasPrefix(f.OS.Version, version+".")))
	compare("user", c.User, f.User, c.User == f.User)
	switch {
	case len(bad) > 0:
		return block("make sure that the address leads to the right machine before anything else", "%s", strings.Join(bad, "; "))
	case len(dark) > 0 || len(good) == 0:
		return unknown("look yourself", "not known there: %s", strings.Join(dark, ", "))
	}
	return pass("%s", strings.Join(good, ", "))
}
