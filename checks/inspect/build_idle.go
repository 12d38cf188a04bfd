package inspect

import (
	"path"
	"slices"
	"strings"
)

// asleep tells a unit that neither runs nor starts with the host.
func (u *rawUnit) asleep() bool {
	return (u.active == "inactive" || u.active == "failed") && u.enabled != "enabled" && u.enabled != "enabled-runtime"
}

// ownUnit tells a file that somebody wrote for this host.
func ownUnit(file string) bool { return strings.HasPrefix(file, "/etc/systemd/system/") }

// startersOf are the host's own sockets and paths that start a unit.
func (b *builder) startersOf(u *rawUnit) (all []Starter) {
	for _, s := range b.r.units {
		if ext := path.Ext(s.id); (ext == ".socket" || ext == ".path") && slices.Contains(u.triggeredBy, s.id) && ownUnit(s.fragment) && !s.asleep() {
			files := []string{tidy(s.fragment, 300)}
			for _, f := range s.dropIns {
				files = append(files, tidy(f, 300))
			}
			all = append(all, Starter{Name: tidy(s.id, 200), Enabled: tidy(s.enabled, 40), Files: files})
		}
	}
	return all
}

// addIdle lists the host's own units that are neither a program nor start one,
// nor a timer or what it starts; and those of logins, which systemd --user has.
func (b *builder) addIdle() {
	known := map[string]bool{}
	for _, p := range b.h.Programs {
		known[p.Unit] = true
		for _, s := range p.Starters {
			known[s.Files[0]] = true
		}
	}
	for _, j := range b.h.Jobs {
		for _, f := range j.Units {
			known[f] = true
		}
	}
	started := map[string]bool{} // by another one that is listed
	for _, u := range b.r.units {
		for _, by := range u.triggeredBy {
			started[u.id] = started[u.id] || slices.ContainsFunc(b.r.units, func(o *rawUnit) bool { return o.id == by && ownUnit(o.fragment) })
		}
	}
	for _, u := range b.r.units {
		if ownUnit(u.fragment) && u.load == "loaded" && !known[tidy(u.fragment, 300)] && !started[u.id] {
			b.h.Idle = append(b.h.Idle, Idle{Name: tidy(u.id, 200), File: tidy(u.fragment, 300)})
		}
	}
	for _, f := range b.r.userUnits {
		i := Idle{Name: tidy(path.Base(f), 200), File: tidy(f, 300), User: "root"}
		if rest, ok := strings.CutPrefix(f, "/home/"); ok {
			i.User, _, _ = strings.Cut(tidy(rest, 300), "/")
		} else if strings.HasPrefix(f, "/etc/") {
			i.User = "any login"
		}
		b.h.Idle = append(b.h.Idle, i)
	}
}
