package draft

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// End is how the plan reaches a host.
type End struct {
	Name    string // in the plan
	Address string // where it differs from Name
	User    string
	Sudo    bool
}

// at is where others reach it, as far as its name tells.
func (e End) at() string { return cmp.Or(e.Address, e.Name) }

// Wish is what people want.
type Wish struct {
	Name    string // of the plan; "": see Called
	Old     End
	New     *End     // nil: everything stays on Old, and is upgraded there
	Move    []string // keys of items; nil: the advised ones
	Freeze  time.Duration
	Clients string // how clients find the new host: "dns", "proxy", or "none" where that is not of this plan

	Opens     time.Time     // of the maintenance window; zero: none yet
	Length    time.Duration // of the window
	Approvers int           // how many people must sign; 0: one, or one for each role
	Roles     []Role        // what some of them speak for
	Second    bool          // who cuts over must be another than who began or signed
	Soak      time.Duration // how long the new side is watched; 0: 15 minutes
	Errors    string        // what of them is too much, such as "5%"; "": that
	BadFor    time.Duration // and for how long; 0: 2 minutes
}

// Role is what one of those who sign speaks for, and who may: logins; anybody
// when there are none.
type Role struct {
	Name string
	Who  []string
}

// EndOf is how a plan names and reaches a host that was typed as USER@HOST or
// as a name that ~/.ssh/config knows.
func EndOf(typed string, sudo bool) End {
	user, host, ok := strings.Cut(typed, "@")
	if !ok {
		user, host = "", typed
	}
	name := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, host)
	e := End{Name: name, User: user, Sudo: sudo}
	if name != host {
		e.Address = host
	}
	return e
}

// Called is the name of the plan: what was wished, else where it leads.
func (w Wish) Called() string {
	switch {
	case w.Name != "":
		return w.Name
	case w.New == nil:
		return "upgrade-" + w.Old.Name
	}
	return w.Old.Name + "-to-" + w.New.Name
}

func (e End) yaml(says string) string {
	var in []string
	if e.Address != "" && e.Address != e.Name {
		in = append(in, "address: "+quote(e.Address))
	}
	if e.User != "" {
		in = append(in, "user: "+quote(e.User))
	}
	if e.Sudo {
		in = append(in, "sudo: true")
	}
	return fmt.Sprintf("  %s: {%s}   # %s\n", quote(e.Name), strings.Join(in, ", "), says)
}
