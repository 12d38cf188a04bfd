package draft

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"belay/checks/inspect"
)

// jobItems are the crontabs, files of /etc/cron.d and timers that are people's
// own.
func jobItems(h *inspect.Host) (all []*Item) {
	byFile := map[string]*Item{}
	for _, j := range h.Jobs {
		it := &Item{Kind: Cron, Name: j.Where}
		switch {
		case j.Kind == "timer" && len(ownUnits(j)) > 0:
			it = &Item{Kind: Timer, Name: j.Where, Advised: true}
		case j.Kind == "timer", j.Where == "/etc/crontab":
			continue
		case strings.HasPrefix(j.Where, "/etc/cron.") && j.Package == "-":
			it.Advised = true
		case strings.HasPrefix(j.Where, "/etc/cron.") && j.Package != "":
			continue
		case !strings.HasPrefix(j.Where, "/etc/cron.d/"):
			if !loginText.MatchString(j.User) {
				continue
			}
			it.Name, it.Advised = "crontab of "+j.User, true
		case systemJob(j):
			continue
		}
		key := it.Kind + " " + it.Name
		if byFile[key] == nil {
			byFile[key], all = it, append(all, it)
		}
		byFile[key].Jobs = append(byFile[key].Jobs, j)
	}
	return all
}

// systemJob tells the files that packages of the system put into /etc/cron.d.
func systemJob(j inspect.Job) bool {
	switch path.Base(j.Where) {
	case "e2scrub_all", "sysstat", "php", "mdadm", "popularity-contest", "anacron", "zfsutils-linux", "certbot", "debsecan", "ntpsec", "atop":
		return true
	}
	return false
}

// ownUnits are the files of a timer and what it starts that somebody wrote for
// this host; none for a timer that came with a package.
func ownUnits(j inspect.Job) (all []string) {
	for i, f := range j.Units {
		if strings.HasPrefix(f, "/etc/systemd/system/") {
			all = append(all, f)
		} else if i == 0 {
			return nil
		}
	}
	return all
}

// timed tells a unit that a timer of the host's own starts.
func timed(h *inspect.Host, p *inspect.Program) bool {
	return slices.ContainsFunc(h.Jobs, func(j inspect.Job) bool {
		return j.Kind == "timer" && slices.Contains(p.Triggers, j.Where) && len(ownUnits(j)) > 0
	})
}

// fileItems are directories that programs show or work in, but that no item
// that can be moved whole has.
func fileItems(h *inspect.Host) (all []*Item) {
	add := func(dir string, advised bool) {
		if dir = under(dir); dir != "" && path.Ext(dir) == "" && !slices.ContainsFunc(all, func(it *Item) bool { return it.Name == dir }) {
			all = append(all, &Item{Kind: Files, Name: dir, Advised: advised})
		}
	}
	for _, p := range h.Programs {
		for _, s := range p.Sites {
			add(s.Root, true)
		}
		for _, f := range p.NginxFiles {
			for _, dir := range f.Dirs {
				add(dir, true)
			}
		}
		if p.Kind == inspect.KindTmux || p.Kind == inspect.KindProcess && serves(p) && !system(p) {
			for _, pr := range p.Processes {
				add(pr.Dir, false)
			}
		}
	}
	return all
}

func (i Item) jobSays() string {
	if i.Kind == Timer {
		return fmt.Sprintf("timer %s: %s", i.Name, i.Jobs[0].When)
	}
	n := "1 line"
	if len(i.Jobs) > 1 {
		n = fmt.Sprintf("%d lines", len(i.Jobs))
	}
	return i.Name + ", " + n
}

// jobKey is how inspect.Diff names a job.
func jobKey(j inspect.Job) string {
	if j.Kind == "timer" {
		return "timer " + j.Where
	}
	return fmt.Sprintf("%s: %s %s", j.User, j.When, j.Command)
}

// moveCron takes jobs away from the old host before anything is stopped there,
// and gives them to the new one when everything runs: they must not run on
// both, nor where what they work on is not there yet.
func (d *draft) moveCron(it Item) {
	for _, j := range it.Jobs {
		d.bringCalled(j.Command)
	}
	if where := it.Jobs[0].Where; strings.HasPrefix(where, "/etc/cron.") {
		d.moveJob(where)
	} else {
		d.moveCrontab(it.Jobs[0].User, where)
	}
}

// moveJob moves a file of cron.
func (d *draft) moveJob(f string) {
	if slices.Contains(d.brought, f) {
		return
	}
	d.brought, d.jobs = append(d.brought, f), append(d.jobs, f)
	d.takes.line("  - step: %s", fmt.Sprintf("Take %s away on %s", f, d.Old.Name))
	d.takes.line("    on: %s", d.Old.Name)
	d.takes.line("    cron.take: {file: %s, wait: 10m}   # jobs that run may end", f)
	d.gives.line("  - step: %s", fmt.Sprintf("Give %s to %s", f, d.New.Name))
	d.gives.line("    on: %s", d.New.Name)
	d.gives.line("    cron.give: {file: %s, from: %s}", f, d.Old.Name)
}

// moveCrontab moves the crontab of a user.
func (d *draft) moveCrontab(user, where string) {
	from, to := d.Old.Name, d.New.Name
	d.jobs = append(d.jobs, where)
	if slices.ContainsFunc(d.new.Jobs, func(j inspect.Job) bool {
		return j.Kind == "cron" && j.User == user && !strings.HasPrefix(j.Where, "/etc/cron.") && j.Where != "/etc/crontab"
	}) {
		d.gives.note("  ", fmt.Sprintf("%s has a crontab on %s already: it is replaced. Merge both beforehand if that is not meant.", user, to))
	}
	d.takes.line("  - step: %s", fmt.Sprintf("Take the crontab of %s away on %s", user, from))
	d.takes.line("    on: %s", from)
	d.takes.line("    cron.take: {user: %s, wait: 10m}   # jobs that run may end", user)
	d.gives.line("  - step: %s", fmt.Sprintf("Give the crontab of %s to %s", user, to))
	d.gives.line("    on: %s", to)
	d.gives.line("    cron.give: {user: %s, from: %s}", user, from)
}

// moveTimer copies a timer and what it starts while the old one still runs; the
// cutover stops the old one before it starts the new one.
func (d *draft) moveTimer(it Item) {
	j := it.Jobs[0]
	from, to := d.Old.Name, d.New.Name
	d.jobs = append(d.jobs, j.Where)
	d.takes.line("  - step: %s", fmt.Sprintf("Stop %s on %s", it.Name, from))
	d.takes.line("    on: %s", from)
	d.takes.line("    timer.take: {name: %s, wait: 10m}   # what it started may end", it.Name)
	if _, command, ok := strings.Cut(j.Command, ": "); ok {
		d.bringCalled(command)
	}
	for _, dir := range d.dirsOf(j.Dirs, it.Name) {
		d.bring(dir)
	}
	for _, f := range append(slices.Clone(j.EnvFiles), ownUnits(j)...) {
		switch dir := under(f); {
		case ofSystem(f):
			d.leaveToSystem(f, it.Name)
		case dir != "" && dir != path.Clean(f):
			d.bring(dir)
		default:
			d.bringFile(&d.prepare, f)
		}
	}
	d.units = append(d.units, it.Name)
	d.gives.line("  - step: %s", fmt.Sprintf("Start %s on %s", it.Name, to))
	d.gives.line("    on: %s", to)
	d.gives.line("    timer.give: {name: %s, from: %s, enabled: %s}", it.Name, from, atBoot(j.Enabled))
}

// bringCalled brings the program that a job calls, where it is people's own,
// and asks people about other files that it names.
func (d *draft) bringCalled(command string) {
	for i, w := range strings.Fields(command) {
		w = strings.Trim(w, `"';`)
		if !path.IsAbs(w) {
			continue
		}
		// What anybody may write into their crontab says where root copies to:
		// /usr/local/../../etc/shadow is not under /usr/local.
		w = path.Clean(w)
		switch dir := under(w); {
		case keeps(w):
			d.named = append(d.named, w)
		case dir == "" && !strings.HasPrefix(w, "/usr/local/"):
		case i > 0:
			d.named = append(d.named, w)
		case dir != "" && dir != w:
			d.bring(dir)
		default:
			d.bringFile(&d.prepare, w)
		}
	}
}

// asksNamed tells people at the sign-off of files that jobs name and that no
// step brings.
func (d *draft) asksNamed() {
	for _, w := range once(d.named) {
		if !slices.ContainsFunc(d.brought, func(b string) bool { return w == b || strings.HasPrefix(w, b+"/") }) {
			d.signoff.line("  - %s", fmt.Sprintf("%s, which a job names, is on %s or will not be missed there", w, d.New.Name))
		}
	}
}
