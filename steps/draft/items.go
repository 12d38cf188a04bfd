package draft

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"belay/checks/inspect"
)

// The kinds of Item.
const (
	Compose  = "compose"  // a project of Docker Compose
	Unit     = "unit"     // a systemd unit of the host's own
	Database = "database" // a database server that no Compose project has
	Files    = "files"    // a directory that a web server shows, or that a program started by hand works in
	Cron     = "cron"     // a user's crontab, or a file of /etc/cron.d
	Site     = "site"     // a site of nginx, in a file of its own
	Timer    = "timer"    // a systemd timer of the host's own, and what it starts
	ByHand   = "by hand"  // whatever else serves: people have to say how it starts
)

// Item is one thing that can be moved.
type Item struct {
	Kind string
	Name string // of the project, the unit, the engine (postgresql, mysql, redis), the program
	Says string // one line for people: "Compose project shop: 3 containers, ports 80 and 443"

	Programs []*inspect.Program
	Database *inspect.Database
	Jobs     []inspect.Job      // of Cron and Timer
	Nginx    *inspect.NginxFile // of Site
	Sites    []inspect.Site     // that stand in it
	Advised  bool               // moved unless people say otherwise
}

// Key names an item the same on every look: "compose shop".
func (i Item) Key() string {
	if i.Database != nil {
		return fmt.Sprintf("%s %s %d", i.Kind, i.Name, i.Database.Port)
	}
	return i.Kind + " " + i.Name
}

// Title names the item for people; a host may have several servers of one engine.
func (i Item) Title() string {
	switch {
	case i.Database != nil:
		return fmt.Sprintf("%s on port %d", i.Name, i.Database.Port)
	case i.Kind == Site:
		return i.siteTitle()
	}
	return i.Name
}

// Among tells whether the item is one of those with these keys; nil stands for
// the advised ones.
func (i Item) Among(keys []string) bool {
	return slices.Contains(keys, i.Key()) || keys == nil && i.Advised
}

// ports are those that the item serves.
func (i Item) ports() (all []inspect.Listen) {
	of := sitePorts(i.Sites)
	for _, p := range i.Programs {
		for _, l := range p.Listens {
			same := func(o inspect.Listen) bool { return o.Proto == l.Proto && o.Port == l.Port }
			if l.Port > 0 && (i.Kind != Site || of[l.Port]) && !slices.ContainsFunc(all, same) {
				all = append(all, l)
			}
		}
	}
	slices.SortFunc(all, func(a, b inspect.Listen) int { return cmp.Compare(a.Port, b.Port) })
	return all
}

// Stays tells what can be upgraded where it is; the rest can only move.
func (i Item) Stays() bool {
	return i.Kind != Files && i.Kind != Cron && i.Kind != Timer && i.Kind != Site
}

// Items lists what could be moved from a host, the advised ones first.
func Items(h *inspect.Host) []Item {
	projects, all, sites := map[string]*Item{}, jobItems(h), siteItems(h)
	for _, p := range h.Programs {
		if c := p.Container; c != nil && c.Project != "" && c.Dir != "" {
			it := projects[c.Project]
			if it == nil {
				it = &Item{Kind: Compose, Name: c.Project, Advised: true}
				projects[c.Project], all = it, append(all, it)
			}
			it.Programs = append(it.Programs, p)
			continue
		}
		if dbs := databases(p); len(dbs) > 0 {
			all = append(all, dbs...)
			continue
		}
		switch {
		case p.Kind == inspect.KindUnit && timed(h, p): // it goes with its timer
		case p.Kind == inspect.KindUnit && own(p):
			all = append(all, &Item{Kind: Unit, Name: p.Name, Programs: []*inspect.Program{p}, Advised: true})
		case p.Kind == inspect.KindUnit, system(p), slices.ContainsFunc(sites, func(it *Item) bool { return it.Programs[0] == p }):
		case serves(p) || p.Kind == inspect.KindContainer:
			all = append(all, &Item{Kind: ByHand, Name: p.Kind + " " + p.Name, Programs: []*inspect.Program{p}})
		}
	}
	all = append(append(all, fileItems(h)...), sites...)
	items := make([]Item, 0, len(all))
	for _, it := range all {
		it.Says = it.says()
		items = append(items, *it)
	}
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(btoi(b.Advised), btoi(a.Advised)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return items
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// databases are the servers that a program is and that belay can copy.
func databases(p *inspect.Program) (all []*Item) {
	for i, d := range p.Databases {
		name := map[string]string{"postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql", "redis": "redis", "valkey": "redis"}[d.Kind]
		if name == "" || d.Port == 0 || p.Kind == inspect.KindContainer {
			continue
		}
		all = append(all, &Item{Kind: Database, Name: name, Programs: []*inspect.Program{p}, Database: &p.Databases[i], Advised: true})
	}
	return all
}

// own tells a unit that somebody wrote for this host from one of a package.
func own(p *inspect.Program) bool {
	return strings.HasPrefix(p.Unit, "/etc/systemd/system/") && strings.HasSuffix(p.Name, ".service")
}

// system are programs that every server has of its own.
func system(p *inspect.Program) bool {
	switch path.Base(p.Name) {
	case "sshd", "dockerd", "containerd", "docker-proxy", "systemd", "init", "cron", "chronyd", "dhclient", "agetty", "rsyslogd", "dbus-daemon", "tini":
		return true
	}
	return false
}

func serves(p *inspect.Program) bool {
	return p.Kind == inspect.KindTmux || slices.ContainsFunc(p.Listens, func(l inspect.Listen) bool { return !l.Passing() })
}

func (i Item) says() string {
	var ports []string
	for _, l := range i.ports() {
		ports = append(ports, fmt.Sprintf("%s %d", l.Proto, l.Port))
	}
	at := ""
	if len(ports) > 0 {
		at = ", " + strings.Join(ports, ", ")
	}
	switch i.Kind {
	case Compose:
		many := "containers"
		if len(i.Programs) == 1 {
			many = "container"
		}
		return fmt.Sprintf("Compose project %s: %d %s%s", i.Name, len(i.Programs), many, at)
	case Unit:
		return fmt.Sprintf("systemd unit %s%s", i.Name, at)
	case Files:
		return "directory " + i.Name
	case Cron, Timer:
		return i.jobSays()
	case Site:
		return "nginx site " + i.siteTitle() + ", " + i.serverNames() + at
	case Database:
		var names []string
		for _, n := range i.names() {
			names = append(names, n.Name)
		}
		what := strings.Join(names, ", ")
		if what == "" {
			what = cmp.Or(i.Database.Note, "its databases are not known")
		}
		return fmt.Sprintf("%s on port %d: %s", i.Name, i.Database.Port, what)
	}
	return i.Name + at + ": started in a way that belay does not know; the plan will ask people"
}

// names are the databases that are people's own.
func (i Item) names() (all []inspect.Size) {
	for _, n := range i.Database.Names {
		switch n.Name {
		case "postgres":
			if len(i.Database.Own) > 0 { // there is always one; people's own tables are not
				all = append(all, n)
			}
		case "template0", "template1", "mysql", "sys", "information_schema", "performance_schema":
		default:
			all = append(all, n)
		}
	}
	return all
}
