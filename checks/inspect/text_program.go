package inspect

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"belay/tui/widget"
)

// row is a line of a program: what it is about, and the text.
type row struct{ label, text string }

func (t *text) program(p *Program, h *Host) {
	rows := t.rows(p, h)
	t.para("■ ", "│ ", p.Name+"  ("+p.inWords()+")")
	for i, r := range rows {
		first, rest := "├ ", "│ "
		if i+1 == len(rows) {
			first, rest = "└ ", "  "
		}
		pad := strings.Repeat(" ", 9)
		t.para(first+widget.Fit(r.label, 9), rest+pad, r.text)
	}
}

// inWords says what kind of thing a program is and how it does.
func (p *Program) inWords() string {
	kind := map[string]string{KindUnit: "systemd unit", KindContainer: "container", KindTmux: "tmux session", KindProcess: "process"}[p.Kind]
	if c := p.Container; c != nil && c.Project != "" {
		kind = "container of compose project " + c.Project
	}
	if p.Kind == KindProcess && p.Name == "unknown" {
		return p.State
	}
	if p.State != "" {
		kind += ", " + p.State
	}
	if c := p.Container; c != nil && c.Health != "" {
		kind += ", " + c.Health
	}
	return kind
}

func (t *text) rows(p *Program, h *Host) []row {
	var rows []row
	add := func(label, format string, args ...any) {
		rows = append(rows, row{label, fmt.Sprintf(format, args...)})
	}
	if len(p.Listens) > 0 {
		add("ports", "%s", listensInWords(p.Listens))
	}
	p.processRows(add)
	p.containerRows(add)
	if p.Unit != "" {
		add("unit", "%s", p.Unit)
	}
	for _, d := range p.Databases {
		add("database", "%s", d.inWords())
	}
	p.siteRows(add, h)
	for _, c := range h.Certificates {
		if slices.Contains(p.Certs, c.Path) && c.Problem == "" {
			add("cert", "%s", t.certInWords(c))
		}
	}
	p.connectRows(add, h)
	p.fileRows(add)
	p.envRows(add, h)
	for _, i := range p.Jobs {
		if i < len(h.Jobs) {
			add("job", "%s", jobInWords(h.Jobs[i]))
		}
	}
	return rows
}

type adder func(label, format string, args ...any)

func (p *Program) processRows(add adder) {
	if len(p.Processes) == 0 || p.Kind == KindContainer {
		return
	}
	main := p.Processes[0]
	if p.Kind == KindTmux { // the shell of the pane is not what matters
		for _, proc := range p.Processes {
			if !slices.Contains([]string{"sh", "bash", "dash", "zsh", "fish"}, path.Base(or(proc.Exe, programOf(proc.Args)))) {
				main = proc
				break
			}
		}
	}
	s := or(main.Exe, or(main.Args, "executable not readable"))
	s += fmt.Sprintf(" (pid %d", main.PID)
	if n := len(p.Processes) - 1; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	s += ", user " + strings.Join(p.users(), ", ")
	switch main.Package {
	case "-":
		s += ", of no package"
	case "":
	default:
		s += ", package " + main.Package
	}
	add("process", "%s)", s)
	if args := strings.TrimSpace(main.Args); args != main.Exe && strings.Contains(args, " ") {
		add("command", "%s", widget.Cut(args, 200))
	}
	if main.Dir != "" && main.Dir != "/" {
		add("runs in", "%s", main.Dir)
	}
	if p.Parent != "" {
		add("child of", "%s", p.Parent)
	}
}

func (p *Program) users() []string {
	var all []string
	for _, proc := range p.Processes {
		if !slices.Contains(all, proc.User) {
			all = append(all, proc.User)
		}
	}
	return all
}

func (p *Program) containerRows(add adder) {
	c := p.Container
	if c == nil {
		return
	}
	add("image", "%s", c.Image)
	if c.Dir != "" {
		add("compose", "%s, entry %s", c.Dir, or(c.Service, "unknown"))
	}
	if c.Swarm != "" {
		add("swarm", "%s", c.Swarm)
	}
	if p.Exec != "" {
		add("command", "%s", widget.Cut(p.Exec, 200))
	}
	for _, v := range p.Mounts {
		ro := ""
		if v.ReadOnly {
			ro = " (read-only)"
		}
		add("volume", "%s %s at %s%s", v.Type, v.Source, v.Target, ro)
	}
	if c.Restart == "" || c.Restart == "no" {
		add("restart", "never by itself")
	}
}

func (d Database) inWords() string {
	s := strings.TrimSpace(d.Kind + " " + strings.TrimPrefix(d.Version, d.Kind+" "))
	if d.Dir != "" {
		s += ", data in " + d.Dir
	}
	var names []string
	for _, n := range d.Names {
		switch {
		case n.Keys > 0:
			names = append(names, fmt.Sprintf("%s (%d keys)", n.Name, n.Keys))
		case n.Bytes >= 0:
			names = append(names, fmt.Sprintf("%s (%s)", n.Name, widget.Bytes(n.Bytes)))
		default:
			names = append(names, n.Name)
		}
	}
	switch {
	case len(names) > 0:
		return s + ": " + some(names, 12)
	case d.Note != "":
		return s + " (its databases are not known)"
	}
	return s + " (empty)"
}

func (p *Program) siteRows(add adder, h *Host) {
	for _, s := range p.Sites {
		add("site", "%s (listens %s) in %s", or(strings.Join(s.Names, " "), "any name"), or(strings.Join(s.Listen, ", "), "80"), s.File)
		for _, r := range s.Routes {
			to := ""
			if r.Program != "" {
				to = " = " + h.called(r.Program)
			}
			add("", "  %s → %s%s", or(r.Path, "all"), r.To, to)
		}
		if len(s.Routes) == 0 && s.Root != "" {
			add("", "  files in %s", s.Root)
		}
	}
}

// called is how people know a program by its key.
func (h *Host) called(key string) string {
	kind, name, _ := strings.Cut(key, " ")
	if kind == KindTmux {
		return "tmux session " + name
	}
	if kind == KindContainer {
		return "container " + name
	}
	return name
}

func (p *Program) connectRows(add adder, h *Host) {
	var others []string
	for _, c := range p.Connects {
		switch {
		case c.Program != "" && c.What != "":
			add("uses", "%s at %s = %s", c.What, c.To, h.called(c.Program))
		case c.Program != "":
			add("uses", "%s = %s", c.To, h.called(c.Program))
		case c.What != "":
			add("uses", "%s at %s, on another host", c.What, c.To)
		default:
			others = append(others, c.To)
		}
	}
	if len(others) > 0 {
		add("talks to", "%s", some(others, 4))
	}
	if len(p.Sockets) > 0 {
		add("socket", "%s", some(p.Sockets, 3))
	}
}

func (p *Program) fileRows(add adder) {
	for _, use := range []string{"config", "written", "open"} {
		var all []string
		for _, f := range p.Files {
			if f.Use == use && (use == "config" || !p.inData(f.Path)) {
				all = append(all, f.Path)
			}
		}
		if len(all) > 0 {
			add(map[string]string{"config": "config", "written": "writes", "open": "reads"}[use], "%s", some(byDir(all), 4))
		}
	}
}

// byDir writes files of one directory together: "/etc/x/: a.conf, b.conf".
func byDir(files []string) []string {
	var all []string
	for i := 0; i < len(files); {
		dir, n := path.Dir(files[i]), i+1
		for n < len(files) && path.Dir(files[n]) == dir {
			n++
		}
		if n == i+1 {
			all = append(all, files[i])
		} else {
			var names []string
			for _, f := range files[i:n] {
				names = append(names, path.Base(f))
			}
			all = append(all, "in "+dir+": "+some(names, 6))
		}
		i = n
	}
	if len(all) > 1 {
		for i := range all {
			if strings.HasPrefix(all[i], "in ") && i+1 < len(all) {
				all[i] += ";"
			}
		}
	}
	return all
}

// inData tells the files of a database: its data directory says it all.
func (p *Program) inData(name string) bool {
	return slices.ContainsFunc(p.Databases, func(d Database) bool { return len(d.Dir) > 1 && strings.HasPrefix(name, d.Dir+"/") })
}

func (p *Program) envRows(add adder, h *Host) {
	for _, e := range h.EnvFiles {
		if slices.Contains(p.EnvFiles, e.Path) {
			add("env file", "%s: %s", e.Path, or(e.Problem, or(some(masked(e.Keys), 8), "empty")))
		}
	}
	var keys []string
	for _, k := range p.Env {
		if !slices.Contains(systemdKeys, k) && !slices.Contains(loginKeys, k) && !strings.HasPrefix(k, "XDG_") && !strings.HasPrefix(k, "SSH_") && !strings.HasPrefix(k, "LC_") {
			keys = append(keys, k)
		}
	}
	if len(keys) > 0 {
		add("env", "%s", some(masked(keys), 8))
	}
}

// loginKeys are set by a login, a shell or tmux, and say nothing of a program.
var loginKeys = []string{"_", "MAIL", "TMUX", "TMUX_PANE", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "LS_COLORS", "LANGUAGE", "COLORTERM", "EDITOR", "DBUS_SESSION_BUS_ADDRESS", "SUDO_USER", "SUDO_UID", "SUDO_GID", "SUDO_COMMAND"}

func masked(keys []string) []string {
	var all []string
	for _, k := range keys {
		all = append(all, k+"="+hidden)
	}
	return all
}

func jobInWords(j Job) string {
	who := j.Where
	if j.User != "" {
		who = "user " + j.User + ", " + j.Where
	}
	return fmt.Sprintf("%s  %s  (%s, %s)", j.When, widget.Cut(j.Command, 200), j.Kind, who)
}

func (t *text) certInWords(c Certificate) string {
	left := c.Ends.Sub(t.now)
	when := "ENDED " + c.Ends.Format("2006-01-02")
	if left > 0 {
		when = fmt.Sprintf("ends %s, in %s", c.Ends.Format("2006-01-02"), countOf(int(left.Hours()/24), "day", "days"))
	}
	return fmt.Sprintf("%s: %s (%s; issued by %s)", c.Path, some(c.Names, 5), when, or(c.Issuer, "nobody named"))
}

// listensInWords groups ports by the address that they listen on:
// "tcp 80, 443 on every address; tcp 5432 on loopback only".
func listensInWords(all []Listen) string {
	by := map[string][]string{}
	var order []string
	for _, l := range all {
		from := "on every address"
		if a, err := netip.ParseAddr(l.Address); err == nil {
			switch {
			case a.IsLoopback():
				from = "on loopback only"
			case !a.IsUnspecified():
				from = "at " + l.Address
			}
		}
		key := l.Proto + "\x00" + from
		if by[key] == nil {
			order = append(order, key)
		}
		n := strconv.Itoa(l.Port)
		if inside, _, _ := strings.Cut(l.Inside, "/"); inside != "" && inside != n {
			n += " (" + inside + " inside)"
		}
		if !slices.Contains(by[key], n) {
			by[key] = append(by[key], n)
		}
	}
	var parts []string
	for _, key := range order {
		proto, from, _ := strings.Cut(key, "\x00")
		parts = append(parts, proto+" "+some(by[key], 12)+" "+from)
	}
	return strings.Join(parts, "; ")
}
