package draft

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"belay/checks/inspect"
	"belay/remote"
)

// users makes the logins that the moved programs and jobs run as, with their
// numbers and groups. Those that others are members of come first.
func (d *draft) users() {
	have := map[string]bool{}
	for _, u := range append(slices.Clone(d.new.Users), d.new.Accounts...) {
		have[u.Name] = true
	}
	all := slices.Clone(d.old.Users)
	slices.SortStableFunc(all, func(a, b inspect.User) int { return cmp.Compare(len(a.Groups), len(b.Groups)) })
	for _, u := range all {
		if !have[u.Name] && u.UID != 0 && d.runsAs(u.Name) && loginText.MatchString(u.Name) {
			d.login(u)
		}
	}
}

func (d *draft) login(u inspect.User) {
	d.prepare.line("  - step: %s", "Make the login "+u.Name)
	d.prepare.line("    on: %s", d.New.Name)
	d.prepare.raw("    run:\n")
	name, home := remote.Quote(u.Name), remote.Quote(u.Home)
	script, undo := "", fmt.Sprintf("! id -u %s >/dev/null 2>&1 || userdel %s", name, name)
	group := ""
	if loginText.MatchString(u.Group) {
		group = " --gid " + remote.Quote(u.Group)
		script = fmt.Sprintf("getent group %[1]s >/dev/null || groupadd --gid %[2]d %[1]s; ", remote.Quote(u.Group), u.GID)
	}
	script += fmt.Sprintf("useradd --uid %d%s --no-create-home --home-dir %s --shell %s %s", u.UID, group, home, remote.Quote(u.Shell), name)
	for _, g := range u.Groups {
		if loginText.MatchString(g) {
			script += fmt.Sprintf(" && { ! getent group %[1]s >/dev/null || usermod --append --groups %[1]s %[2]s; }", remote.Quote(g), name)
		}
	}
	if strings.HasPrefix(u.Home, "/home/") { // cron and systemd begin a job there
		script += fmt.Sprintf(" && { [ -e %[1]s ] || { mkdir -p %[1]s && chown %[2]s: %[1]s && chmod 700 %[1]s; }; }", home, name)
		undo += fmt.Sprintf("; rmdir %s 2>/dev/null || :", home)
		d.leave(u.Home, u.Name)
	}
	d.prepare.line("      script: %s", script)
	d.prepare.line("      pending: %s", fmt.Sprintf("id -u %s >/dev/null 2>&1 || echo 'make the login %s'", name, u.Name))
	d.prepare.line("      verify: %s", fmt.Sprintf("[ \"$(id -u %s)\" = %d ]", name, u.UID))
	d.prepare.line("      undo: %s", undo)
}

func (d *draft) runsAs(user string) bool {
	for _, it := range d.items {
		if slices.ContainsFunc(it.Jobs, func(j inspect.Job) bool { return j.User == user }) {
			return true
		}
		for _, p := range it.Programs {
			if it.Kind == Unit && (p.RunsAs == user || slices.ContainsFunc(p.Processes, func(pr inspect.Process) bool { return pr.User == user })) {
				return true
			}
		}
	}
	return false
}

// homeOf is where a login of the old host is at home, if that is an
// application's directory and not a person's.
func (d *draft) homeOf(user string) string {
	for _, u := range d.old.Users {
		if u.Name == user && u.UID != 0 && !strings.HasPrefix(u.Home, "/home/") && under(u.Home) == u.Home {
			return u.Home
		}
	}
	return ""
}

// reads has systemd read the units that were copied.
func (d *draft) reads() {
	if len(d.units) == 0 {
		return
	}
	d.prepare.raw("  - step: Make systemd read what was copied\n")
	d.prepare.line("    on: %s", d.New.Name)
	d.prepare.line("    run: {script: systemctl daemon-reload, repeatable: %s, verify: %s, undo: systemctl daemon-reload}", raw("true"), "systemctl cat -- "+remote.Quote(once(d.units)...)+" >/dev/null")
}

// masks keeps masked on the new host what somebody has masked on the old one.
func (d *draft) masks() {
	for _, u := range d.old.Units {
		i := slices.IndexFunc(d.new.Units, func(o inspect.Unit) bool { return o.Name == u.Name })
		if u.Enabled != "masked" || i < 0 || d.new.Units[i].Enabled == "masked" {
			continue
		}
		if strings.HasPrefix(d.new.Units[i].State, "active") { // it may be what keeps that server on the net
			d.signoff.line("  - %s", fmt.Sprintf("%s is masked on %s, but runs on %s; somebody has decided whether it shall go on there", u.Name, d.Old.Name, d.New.Name))
			continue
		}
		name, undo := remote.Quote(u.Name), "systemctl unmask -- "+remote.Quote(u.Name)
		d.prepare.line("  - step: %s", fmt.Sprintf("Mask %s on %s, too", u.Name, d.New.Name))
		d.prepare.line("    why: %s", fmt.Sprintf("Somebody has masked it on %s, so that nothing can start it.", d.Old.Name))
		d.prepare.line("    on: %s", d.New.Name)
		d.prepare.raw("    run:\n      repeatable: true\n")
		d.prepare.line("      script: %s", "systemctl mask -- "+name)
		d.prepare.line("      pending: %s", fmt.Sprintf("[ \"$(systemctl is-enabled -- %s 2>/dev/null)\" = masked ] || echo %s", name, remote.Quote("mask "+u.Name)))
		d.prepare.line("      verify: %s", fmt.Sprintf("[ \"$(systemctl is-enabled -- %s 2>/dev/null)\" = masked ]", name))
		d.prepare.line("      undo: %s", undo)
	}
}

// atBoot is what a unit's step says of the start at boot: as the old host has it.
func atBoot(enabled string) raw {
	if enabled == "" || enabled == "enabled" || enabled == "enabled-runtime" {
		return "true"
	}
	return "keep"
}
