package inspect

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The ways in which two hosts differ.
const (
	Gone    = "gone"    // the old one has it, the new one has not
	New     = "new"     // the other way round
	Changed = "changed" // both have it, not the same
	Unsure  = "unsure"  // as Gone, but the new one was not read wholly there (or as New, and the old one)
)

// Difference is one thing in which two hosts differ.
type Difference struct {
	Area string `json:"area"` // port, unit, job, user, mount, certificate, environment, package
	Kind string `json:"kind"` // gone, new, changed, unsure
	Key  string `json:"key"`  // what: "tcp 443", "nginx.service"
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// Areas are those of Diff, in its order: what hurts first when it is forgotten.
var Areas = []string{AreaPorts, AreaUnits, AreaCron, AreaEnvironment, AreaCertificates, AreaUsers, AreaMounts, AreaPackages}

// Diff compares two inspections: an old server with its successor, or one
// server before and after. Process ids, sizes, ages and device names are not
// compared. nil stands for a host that was not looked at; against it everything
// is Unsure.
func Diff(old, new *Host) []Difference {
	var all []Difference
	for _, area := range Areas {
		a, b := things(area, old), things(area, new)
		idle := idleLogins(area, new)
		for _, key := range slices.Sorted(maps.Keys(a)) {
			now, there := b[key]
			if !there {
				now, there = idle[key]
			}
			switch {
			case !there && whole(new, area):
				all = append(all, Difference{area, Gone, key, a[key].show, ""})
			case !there:
				all = append(all, Difference{area, Unsure, key, a[key].show, ""})
			case a[key].same != now.same:
				all = append(all, Difference{area, Changed, key, a[key].show, now.show})
			}
		}
		for _, key := range slices.Sorted(maps.Keys(b)) {
			if _, was := a[key]; was {
				continue
			}
			kind := New
			if !whole(old, area) {
				kind = Unsure
			}
			all = append(all, Difference{area, kind, key, "", b[key].show})
		}
	}
	return all
}

// idleLogins are those of a host who neither log in nor run anything just now:
// on an old one they are nothing to be missed, on a new one they are there.
func idleLogins(area string, h *Host) map[string]thing {
	all := map[string]thing{}
	if h != nil && area == AreaUsers {
		for _, u := range h.Accounts {
			all[u.Name] = u.thing()
		}
	}
	return all
}

func (u User) thing() thing {
	s := fmt.Sprintf("uid %d, %s, %s", u.UID, u.Home, u.Shell)
	return thing{s, s}
}

func whole(h *Host, area string) bool {
	return h != nil && h.Unreached == "" && !slices.Contains(h.NotWhole, area)
}

// thing is what is compared under a key, and how it is shown.
type thing struct{ same, show string }

func things(area string, h *Host) map[string]thing {
	all := map[string]thing{}
	if h == nil {
		return all
	}
	switch area {
	case AreaPorts:
		portThings(h, all)
	case AreaUnits:
		for _, u := range h.Units {
			// A unit that only ran once, or is about to, is the same.
			same := u.Enabled
			if strings.HasPrefix(u.State, "failed") {
				same += " failed"
			}
			all[u.Name] = thing{same, strings.TrimPrefix(u.Enabled+", "+u.State, ", ")}
		}
	case AreaCron:
		for _, j := range h.Jobs {
			if j.Kind == "timer" {
				all["timer "+j.Where] = thing{j.When + " " + j.Command, j.When + ": " + j.Command}
			} else {
				all[fmt.Sprintf("%s: %s %s", j.User, j.When, j.Command)] = thing{"", j.Where}
			}
		}
	case AreaUsers:
		for _, u := range h.Users {
			all[u.Name] = u.thing()
		}
	case AreaMounts:
		for _, m := range h.Mounts {
			s := m.Type
			if m.ReadOnly {
				s += ", read-only"
			}
			all[m.At] = thing{s, s + " on " + m.Device}
		}
	case AreaCertificates:
		certificateThings(h, all)
	case AreaEnvironment:
		environmentThings(h, all)
	case AreaPackages:
		for name, version := range h.Packages {
			all[name] = thing{version, version}
		}
	}
	return all
}

// ephemeral is where the ports begin that Linux chooses by itself
// (ip_local_port_range).
const ephemeral = 32768

// Passing tells a port that the kernel chose, and that changes with every
// start: any udp one up there, and a tcp one that only the host itself can reach.
func (l Listen) Passing() bool {
	return l.Port >= ephemeral && (l.Proto == "udp" || l.Loopback())
}

// Loopback tells a port that only programs of the same host reach.
func (l Listen) Loopback() bool {
	addr, err := netip.ParseAddr(l.Address)
	return err == nil && addr.IsLoopback()
}

// portThings says who listens; loopback alone is another thing than the world.
func portThings(h *Host, all map[string]thing) {
	type port struct {
		proto  string
		number int
	}
	who, open := map[port]string{}, map[port]bool{}
	for _, p := range h.Programs {
		for _, l := range p.Listens {
			if l.Passing() {
				continue
			}
			at := port{l.Proto, l.Port}
			who[at] = cmp.Or(who[at], p.Name)
			open[at] = open[at] || !l.Loopback()
		}
	}
	for at, name := range who {
		reach := "on loopback only"
		if open[at] {
			reach = "not on loopback alone"
		}
		all[at.proto+" "+strconv.Itoa(at.number)] = thing{reach, name + ", " + reach}
	}
}

func certificateThings(h *Host, all map[string]thing) {
	for _, c := range h.Certificates {
		if c.Problem != "" {
			all[c.Path] = thing{c.Problem, c.Problem}
			continue
		}
		names := slices.Sorted(slices.Values(c.Names))
		key := strings.Join(names, ", ")
		show := "ends " + c.Ends.Format("2006-01-02") + ", " + c.Path
		if was, twice := all[key]; twice && was.same >= c.Ends.Format("2006-01-02") {
			continue // the one that ends last counts
		}
		all[key] = thing{c.Ends.Format("2006-01-02"), show}
	}
}

// environmentThings has an entry for each name: a key that is missing in one
// file is told alone, not as a changed file.
func environmentThings(h *Host, all map[string]thing) {
	for _, f := range h.EnvFiles {
		for _, k := range f.Keys {
			all[f.Path+": "+k] = thing{"", "set"}
		}
	}
	for _, p := range h.Programs {
		if p.Kind != KindContainer && p.Kind != KindUnit {
			continue // of whoever started it by hand
		}
		for _, k := range p.Env {
			if !slices.Contains(systemdKeys, k) {
				all[p.Name+": "+k] = thing{"", "set"}
			}
		}
	}
}

// systemdKeys are set by systemd itself for every unit (systemd.exec(5)).
var systemdKeys = []string{
	"LANG", "PATH", "HOME", "LOGNAME", "USER", "SHELL", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "NOTIFY_SOCKET",
	"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "MAINPID", "WATCHDOG_PID", "WATCHDOG_USEC", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE",
	"CREDENTIALS_DIRECTORY", "LOGS_DIRECTORY", "CACHE_DIRECTORY", "CONFIGURATION_DIRECTORY", "PWD", "OLDPWD", "SHLVL", "TERM", "HOSTNAME",
}
