package draft

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"belay/checks/inspect"
	"belay/remote"
)

// moveCompose brings a project's directory, images, binds and volumes.
func (d *draft) moveCompose(it Item) {
	from, to := d.Old.Name, d.New.Name
	c := it.Programs[0].Container
	d.freePorts(it)
	d.assess.line("  - tool: {on: %s, name: docker}", to)
	var images, volumes, binds []string
	for _, p := range it.Programs {
		if image := p.Container.Image; image != "" && !strings.HasPrefix(image, "sha256:") {
			images = append(images, image)
		}
		for _, m := range p.Mounts {
			switch dir := path.Clean(m.Source); {
			case m.Type == "volume":
				volumes = append(volumes, m.Source)
			case m.Type != "bind" || dir == c.Dir || strings.HasPrefix(dir, c.Dir+"/"):
			case under(dir) != "" && path.Ext(dir) == "":
				binds = append(binds, dir)
			default:
				d.leave(dir, it.Name)
			}
		}
	}
	d.stops.line("  - step: %s", fmt.Sprintf("Stop %s on %s", it.Name, from))
	d.stops.line("    why: %s", "Whatever is written from here on would be missing on "+to)
	d.stops.line("    on: %s", from)
	d.stops.line("    compose.down: {dir: %s, project: %s%s}", c.Dir, it.Name, inline("file", configs(c)))
	if home(c.Dir) {
		d.prepare.line("  - step: %s", "Bring the files of "+it.Name)
		d.prepare.line("    manual: %s", fmt.Sprintf("Copy what %s needs of %s from %s to %s. belay does not copy all of it: it is a home, or a directory of the system. A directory of its own, such as /opt/%s, would let the plan do it.", it.Name, c.Dir, from, to, it.Name))
	} else {
		d.bring(c.Dir)
	}
	for _, dir := range once(binds) {
		d.bring(dir)
	}
	for _, image := range once(images) {
		if slices.Contains(d.brought, image) {
			continue
		}
		d.brought = append(d.brought, image)
		d.prepare.line("  - step: %s", "Bring the image "+image)
		d.prepare.line("    on: %s", to)
		d.prepare.line("    docker.image: {image: %s, from: %s}", image, from)
	}
	for _, v := range once(volumes) {
		d.cutover.line("  - step: %s", "Copy the volume "+v)
		d.cutover.line("    on: %s", to)
		d.cutover.line("    docker.volume: {volume: %s, from: %s}", v, from)
	}
}

// home tells a directory that is not one application's own: somebody's home,
// with keys in it, is not to be made like another one.
func home(dir string) bool {
	dir = path.Clean(dir)
	switch parent := path.Dir(dir); parent {
	case "/", "/home":
		return true
	}
	return strings.HasPrefix(dir, "/etc") || strings.HasPrefix(dir, "/var/lib/docker")
}

// configs are the compose files, where Compose would not find them by itself.
func configs(c *inspect.Container) (all []string) {
	for _, f := range c.Config {
		rel := strings.TrimPrefix(f, c.Dir+"/")
		switch rel {
		case "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml":
		default:
			all = append(all, rel)
		}
	}
	if len(all) > 0 && len(all) < len(c.Config) { // all or none: their order counts
		all = nil
		for _, f := range c.Config {
			all = append(all, strings.TrimPrefix(f, c.Dir+"/"))
		}
	}
	return all
}

func inline(key string, all []string) raw {
	if len(all) == 0 {
		return ""
	}
	return raw(", " + key + ": " + quotes(all))
}

// raw is text that line does not quote.
type raw string

func once(all []string) []string { slices.Sort(all); return slices.Compact(all) }

// moveUnit brings what a unit of the host's own has: its file, its program,
// its directories and environment files, its jobs.
func (d *draft) moveUnit(it Item) {
	p := it.Programs[0]
	d.freePorts(it)
	var dirs, files, jobs []string
	take := func(file string) {
		switch dir := under(file); {
		case ofSystem(file):
			d.leaveToSystem(file, it.Name)
		case dir != "" && dir != path.Clean(file):
			dirs = append(dirs, dir)
		case dir != "" || strings.HasPrefix(file, "/etc/") || strings.HasPrefix(file, "/usr/local/"):
			files = append(files, file)
		default:
			d.leave(file, it.Name)
		}
	}
	for _, pr := range p.Processes {
		if pr.Package == "-" || pr.Package == "" {
			take(pr.Exe)
		}
		if pr.Dir != "" && under(pr.Dir) != "" {
			dirs = append(dirs, under(pr.Dir))
		} else if keeps(pr.Dir) {
			d.leave(path.Clean(pr.Dir), it.Name)
		}
	}
	for _, f := range p.Files {
		if f.Use == "config" || f.Use == "written" {
			take(f.Path)
		}
	}
	for _, f := range append(append(slices.Clone(p.EnvFiles), p.Unit), p.DropIns...) {
		take(f)
	}
	for _, s := range p.Starters {
		files = append(files, s.Files...)
	}
	d.stopUnit(it)
	dirs = append(dirs, d.dirsOf(p.Dirs, it.Name)...)
	if dir := under(d.homeOf(p.RunsAs)); dir != "" {
		dirs = append(dirs, dir)
	}
	dirs, files = d.scripts(p.Exec, dirs, files)
	for _, j := range p.Jobs {
		if j < len(d.old.Jobs) && strings.HasPrefix(d.old.Jobs[j].Where, "/etc/cron.d/") {
			jobs = append(jobs, d.old.Jobs[j].Where)
		}
	}
	for _, dir := range once(dirs) {
		d.bring(dir)
	}
	for _, f := range once(files) {
		d.bringFile(&d.prepare, f)
	}
	for _, f := range once(jobs) {
		d.moveJob(f)
	}
	d.units = append(d.units, it.Name)
}

// stopUnit stops a unit on the old host; what starts it goes first.
func (d *draft) stopUnit(it Item) {
	p, from := it.Programs[0], d.Old.Name
	for _, s := range p.Starters {
		d.units = append(d.units, s.Name)
		d.stops.line("  - step: %s", fmt.Sprintf("Stop %s on %s", s.Name, from))
		d.stops.line("    on: %s", from)
		d.stops.line("    service: {name: %s, state: stopped, enabled: %s}", s.Name, raw("false"))
	}
	d.stops.line("  - step: %s", fmt.Sprintf("Stop %s on %s", it.Name, from))
	d.stops.line("    on: %s", from)
	d.stops.line("    service: {name: %s, state: stopped, enabled: %s}", it.Name, raw("false"))
	if len(p.Starters) > 0 { // it cannot run without the socket, which is undone after it
		back, names := "systemctl start --", []string{}
		for _, s := range p.Starters {
			names = append(names, s.Name)
		}
		if p.Enabled == "enabled" {
			back = "systemctl enable -- " + remote.Quote(it.Name) + " && " + back
		}
		d.stops.line("    undo: {run: %s}", back+" "+remote.Quote(append(names, it.Name)...))
	}
}

// ownConfig is a ConfigurationDirectory= of a unit's own.
var ownConfig = regexp.MustCompile(`^/etc/[A-Za-z0-9][A-Za-z0-9._-]*$`)

// dirsOf are the directories that systemd makes for a unit, or has it work in,
// and that come along; of others people are told.
func (d *draft) dirsOf(all []string, of string) (dirs []string) {
	for _, dir := range all {
		dir = path.Clean(dir)
		switch own := under(dir); {
		case own != "":
			dirs = append(dirs, own)
		case ownConfig.MatchString(dir) && !ofSystem(dir) && !slices.Contains(sharedDirs, path.Base(dir)) && !slices.ContainsFunc(d.brought, func(f string) bool { return strings.HasPrefix(f, dir+"/") }):
			dirs = append(dirs, dir)
		case dir != "/" && !ofSystem(dir):
			d.leave(dir, of)
		}
	}
	return dirs
}

// scripts adds the programs that an interpreter is started with, as in
// /usr/bin/python3 /opt/shop/serve.py.
func (d *draft) scripts(exec string, dirs, files []string) (moreDirs, moreFiles []string) {
	for _, command := range strings.Split(exec, " ; ") {
		words := strings.Fields(command)
		for i, w := range words {
			if w = path.Clean(strings.Trim(w, `"';`)); i > 2 || !path.IsAbs(w) {
				continue
			}
			switch dir := under(w); {
			case dir != "" && dir != w:
				dirs = append(dirs, dir)
			case dir != "" || strings.HasPrefix(w, "/usr/local/"):
				files = append(files, w)
			}
		}
	}
	return dirs, files
}

// moveByHand asks people, who are the only ones that know.
func (d *draft) moveByHand(it Item) {
	args := ""
	for _, p := range it.Programs {
		for _, pr := range p.Processes {
			if args == "" {
				args = fmt.Sprintf(" It runs as %s in %s: %s.", pr.User, pr.Dir, strings.Join(strings.Fields(pr.Args), " "))
			}
		}
	}
	d.prepare.line("  - step: %s", fmt.Sprintf("Prepare %s on %s", it.Name, d.New.Name))
	d.prepare.line("    manual: %s", fmt.Sprintf("belay does not know how %s is installed and started.%s Install it on %s, without starting it, and replace this step and those of the cutover by what you did.", it.Name, args, d.New.Name))
	d.stops.line("  - step: %s", fmt.Sprintf("Stop %s on %s", it.Name, d.Old.Name))
	d.stops.line("    manual: %s", fmt.Sprintf("Stop %s on %s.", it.Name, d.Old.Name))
	d.stops.line("    undo: {manual: %s}", fmt.Sprintf("Start %s on %s again.", it.Name, d.Old.Name))
}

// starts starts everything on the new host: databases are up, so programs come
// in the order of the list.
func (d *draft) starts() {
	to := d.New.Name
	for _, it := range d.items {
		switch it.Kind {
		case Compose:
			c := it.Programs[0].Container
			d.cutover.line("  - step: %s", fmt.Sprintf("Start %s on %s", it.Name, to))
			d.cutover.line("    on: %s", to)
			d.cutover.line("    compose.up: {dir: %s, project: %s%s, wait: 5m}", c.Dir, it.Name, inline("file", configs(c)))
		case Unit:
			for _, s := range it.Programs[0].Starters {
				d.cutover.line("  - step: %s", fmt.Sprintf("Start %s on %s", s.Name, to))
				d.cutover.line("    on: %s", to)
				d.cutover.line("    service: {name: %s, enabled: %s}", s.Name, atBoot(s.Enabled))
			}
			d.cutover.line("  - step: %s", fmt.Sprintf("Start %s on %s", it.Name, to))
			d.cutover.line("    on: %s", to)
			d.cutover.line("    service: {name: %s, enabled: %s}", it.Name, atBoot(it.Programs[0].Enabled))
		case ByHand:
			d.cutover.line("  - step: %s", fmt.Sprintf("Start %s on %s", it.Name, to))
			d.cutover.line("    manual: %s", fmt.Sprintf("Start %s on %s.", it.Name, to))
			d.cutover.line("    undo: {manual: %s}", fmt.Sprintf("Stop %s on %s.", it.Name, to))
		default:
			if it.Kind != Site { // the server runs already, or nothing is started
				continue
			}
		}
		d.watchPorts(it)
	}
}

// inPlace drafts an upgrade where everything stays.
func (d *draft) inPlace() {
	at := d.Old.Name
	for _, it := range d.items {
		if it.Kind != Compose {
			d.prepare.line("  - step: %s", "Keep what "+it.Title()+" is made of")
			d.prepare.line("    manual: %s", fmt.Sprintf("Make a backup of %s on %s, and try to restore it. Replace this step by what you did.", it.Title(), at))
			d.cutover.line("  - step: %s", "Upgrade "+it.Title())
			d.cutover.line("    manual: %s", fmt.Sprintf("Upgrade %s on %s.", it.Title(), at))
			d.cutover.line("    undo: {manual: %s}", fmt.Sprintf("Take %s on %s back to what it was.", it.Title(), at))
			continue
		}
		c := it.Programs[0].Container
		d.prepare.line("  - step: %s", "Keep the files of "+it.Name)
		d.prepare.line("    files.archive: {path: %s, to: %s}", c.Dir, "/var/backups/"+it.Name+"-files.tar.gz")
		var volumes []string
		for _, p := range it.Programs {
			for _, m := range p.Mounts {
				if m.Type == "volume" {
					volumes = append(volumes, m.Source)
				}
			}
		}
		d.cutover.line("  - step: %s", "Stop "+it.Name)
		d.cutover.line("    why: %s", "A volume that is written to while it is archived is no backup.")
		d.cutover.line("    compose.down: {dir: %s, project: %s%s}", c.Dir, it.Name, inline("file", configs(c)))
		for _, v := range once(volumes) {
			d.cutover.line("  - step: %s", "Keep the volume "+v)
			archive := "/var/backups/" + v + ".tar.gz"
			d.cutover.line("    docker.volume: {volume: %s, archive: %s}", v, archive)
			// A step of its own: an archive that broke off is never restored.
			d.cutover.line("  - step: %s", "From here on the way back of "+v+" is its archive")
			d.cutover.line("    run: {script: %s, repeatable: %s}", "test -s "+remote.Quote(archive), raw("true"))
			d.cutover.line("    undo: {docker.volume: {volume: %s, restore: %s, replace: %s}}", v, archive, raw("true"))
		}
		d.cutover.note("  ", "Name the new version in the compose file: a files.edit step before this one does it, and takes it back.")
		d.cutover.line("  - step: %s", "Start "+it.Name)
		d.cutover.line("    compose.up: {dir: %s, project: %s%s, wait: 10m}", c.Dir, it.Name, inline("file", configs(c)))
		for _, l := range it.ports() {
			if l.Proto == "tcp" {
				d.soak.line("    - tcp: {on: %s, addr: %s, every: \"${{ look_every }}\"}", at, fmt.Sprintf("127.0.0.1:%d", l.Port))
			}
		}
	}
	d.signoff.raw("  - Somebody has read the release notes of the new version\n  - Everybody who uses this knows when it will be down, and for how long\n  - check: prepare\n")
	if d.soak.Len() == 0 {
		d.soak.line("    - disk: {on: %s, free: 1GiB, every: \"${{ look_every }}\"}", at)
	}
}
