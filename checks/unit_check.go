package checks

import (
	"context"
	"strings"
)

func init() {
	register(Kind{
		Name: "unit", Summary: "a systemd unit is active, or is not",
		Example: "- unit: {on: chat, name: nginx.service, active: true}",
		New:     func() Check { return new(UnitCheck) },
	})
}

// UnitCheck judges one systemd unit of type service or timer.
type UnitCheck struct {
	On      []string `yaml:"on" doc:"hosts; all of the plan when left out"`
	Name    string   `yaml:"name" scalar:"" required:"" doc:"name of the unit; .service may be left out"`
	Active  *bool    `yaml:"active" doc:"false: it must not be active; true when left out"`
	Enabled *bool    `yaml:"enabled" doc:"whether it must start at boot; not looked at when left out"`
}

func (c *UnitCheck) HostNames() []string { return c.On }
func (c *UnitCheck) NeedsFacts() bool    { return true }

// Validate refuses kinds of unit that the facts do not tell of.
func (c *UnitCheck) Validate() error {
	n := c.unit()
	if c.Name == "" || !strings.HasSuffix(n, ".service") && !strings.HasSuffix(n, ".timer") {
		return Field("name", "%q is not a service or a timer", c.Name)
	}
	return nil
}

func (c *UnitCheck) unit() string {
	for _, kind := range []string{".service", ".timer", ".socket", ".target", ".mount", ".path", ".slice", ".scope"} {
		if strings.HasSuffix(c.Name, kind) {
			return c.Name
		}
	}
	return c.Name + ".service"
}

// Assess gives one finding a host.
func (c *UnitCheck) Assess(_ context.Context, w World) ([]Finding, error) {
	return onFacts(c, w, c.On, c.unit(), c.judge)
}

func (c *UnitCheck) judge(f *Facts) Finding {
	wantActive := c.Active == nil || *c.Active
	var u *Unit
	for i := range f.Units {
		if f.Units[i].Name == c.unit() {
			u = &f.Units[i]
		}
	}
	why, lacks := f.Lacks("units")
	switch {
	case lacks:
		// Also when it is listed: one of the two lists may be missing.
		return notRead("the units", why)
	case u == nil && wantActive:
		return block("install it, or correct the name", "there is no unit %s", c.unit())
	case u == nil && c.Enabled != nil && *c.Enabled:
		return block("install it, or correct the name", "there is no unit %s to start at boot", c.unit())
	case u == nil:
		return pass("there is no unit %s", c.unit())
	}
	// A unit on its way, or failed, is neither.
	active := u.Active == "active" || u.Active == "reloading"
	saw := u.Name + " is " + u.Active + " (" + u.Sub + ")"
	if u.Enabled != "" {
		saw += ", " + u.Enabled
	}
	switch {
	case wantActive && !active:
		return block("see `systemctl status "+u.Name+"` there", "%s; it should be active", saw)
	case !wantActive && u.Active != "inactive" && u.Active != "failed":
		return block("stop it first", "%s; it should not be active", saw)
	case c.Enabled == nil:
		return pass("%s", saw)
	case u.Enabled == "":
		return unknown("see `systemctl is-enabled "+u.Name+"` there", "%s; whether it starts at boot is not known", saw)
	}
	enabled := strings.HasPrefix(u.Enabled, "enabled")
	if enabled != *c.Enabled {
		return block("enable or disable it, or correct the plan", "%s", saw)
	}
	return pass("%s", saw)
}
