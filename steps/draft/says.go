package draft

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"belay/checks/inspect"
	"belay/remote"
)

// few is how many lines of an item are shown in a list.
const few = 4

// Parts are a few lines about what belongs to the item, for people who choose.
func (i Item) Parts() []string {
	all := i.Whole()
	if len(all) > few {
		all = append(all[:few-1:few-1], fmt.Sprintf("and %d more", len(all)-few+1))
	}
	return all
}

// Whole is all that is known of what belongs to the item, a line each.
func (i Item) Whole() (all []string) {
	add := func(format string, a ...any) {
		if line := fmt.Sprintf(format, a...); !slices.Contains(all, line) {
			all = append(all, line)
		}
	}
	for _, j := range i.Jobs {
		add("%s  %s", j.When, j.Command)
		for _, f := range ownUnits(j) {
			add("unit file %s", f)
		}
	}
	if i.Kind == Database {
		for _, n := range i.names() {
			switch {
			case n.Bytes > 0:
				add("%s, %s", n.Name, remote.FormatBytes(n.Bytes))
			case n.Keys > 0:
				add("%s, %d keys", n.Name, n.Keys)
			default:
				add("%s", n.Name)
			}
		}
	}
	if i.Kind == Site {
		for _, f := range append([]string{i.Nginx.File}, i.Nginx.Names...) {
			add("file %s", f)
		}
		return all
	}
	for _, p := range i.Programs {
		i.programLines(p, add)
	}
	return all
}

func (i Item) programLines(p *inspect.Program, add func(string, ...any)) {
	if c := p.Container; c != nil {
		add("container %s from %s", p.Name, cmp.Or(c.Image, "an unnamed image"))
		if c.Dir != "" {
			add("its directory %s", c.Dir)
		}
	}
	for _, m := range p.Mounts {
		if m.Type != "tmpfs" {
			add("%s %s", m.Type, m.Source)
		}
	}
	if p.Unit != "" {
		add("unit file %s", p.Unit)
	}
	if i.Kind == Unit || i.Kind == ByHand {
		for _, pr := range p.Processes {
			add("runs as %s in %s: %s", cmp.Or(pr.User, "?"), cmp.Or(pr.Dir, "?"), strings.Join(strings.Fields(cmp.Or(pr.Args, pr.Exe)), " "))
		}
		for _, f := range p.Files {
			if f.Use != "open" && under(f.Path) != "" {
				add("%s %s", f.Use, under(f.Path))
			}
		}
	}
	for _, f := range p.EnvFiles {
		add("environment file %s", f)
	}
}

// Rest are the programs that serve something and are none of the items, and the
// units of the host's own that run nothing: one line each.
func Rest(h *inspect.Host, items []Item) (all []string) {
	for _, p := range h.Programs {
		if !serves(p) || slices.ContainsFunc(items, func(it Item) bool { return slices.Contains(it.Programs, p) }) {
			continue
		}
		var ports []string
		for _, l := range (Item{Programs: []*inspect.Program{p}}).ports() {
			if !l.Passing() {
				ports = append(ports, fmt.Sprintf("%s %d", l.Proto, l.Port))
			}
		}
		all = append(all, strings.TrimSuffix(p.Kind+" "+p.Name+", "+strings.Join(ports, ", "), ", "))
	}
	for _, u := range h.Idle {
		if u.User != "" {
			all = append(all, "systemd --user unit "+u.Name+" of "+u.User)
		} else {
			all = append(all, "unit "+u.Name+", which does nothing now")
		}
	}
	return all
}
