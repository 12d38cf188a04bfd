package inspect

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"belay/checks"
)

// addJobs lists cron entries and timers, and guesses whose they are.
func (b *builder) addJobs() {
	for _, c := range b.f.Cron {
		when, rest := splitCron(c)
		b.job(Job{Kind: "cron", User: c.User, Where: c.File, When: when, Command: command(rest), Package: b.r.origins[c.File]}, rest)
	}
	for _, f := range slices.Sorted(maps.Keys(b.r.origins)) {
		// What packages bring there is part of them, as their programs are.
		every, ok := strings.CutPrefix(path.Dir(f), "/etc/cron.")
		if ok && every != "d" && b.r.origins[f] == "-" {
			b.job(Job{Kind: "cron", User: "root", Where: f, When: "@" + tidy(every, 20), Command: command(f), Package: "-"}, f)
		}
	}
	b.addTimers()
}

// addTimers lists timers with what they start. A masked one is none: nobody can
// start it.
func (b *builder) addTimers() {
	units := map[string]*rawUnit{}
	for _, u := range b.r.units {
		units[u.id] = u
	}
	for _, u := range b.r.units {
		if !strings.HasSuffix(u.id, ".timer") || u.load == "masked" || u.asleep() {
			continue
		}
		starts := cmp.Or(u.starts, strings.TrimSuffix(u.id, ".timer")+".service")
		text := starts
		j := Job{Kind: "timer", Where: u.id, When: cmp.Or(tidy(u.when, 100), "not known"), Enabled: tidy(u.enabled, 40), Starts: tidy(starts, 200), Keeps: u.persistent}
		own := []string{u.fragment}
		more := u.dropIns
		if s := units[starts]; s != nil {
			if len(s.exec) > 0 {
				text += ": " + strings.Join(s.exec, " ; ")
			}
			j.User = tidy(s.user, 64)
			for _, dir := range append(slices.Clone(s.dirs), s.dir) {
				if path.IsAbs(dir) {
					j.Dirs = append(j.Dirs, tidy(path.Clean(dir), 300))
				}
			}
			own, more = append(own, s.fragment), append(slices.Clone(more), s.dropIns...)
			for _, f := range s.envFiles {
				j.EnvFiles = append(j.EnvFiles, tidy(f, 300))
			}
		}
		for _, f := range append(own, more...) {
			if f = tidy(f, 300); f != "" {
				j.Units = append(j.Units, f)
			}
		}
		j.Command = command(text)
		b.job(j, text)
	}
}

// splitCron cuts off the five fields or @daily, and the user of a system's
// crontab.
func splitCron(c checks.CronLine) (when, command string) {
	n := 5
	if strings.HasPrefix(c.Line, "@") {
		n = 1
	}
	rest := strings.TrimSpace(c.Line)
	next := func() (w string) {
		i := strings.IndexAny(rest, " \t")
		if i < 0 {
			i = len(rest)
		}
		w, rest = rest[:i], strings.TrimSpace(rest[i:])
		return w
	}
	var fields []string
	for range n {
		fields = append(fields, next())
	}
	if strings.HasPrefix(c.File, "/etc/cron") && !strings.HasPrefix(c.File, "/etc/crontabs/") {
		next()
	}
	return tidy(strings.Join(fields, " "), 100), rest
}

func (b *builder) job(j Job, text string) {
	for _, p := range b.h.Programs {
		if why := p.namedBy(text); why != "" {
			j.Program, j.Why = p.Key(), why
			p.Jobs = append(p.Jobs, len(b.h.Jobs))
			break
		}
	}
	b.h.Jobs = append(b.h.Jobs, j)
}

// dumpers are the programs of databases that jobs call.
var dumpers = map[string][]string{
	"postgresql": {"pg_dump", "pg_dumpall", "pg_basebackup", "psql", "vacuumdb"},
	"mysql":      {"mysqldump", "mysql", "mariadb-dump", "mariadb", "mariabackup", "mysqlcheck"},
	"mariadb":    {"mysqldump", "mysql", "mariadb-dump", "mariadb", "mariabackup", "mysqlcheck"},
	"redis":      {"redis-cli"}, "valkey": {"valkey-cli"}, "mongodb": {"mongodump", "mongosh"},
}

// namedBy tells why a command has to do with the program; "" if it seems not to.
func (p *Program) namedBy(text string) string {
	for _, dir := range p.places() {
		if mentions(text, dir) {
			return "names " + dir
		}
	}
	if (p.Kind == KindContainer || p.Kind == KindTmux) && len(p.Name) > 3 && mentions(text, p.Name) {
		return "names it"
	}
	if p.Kind == KindUnit && mentions(text, p.Name) {
		return "names it"
	}
	for _, d := range p.Databases {
		for w := range strings.FieldsSeq(text) {
			if slices.Contains(dumpers[d.Kind], path.Base(w)) {
				return "calls " + path.Base(w)
			}
		}
	}
	return ""
}

// places are the directories that are the program's own: not / or a home.
func (p *Program) places() []string {
	var all []string
	add := func(dir string) {
		if n := strings.Count(path.Clean(dir), "/"); path.IsAbs(dir) && dir != "/" && !commonDir(dir, n) && !slices.Contains(all, dir) {
			all = append(all, path.Clean(dir))
		}
	}
	for _, proc := range p.Processes {
		if p.Kind == KindContainer {
			break
		}
		add(proc.Dir)
		if proc.Package == "-" {
			add(proc.Exe)
			add(path.Dir(proc.Exe))
		}
	}
	if p.Container != nil && p.Container.Dir != "" {
		add(p.Container.Dir)
	}
	for _, d := range p.Databases {
		add(d.Dir)
	}
	for _, v := range p.Mounts {
		if v.Type == "bind" {
			add(v.Source)
		}
	}
	return all
}

// commonDir tells a directory that many programs share; n is how deep it is.
func commonDir(dir string, n int) bool {
	for _, root := range []string{"/usr", "/bin", "/sbin", "/lib", "/etc", "/run", "/tmp", "/proc", "/dev", "/sys"} {
		if dir == root || strings.HasPrefix(dir, root+"/") && (root == "/usr" || n < 3) {
			return true
		}
	}
	return n < 2 || n == 2 && strings.HasPrefix(dir, "/home/") || slices.Contains([]string{"/var/lib", "/var/www", "/var/log", "/usr/local"}, dir)
}

// mentions tells whether name stands in text as a whole, or as the beginning
// of a longer path.
func mentions(text, name string) bool {
	for rest := text; ; {
		i := strings.Index(rest, name)
		if i < 0 {
			return false
		}
		after := rest[i+len(name):]
		before := i == 0 || strings.ContainsRune(" \t=\"'(;&|:", rune(rest[i-1]))
		if before && (after == "" || strings.ContainsRune("/ \t\"');&|:", rune(after[0]))) {
			return true
		}
		rest = after
	}
}

// addRest lists what belongs to the host, and whose certificates are.
func (b *builder) addRest() {
	for _, u := range b.f.Users {
		b.user(u.Name, User{Name: u.Name, UID: u.UID, Home: u.Home, Shell: u.Shell})
	}
	for _, j := range b.h.Jobs { // who neither logs in nor runs anything just now
		if known, ok := b.r.accounts.of(j.User); ok {
			b.user(j.User, known)
		}
	}
	b.h.Accounts = b.r.accounts.users
	for _, d := range b.f.Disks {
		b.h.Mounts = append(b.h.Mounts, Mount{d.Mount, d.Device, d.Type, d.ReadOnly, d.Total, d.Free})
	}
	for _, u := range b.f.Units {
		if u.Active == "active" || u.Active == "failed" || isEnabled(u) || u.Enabled == "masked" {
			b.h.Units = append(b.h.Units, Unit{u.Name, u.Active + " (" + u.Sub + ")", u.Enabled})
		}
	}
	b.h.EnvFiles = b.r.envFiles
	for _, c := range b.r.certs {
		p := b.first(func(p *Program) bool { return p.names(c.Path) })
		if p == nil {
			p = b.first(func(p *Program) bool { return p.holds(c.Path) })
		}
		if p != nil {
			c.Program = p.Key()
			p.Certs = append(p.Certs, c.Path)
		}
		b.h.Certificates = append(b.h.Certificates, c)
	}
}

// user adds a login once, with what the host's own files say of it.
func (b *builder) user(name string, u User) {
	if slices.ContainsFunc(b.h.Users, func(o User) bool { return o.Name == name }) {
		return
	}
	if known, ok := b.r.accounts.of(name); ok && known.UID == u.UID {
		u = known
	}
	b.h.Users = append(b.h.Users, u)
}

func (b *builder) first(is func(*Program) bool) *Program {
	if i := slices.IndexFunc(b.h.Programs, is); i >= 0 {
		return b.h.Programs[i]
	}
	return nil
}

// names tells whether the program's own words name that certificate.
func (p *Program) names(cert string) bool {
	for _, s := range p.Sites {
		for _, c := range s.Certs {
			if c == cert || strings.HasSuffix(cert, "/"+c) {
				return true
			}
		}
	}
	for _, proc := range p.Processes {
		if p.Kind != KindContainer && mentions(strings.ReplaceAll(proc.Args, ",", " "), cert) {
			return true
		}
	}
	return false
}

// holds tells whether it lies where the program is at home.
func (p *Program) holds(cert string) bool {
	for _, v := range p.Mounts {
		if v.Type == "bind" && len(v.Source) > 1 && (v.Source == cert || strings.HasPrefix(cert, v.Source+"/")) {
			return true
		}
	}
	return slices.ContainsFunc(p.places(), func(dir string) bool { return strings.HasPrefix(cert, dir+"/") })
}

// sort puts programs that listen first, by port, and everything else in an
// order that does not change by itself.
func (b *builder) sort() {
	first := func(p *Program) int {
		least := 1 << 20
		if p == b.unknown {
			return least - 1 // after those that are known
		}
		for _, l := range p.Listens {
			least = min(least, l.Port)
		}
		return least
	}
	kinds := []string{KindContainer, KindTmux, KindUnit, KindProcess}
	for _, p := range b.h.Programs {
		slices.SortFunc(p.Listens, func(a, c Listen) int {
			return cmp.Or(cmp.Compare(a.Port, c.Port), cmp.Compare(a.Proto, c.Proto), cmp.Compare(a.Address, c.Address))
		})
		slices.Sort(p.Sockets)
		slices.SortFunc(p.Processes, func(a, c Process) int { return cmp.Compare(a.PID, c.PID) })
		slices.SortFunc(p.Files, func(a, c File) int { return cmp.Or(cmp.Compare(a.Use, c.Use), cmp.Compare(a.Path, c.Path)) })
		slices.SortFunc(p.Databases, func(a, c Database) int { return cmp.Compare(a.Port, c.Port) })
	}
	slices.SortStableFunc(b.h.Programs, func(a, c *Program) int {
		return cmp.Or(cmp.Compare(first(a), first(c)), cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, c.Kind)), cmp.Compare(a.Name, c.Name))
	})
}
