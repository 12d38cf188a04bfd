package draft

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"belay/checks/inspect"
	"belay/remote"
)

// siteItems are nginx's sites that stand in a file of their own, where nginx.site
// puts them.
func siteItems(h *inspect.Host) (all []*Item) {
	for _, p := range h.Programs {
		for i, f := range p.NginxFiles {
			if sites := sitesOf(p, f); len(sites) > 0 && siteName(f.File) != "" {
				all = append(all, &Item{Kind: Site, Name: f.File, Programs: []*inspect.Program{p}, Nginx: &p.NginxFiles[i], Sites: sites, Advised: true})
			}
		}
	}
	return all
}

func sitesOf(p *inspect.Program, f inspect.NginxFile) (all []inspect.Site) {
	for _, s := range p.Sites {
		if s.File == f.File || slices.Contains(f.Names, s.File) {
			all = append(all, s)
		}
	}
	return all
}

var siteFile = regexp.MustCompile(`^/etc/nginx/(?:sites-enabled/([A-Za-z0-9_][A-Za-z0-9_.@+-]*)|conf\.d/([A-Za-z0-9_][A-Za-z0-9_.@+-]*)\.conf)$`)

// siteName is what nginx.site calls a file; "" for one in another place.
func siteName(file string) string {
	m := siteFile.FindStringSubmatch(file)
	if m == nil {
		return ""
	}
	return cmp.Or(m[1], m[2])
}

// inConfD is what a step says of a file that is not in sites-enabled.
func inConfD(file string) raw {
	if strings.HasPrefix(file, "/etc/nginx/conf.d/") {
		return ", layout: conf.d"
	}
	return ""
}

// siteTitle names the file, for two may serve one name: shop, or shop.conf of
// conf.d.
func (i Item) siteTitle() string {
	if inConfD(i.Name) != "" {
		return path.Base(i.Name)
	}
	return siteName(i.Name)
}

// serverNames are those that clients ask the site for.
func (i Item) serverNames() string {
	var names []string
	for _, s := range i.Sites {
		for _, n := range s.Names {
			if n != "_" && n != "" && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	switch n := len(names); {
	case n == 0:
		return "any name"
	case n > 3:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), n-3)
	}
	return strings.Join(names, ", ")
}

// sitePorts are the ports that server blocks listen on: "443 ssl", "[::]:80",
// "127.0.0.1:8080", "unix:/run/x"; none stands for 80.
func sitePorts(sites []inspect.Site) map[int]bool {
	all := map[int]bool{}
	for _, s := range sites {
		for _, l := range s.Listen {
			first, _, _ := strings.Cut(l, " ")
			_, port, err := net.SplitHostPort(first)
			if err != nil {
				port = first
			}
			if n, err := strconv.Atoi(port); err == nil {
				all[n] = true
			} else if !strings.HasPrefix(first, "unix:") {
				all[80] = true
			}
		}
		if len(s.Listen) == 0 {
			all[80] = true
		}
	}
	return all
}

// moveSites brings sites once all directories are there, first those that others
// lean on. They are tested and served before the cutover: nobody is sent to the
// new server yet.
func (d *draft) moveSites() {
	var all []Item
	for _, it := range d.items {
		if it.Kind == Site {
			all = append(all, it)
		}
	}
	if len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(a, b Item) int { return cmp.Compare(btoi(b.Nginx.Shares), btoi(a.Nginx.Shares)) })
	for _, p := range d.old.Programs {
		if slices.ContainsFunc(all, func(it Item) bool { return it.Programs[0] == p }) {
			d.nginx(p)
		}
	}
	for _, it := range all {
		d.moveSite(it)
	}
	if len(d.lineages) > 0 {
		d.cutover.line("  - step: %s", "Have nginx on "+d.New.Name+" read the certificates once more")
		d.cutover.line("    why: %s", "One that was renewed since the first copy has come with what changed.")
		d.cutover.line("    on: %s", d.New.Name)
		d.cutover.line("    run: {script: nginx -s reload, repeatable: %s, undo: nginx -s reload}", raw("true"))
	}
}

func (d *draft) moveSite(it Item) {
	from, to, title, name := d.Old.Name, d.New.Name, it.Title(), siteName(it.Name)
	d.brings(*it.Nginx, "the site "+title)
	d.renewal(it)
	d.taken(it)
	for _, addr := range it.addresses() {
		d.prepare.note("  ", fmt.Sprintf("The site listens on %s, which is an address of %s: where %s has another one, write the site's text into the step, with that address.", addr, from, to))
	}
	d.prepare.line("  - step: %s", fmt.Sprintf("Put the site %s on %s", title, to))
	d.prepare.line("    why: %s", "nginx tests it, or puts back what was there; nobody is sent there before the cutover.")
	d.prepare.line("    on: %s", to)
	d.prepare.line("    nginx.site: {name: %s, host: %s, from: %s%s%s}", name, from, cmp.Or(it.Nginx.Target, it.Name), inConfD(it.Name), d.serves(it))
	d.shuts.line("  - step: %s", fmt.Sprintf("Take the site %s out of service on %s", title, from))
	d.shuts.line("    why: %s", "Whatever came in by it from here on would be missing on "+to)
	d.shuts.line("    on: %s", from)
	d.shuts.line("    nginx.site: {name: %s, enabled: false%s}", name, inConfD(it.Name))
}

// serves has nginx proved by its port, where that is on every address.
func (d *draft) serves(it Item) raw {
	for _, l := range it.ports() {
		if l.Proto == "tcp" && it.atLoopback(l.Port) {
			return raw(fmt.Sprintf(`, serves: {tcp: {on: %s, addr: "127.0.0.1:%d"}}`, quote(d.New.Name), l.Port))
		}
	}
	return ""
}

// atLoopback tells a port that 127.0.0.1 has, too.
func (i Item) atLoopback(port int) bool {
	return slices.ContainsFunc(i.Programs[0].Listens, func(l inspect.Listen) bool {
		addr, err := netip.ParseAddr(l.Address)
		return l.Port == port && (err != nil || addr.Is4() && (addr.IsUnspecified() || addr.String() == "127.0.0.1"))
	})
}

// addresses are those of the old server's own that the site names.
func (i Item) addresses() (all []string) {
	for _, s := range i.Sites {
		for _, l := range s.Listen {
			first, _, _ := strings.Cut(l, " ")
			host, _, err := net.SplitHostPort(first)
			if err != nil {
				host = strings.Trim(first, "[]")
			}
			if addr, err := netip.ParseAddr(host); err == nil && !addr.IsUnspecified() && !addr.IsLoopback() {
				all = append(all, addr.String())
			}
		}
	}
	return once(all)
}

// nginx asks for one on the new host, and brings what all sites share.
func (d *draft) nginx(p *inspect.Program) {
	from, to := d.Old.Name, d.New.Name
	if len(d.new.Packages) > 0 && !hasNginx(d.new) {
		d.assess.note("  ", fmt.Sprintf("There is no nginx on %s yet. Install it before the run, in the version of %s or a later one: nothing is begun without it.", to, from))
	}
	d.assess.line("  - tool: {on: %s, name: nginx}", to)
	var lacks []string
	for name := range d.old.Packages {
		if _, has := d.new.Packages[name]; strings.HasPrefix(name, "libnginx-mod-") && !has && hasNginx(d.new) {
			lacks = append(lacks, name)
		}
	}
	if len(lacks) > 0 {
		d.assess.note("  ", fmt.Sprintf("nginx on %s lacks modules that it has on %s; install those that the sites use: %s.", to, from, strings.Join(once(lacks), ", ")))
	}
	switch {
	case p.Kind == inspect.KindUnit && d.systemd():
		d.prepare.line("  - step: %s", "nginx runs on "+to)
		d.prepare.line("    on: %s", to)
		d.prepare.line("    service: {name: %s, enabled: %s}", p.Name, atBoot(p.Enabled))
	default:
		d.assess.line("  - process: {on: %s, match: \"nginx: master\"}", to)
	}
	d.example()
	for _, f := range p.NginxFiles {
		switch shared := len(sitesOf(p, f)) == 0; {
		case siteName(f.File) == "":
			d.elsewhere(f.File)
		case shared:
			d.brings(f, f.File)
			d.prepare.line("  - step: %s", fmt.Sprintf("Put %s on %s", f.File, to))
			d.prepare.line("    on: %s", to)
			d.prepare.line("    nginx.site: {name: %s, host: %s, from: %s%s}", siteName(f.File), from, cmp.Or(f.Target, f.File), inConfD(f.File))
		}
	}
	for _, s := range p.Sites {
		if siteName(s.File) == "" && s.File != "/etc/nginx/nginx.conf" && !slices.ContainsFunc(p.NginxFiles, func(f inspect.NginxFile) bool { return slices.Contains(f.Names, s.File) }) {
			d.elsewhere(s.File)
		}
	}
	d.signoff.line("  - %s", fmt.Sprintf("/etc/nginx/nginx.conf is not copied; what somebody has written into it on %s, sites too, is in that of %s, or will not be missed there", from, to))
}

// example takes Debian's example site out of service on the new host, where the
// old one has none: it is the default of port 80, and there can be one alone.
func (d *draft) example() {
	const file = "/etc/nginx/sites-enabled/default"
	has := func(h *inspect.Host) bool {
		return slices.ContainsFunc(h.Programs, func(p *inspect.Program) bool {
			return slices.ContainsFunc(p.NginxFiles, func(f inspect.NginxFile) bool { return f.File == file })
		})
	}
	if has(d.old) || !has(d.new) {
		return
	}
	d.prepare.line("  - step: %s", "Take nginx's example site out of service on "+d.New.Name)
	d.prepare.line("    why: %s", d.Old.Name+" has none, and two sites cannot both be the default of a port.")
	d.prepare.line("    on: %s", d.New.Name)
	d.prepare.raw("    nginx.site: {name: default, enabled: false}\n")
}

// taken tells of another program of the new host that has a port of the site's.
func (d *draft) taken(it Item) {
	for _, p := range d.new.Programs {
		for _, l := range it.ports() {
			if len(p.NginxFiles)+len(p.Sites) == 0 && p.Name != "nginx.service" && slices.ContainsFunc(p.Listens, func(o inspect.Listen) bool { return o.Proto == l.Proto && o.Port == l.Port && !o.Loopback() }) {
				d.assess.note("  ", fmt.Sprintf("%s has port %d on %s, which nginx there needs for the site %s: stop it before the run, or let the site listen on another port.", p.Name, l.Port, d.New.Name, it.Title()))
			}
		}
	}
}

// elsewhere tells of a file that no step can put where nginx reads it.
func (d *draft) elsewhere(file string) {
	if slices.Contains(d.brought, file) {
		return
	}
	text := fmt.Sprintf("What nginx on %s has in %s is not copied: that is not a place of sites; somebody has put it on %s, or it will not be missed there", d.Old.Name, file, d.New.Name)
	if !strings.Contains(d.signoff.String(), quote(text)) {
		d.signoff.line("  - %s", text)
	}
}

func hasNginx(h *inspect.Host) bool {
	for name := range h.Packages {
		if name == "nginx" || strings.HasPrefix(name, "nginx-") || name == "openresty" {
			return true
		}
	}
	return slices.ContainsFunc(h.Programs, func(p *inspect.Program) bool {
		return len(p.NginxFiles)+len(p.Sites) > 0 || p.Name == "nginx" || p.Name == "nginx.service"
	})
}

// brings brings what a file of nginx's names: includes, certificates, keys; and
// makes the directories of its logs.
func (d *draft) brings(f inspect.NginxFile, of string) {
	for _, file := range f.Names {
		dir := under(file)
		switch {
		case strings.Contains(file, "$"):
			d.signoff.line("  - %s", fmt.Sprintf("The files that %s names as %s are not copied by this plan; somebody has put them on %s", of, file, d.New.Name))
		case lineage.MatchString(file):
			d.lineage(lineage.FindStringSubmatch(file)[1])
		case ofSystem(file):
			d.leaveToSystem(file, of)
		case dir != "" && dir != file:
			d.bring(dir)
		case dir != "", strings.HasPrefix(file, "/etc/"), strings.HasPrefix(file, "/usr/local/"):
			d.bringFile(&d.prepare, file)
		default:
			d.leave(file, of)
		}
	}
	for _, dir := range f.Logs {
		if dir = path.Clean(dir); dir == "/var/log/nginx" || dir == "/var/log" || !strings.HasPrefix(dir, "/var/log/") || slices.Contains(d.brought, dir) {
			continue
		}
		d.brought = append(d.brought, dir)
		q := remote.Quote(dir)
		d.prepare.line("  - step: %s", fmt.Sprintf("Make %s on %s", dir, d.New.Name))
		d.prepare.line("    why: %s", "nginx makes the files of its logs, and not their directory; what it has written there stays on the way back.")
		d.prepare.line("    on: %s", d.New.Name)
		d.prepare.line("    run: {script: %s, pending: %s, undo: %s}", "mkdir -p "+q, "[ -d "+q+" ] || echo make "+q, "rmdir "+q+" 2>/dev/null || :")
	}
}
