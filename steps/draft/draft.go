package draft

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"belay/checks/inspect"
)

// draft is a plan under way: each item adds to every stage.
type draft struct {
	Wish
	old, new *inspect.Host
	items    []Item
	left     []Item // what stays on the old host

	vars, secrets, assess, prepare, signoff, stops, cutover, soak, closing page
	shuts                                                                  page // the doors: before all that stops
	takes, gives                                                           page // of jobs: before all that stops, after all that starts
	pairs                                                                  page // of compare
	ports                                                                  []int
	brought                                                                []string // directories, files and images
	named                                                                  []string // files that jobs name
	jobs                                                                   []string // files of cron and timers that move
	units                                                                  []string // that systemd shall read
	synced                                                                 []string // directories that are copied
	lineages                                                               []string // certificates that certbot keeps
	renewed                                                                []string // sites whose certificates some program renews
}

// Plan writes the plan. new is nil when everything stays on one host.
func Plan(w Wish, old, new *inspect.Host) []byte {
	d := &draft{Wish: w, old: old, new: new}
	for _, it := range Items(old) {
		if w.New == nil && !it.Stays() {
			continue
		}
		if it.Among(w.Move) {
			d.items = append(d.items, it)
		} else {
			d.left = append(d.left, it)
		}
	}
	if w.New == nil {
		d.inPlace()
	} else {
		d.move()
	}
	return []byte(d.text())
}

func (d *draft) text() string {
	var p page
	p.note("", fmt.Sprintf("Drafted by belay from what runs on %s on %s. Read it as you would read a colleague's runbook: "+
		"it knows what the server shows, not what people know.", d.Old.Name, d.old.TakenAt.UTC().Format("2006-01-02")))
	if text := d.toMove(); text != "" {
		p.note("", text)
	}
	if d.new != nil && d.new.Unreached != "" {
		p.note("", fmt.Sprintf("belay could not look at %s, and drafts as if nothing were there yet: logins, databases and ports may be taken. belay plan looks there before anything is done.", d.New.Name))
	}
	p.raw("belay: 1\n")
	p.line("name: %s", d.Called())
	p.line("about: %s", d.about())
	p.raw("environment: production\n" + d.window() + "# rehearsal: required   # try it first: belay rehearse PLAN --with STAGING\n" + d.approvers() + "\nhosts:\n")
	p.raw(d.Old.yaml("as it is"))
	if d.New != nil {
		p.raw(d.New.yaml("where it goes"))
	}
	soak := cmp.Or(d.Soak, 15*time.Minute)
	p.raw(fmt.Sprintf("\nvars:\n  %-18s # how long the new side is watched\n  look_every: %s\n", "soak: "+Length(soak), often(soak, 5*time.Second)))
	if d.New != nil {
		p.raw("  compare_every: " + often(soak, time.Minute) + "\n")
	}
	p.raw(fmt.Sprintf("  %-18s # how long errors last before a rollback is proposed\n", "bad_for: "+Length(cmp.Or(d.BadFor, 2*time.Minute))))
	p.raw(d.vars.String())
	p.section("secrets", &d.secrets)
	p.section("assess", &d.assess)
	p.section("prepare", &d.prepare)
	p.section("signoff", &d.signoff)
	d.takes.raw(d.shuts.String() + d.stops.String() + d.cutover.String() + d.gives.String())
	p.section("cutover", &d.takes)
	p.raw("\nsoak:\n  for: ${{ soak }}\n  watch:\n")
	p.raw(d.soak.String())
	p.raw("  rollback_when: {error_rate: " + cmp.Or(d.Errors, "5%") + ", for: \"${{ bad_for }}\"}\n")
	p.section("close", &d.closing)
	return p.String()
}

// window is when it happens, or how that would be said.
func (d *draft) window() string {
	if d.Opens.IsZero() {
		return "# window: {start: 2026-12-01T22:00Z, length: 1h}\n"
	}
	return fmt.Sprintf("window: {start: %s, length: %s}\n", quote(d.Opens.Format("2006-01-02T15:04Z07:00")), Length(cmp.Or(d.Length, time.Hour)))
}

// approvers are who must sign before the cutover; one person needs no word.
func (d *draft) approvers() string {
	n := max(1, d.Approvers, len(d.Roles))
	if len(d.Roles) == 0 && !d.Second {
		if n == 1 {
			return ""
		}
		return fmt.Sprintf("approvers: %d\n", n)
	}
	var p page
	p.raw(fmt.Sprintf("# Each signs from a login of their own: belay attach, or belay sign RUN.\napprovers:\n  count: %d\n", n))
	if len(d.Roles) > 0 {
		p.raw("  roles:\n")
	}
	for _, r := range d.Roles {
		who := ""
		if len(r.Who) > 0 {
			who = ", who: " + quotes(r.Who)
		}
		p.line("    - {role: %s%s}", r.Name, raw(who))
	}
	if d.Second {
		p.raw("  # Who cuts over is another than who began, answered before, or signed.\n  second_person: true\n")
	}
	return p.String()
}

func (p *page) section(name string, body *page) {
	if body.Len() > 0 {
		p.raw("\n" + name + ":\n" + body.String())
	}
}

func (d *draft) about() string {
	var names []string
	for _, it := range d.items {
		names = append(names, it.Title())
	}
	what := cmp.Or(strings.Join(names, ", "), "nothing yet")
	if d.New == nil {
		return fmt.Sprintf("Upgrade %s on %s, with the way back kept open.", what, d.Old.Name)
	}
	return fmt.Sprintf("Move %s from %s to %s.", what, d.Old.Name, d.New.Name)
}

// move drafts a move between two hosts.
func (d *draft) move() {
	from, to := d.Old.Name, d.New.Name
	d.users()
	for _, it := range d.items {
		switch it.Kind {
		case Compose:
			d.moveCompose(it)
		case Unit:
			d.moveUnit(it)
		case Database:
			d.moveDatabase(it)
		case Files:
			d.bring(it.Name)
		case Cron:
			d.moveCron(it)
		case Timer:
			d.moveTimer(it)
		case Site: // when all directories are there
		default:
			d.moveByHand(it)
		}
	}
	d.moveSites()
	d.reads()
	d.masks()
	d.asksNamed()
	d.nothingForgotten()
	d.compare()
	d.starts()
	d.clients()
	d.unread()
	d.idle()
	d.signoff.raw("  - Everybody who uses this knows when it will be down, and for how long\n  - Somebody who may decide on a rollback can be reached until the end of the soak\n  - check: prepare\n")
	d.soak.note("    ", "It looks at both servers, which takes seconds.")
	d.soak.line("    - step: {id: nothing-is-forgotten, every: \"${{ compare_every }}\"}")
	d.closing.line("  - step: Decide what becomes of %s", from)
	d.closing.line("    manual: %s", fmt.Sprintf("What was moved is stopped on %s, but still there. Keep it until nobody will want to go back from %s, then delete it and its backups.", from, to))
}

// unread tells people at the sign-off of what could not be read: it is in no
// step, and its absence proves nothing.
func (d *draft) unread() {
	if len(d.old.NotWhole) > 0 {
		d.signoff.line("  - %s", fmt.Sprintf("belay could not read all of %s on %s (%s), so this plan may lack some of it; somebody has looked, or has drafted it again",
			strings.Join(d.old.NotWhole, ", "), d.Old.Name, "belay inspect "+d.Old.Name+" says why"))
	}
}

// nothingForgotten holds the new host against the old one, from prepare to the
// end of the soak. What stays behind on purpose is named.
func (d *draft) nothingForgotten() {
	p := &d.prepare
	p.raw("  - step: Nothing is forgotten\n    why: What the old server has and the new one lacks is named now, and again while the soak lasts.\n    inspect.compare:\n")
	p.line("      old: %s", d.Old.Name)
	p.line("      new: %s", d.New.Name)
	p.raw("      # There are unit, environment, certificate, mount and package, too.\n      areas: [port, job, user]\n      moving: [port]\n")
	var ignore, named []string
	add := func(area, key, why string) {
		if !slices.Contains(named, area+key) {
			named = append(named, area+key)
			ignore = append(ignore, fmt.Sprintf("        - {area: %s, key: %s, why: %s}\n", area, quote(strings.ReplaceAll(key, "*", "?")), quote(why)))
		}
	}
	for _, j := range d.old.Jobs {
		if slices.Contains(d.jobs, j.Where) {
			add("job", jobKey(j), "it comes with the cutover")
		}
	}
	for _, u := range d.old.Users {
		if shell := path.Base(u.Shell); (shell == "nologin" || shell == "false") && !d.runsAs(u.Name) { // a person's login is missed
			add("user", u.Name, "nothing that this plan moves runs as this login")
		}
	}
	for _, it := range d.left {
		for _, j := range it.Jobs {
			if !slices.Contains(d.jobs, j.Where) {
				add("job", jobKey(j), "it stays where it is")
			}
		}
		for _, l := range it.ports() {
			if !slices.ContainsFunc(it.Programs, func(g *inspect.Program) bool { return d.moves(g, l) }) {
				add("port", fmt.Sprintf("%s %d", l.Proto, l.Port), it.Title()+" stays where it is")
			}
		}
	}
	for _, g := range d.old.Programs {
		for _, l := range g.Listens {
			if !l.Passing() && !d.moves(g, l) {
				add("port", fmt.Sprintf("%s %d", l.Proto, l.Port), g.Name+" is not moved by this plan")
			}
		}
	}
	if len(ignore) > 0 {
		p.raw("      ignore:\n" + strings.Join(ignore, ""))
	}
}

// moves tells whether what a program serves at a port moves.
func (d *draft) moves(g *inspect.Program, l inspect.Listen) bool {
	return slices.ContainsFunc(d.items, func(it Item) bool {
		return slices.Contains(it.Programs, g) && (it.Kind != Site || sitePorts(it.Sites)[l.Port])
	})
}

// bring copies a directory while the old side lives, and what changed since
// once it is stopped.
func (d *draft) bring(dir string) {
	if slices.ContainsFunc(d.brought, func(b string) bool { return dir == b || strings.HasPrefix(dir, b+"/") }) {
		return
	}
	d.brought = append(d.brought, dir)
	if server := d.dataOf(dir); server != "" {
		d.signoff.line("  - %s", fmt.Sprintf("%s, where %s keeps its data, is not copied as files; what else is in it will not be missed on %s", dir, server, d.New.Name))
		return
	}
	d.synced = append(d.synced, dir)
	from, to := d.Old.Name, d.New.Name
	d.prepare.line("  - step: %s", "Copy "+dir)
	d.prepare.line("    files.sync: {from: {host: %s, path: %s}, to: {host: %s, path: %s}, live: true}", from, dir, to, dir)
	d.cutover.line("  - step: %s", "Copy what changed in "+dir)
	d.cutover.line("    files.sync: {from: {host: %s, path: %s}, to: {host: %s, path: %s}, delta: true, delete: true}", from, dir, to, dir)
	d.pairs.line("        - name: %s", dir)
	d.pairs.line("          files: {old: {host: %s, path: %s}, new: {host: %s, path: %s}}", from, dir, to, dir)
}

// bringFile copies one file.
func (d *draft) bringFile(p *page, file string) {
	if slices.Contains(d.brought, file) || slices.ContainsFunc(d.synced, func(dir string) bool { return strings.HasPrefix(file, dir+"/") }) {
		return
	}
	d.brought = append(d.brought, file)
	p.line("  - step: %s", "Copy "+file)
	p.line("    on: %s", d.New.Name)
	p.line("    files.copy: {host: %s, from: %s, to: %s}", d.Old.Name, file, file)
}

// leave tells people at the sign-off of what the draft does not bring.
func (d *draft) leave(what, of string) {
	switch {
	case slices.Contains(d.brought, what), what == "/etc/localtime", what == "/etc/timezone", strings.HasSuffix(what, ".sock"), !path.IsAbs(what):
		return
	}
	for _, own := range []string{"/proc", "/sys", "/dev", "/run", "/var/run", "/tmp", "/usr/lib", "/usr/share", "/lib", "/usr/bin", "/usr/sbin", "/bin", "/sbin", "/var/log"} {
		if what == own || strings.HasPrefix(what, own+"/") {
			return
		}
	}
	d.brought = append(d.brought, what)
	d.signoff.line("  - %s", fmt.Sprintf("%s of %s is not copied by this plan, and will not be missed on %s", what, of, d.New.Name))
}

// compare proves both sides equal, once the old one is stopped.
func (d *draft) compare() {
	if d.pairs.Len() == 0 {
		return
	}
	d.cutover.raw("  - step: Prove old and new equal\n    why: The old side is stopped, and what differs now would be lost.\n    compare:\n      pairs:\n" + d.pairs.String())
}

// watchPorts waits for the ports of what was started, and watches them.
func (d *draft) watchPorts(it Item) {
	for _, l := range it.ports() {
		if l.Proto != "tcp" || slices.Contains(d.ports, l.Port) || it.Kind == Site && !it.atLoopback(l.Port) {
			continue
		}
		d.ports = append(d.ports, l.Port)
		addr := fmt.Sprintf("127.0.0.1:%d", l.Port)
		d.cutover.line("  - step: %s", fmt.Sprintf("Port %d answers on %s", l.Port, d.New.Name))
		d.cutover.line("    wait: {for: {tcp: {on: %s, addr: %s}}, timeout: 2m}", d.New.Name, addr)
		d.soak.line("    - tcp: {on: %s, addr: %s, every: \"${{ look_every }}\"}", d.New.Name, addr)
	}
}

// freePorts asks, before anything is changed, that the ports are free.
func (d *draft) freePorts(it Item) {
	for _, l := range it.ports() {
		if l.Proto == "tcp" {
			d.assess.line("  - port: {on: %s, port: %d, free: true}", d.New.Name, l.Port)
		}
	}
}

// under cuts a path down to the directory that belongs to one application: the
// third level of /var/lib/shop/data, the second of /opt/shop/bin. "" for a path
// that is the system's.
func under(p string) string {
	p = path.Clean(p)
	for _, own := range []string{"docker", "containerd", "systemd", "dpkg", "apt"} {
		if p == "/var/lib/"+own || strings.HasPrefix(p, "/var/lib/"+own+"/") {
			return ""
		}
	}
	for root, depth := range map[string]int{"/opt": 2, "/srv": 2, "/var/lib": 3, "/var/www": 3, "/home": 3, "/root": 2, "/data": 2, "/usr/local/lib": 4, "/usr/local/share": 4} {
		if !strings.HasPrefix(p, root+"/") {
			continue
		}
		parts := strings.Split(strings.TrimPrefix(p, "/"), "/")
		if len(parts) >= depth && !keeps(p) {
			return "/" + strings.Join(parts[:depth], "/")
		}
	}
	return ""
}

// keyDirs are where logins keep what opens other doors: on another server it is
// no program's, and takes the place of who may log in there.
var keyDirs = regexp.MustCompile(`^(/root|/home/[^/]+)/\.(ssh|gnupg|aws|azure|kube|docker|config|pki|password-store)(/|$)`)

// keeps tells a path in a login's keys.
func keeps(p string) bool { return keyDirs.MatchString(path.Clean(p)) }

// often is how often to look in a soak: every so long, and in a short one often
// enough for a verdict.
func often(soak, every time.Duration) string {
	return Length(max(min(every, (soak/10).Truncate(time.Second)), time.Second))
}
