package checks

import (
	"context"
	"strings"
)

// standing is a check that every host gets, whatever the plan says. judge sees
// the facts of one host and returns at least one finding.
type standing struct {
	name  string
	judge func(f *Facts) []Finding
}

// Standing returns the checks that every host gets: "reachable", "system",
// "rights", "disk-space", "root-file-system", "memory", "load", "time",
// "reboot", and "same-machine", which is about pairs of hosts.
func Standing() []Check {
	return []Check{
		reachable{}, sameMachine{},
		standing{"system", judgeSystem},
		standing{"rights", judgeRights},
		standing{"disk-space", judgeDiskSpace},
		standing{"root-file-system", judgeRootFS},
		standing{"memory", judgeMemory},
		standing{"load", judgeLoad},
		standing{"time", judgeTime},
		standing{"reboot", judgeReboot},
	}
}

func (standing) NeedsFacts() bool { return true }

// Assess gives at least one finding for every host of the plan.
func (s standing) Assess(_ context.Context, w World) ([]Finding, error) {
	var all []Finding
	for _, name := range w.names(nil) {
		f := w.Facts[name]
		if why, no := w.shut(name); no {
			all = append(all, why.about(s.name, name, ""))
			continue
		}
		if f == nil {
			all = append(all, unknown("re-check", "not judged: there are no facts of host %s", name).about(s.name, name, ""))
			continue
		}
		for _, found := range s.judge(f) {
			all = append(all, found.about(s.name, name, found.Key))
		}
	}
	return all, nil
}

// lacking is the verdict of a judge whose reading is missing.
func lacking(f *Facts, fact string) ([]Finding, bool) {
	why, lacks := f.Lacks(fact)
	if !lacks {
		return nil, false
	}
	return []Finding{notRead(fact, why)}, true
}

func notRead(fact, why string) Finding {
	return unknown("mend what is missing there, then re-check; or look yourself", "%s could not be read: %s", fact, why)
}

func judgeSystem(f *Facts) []Finding {
	if all, lacks := lacking(f, "os"); lacks {
		return all
	}
	name := f.OS.Name
	if name == "" {
		name = f.OS.ID
	}
	system := firstWord(f.OS.Kernel)
	switch {
	case system == "":
		return []Finding{unknown("look at `uname -s` there", "the operating system is not known")}
	case system != "Linux":
		return []Finding{block("take this host out of the plan: belay works on Linux hosts", "the operating system is %s, not Linux", system)}
	case name == "":
		return []Finding{pass("%s on %s; the distribution is not known", f.OS.Kernel, f.OS.Arch)}
	}
	return []Finding{pass("%s, %s on %s", name, f.OS.Kernel, f.OS.Arch)}
}

func judgeRights(f *Facts) []Finding {
	const fix = "log in as root, or let the user run sudo, unless no step of the plan needs root"
	if why, lacks := f.Lacks("identity"); lacks || f.User == "" && !f.Root {
		return []Finding{unknown("look at `id` there", "who we are there is not known %s", why)}
	}
	if f.Root {
		return []Finding{pass("we work there as root")}
	}
	_, sudo := f.Tools["sudo"]
	if _, lacks := f.Lacks("tools"); lacks && !sudo {
		return []Finding{unknown(fix, "we are user %s there, and whether sudo is installed is not known", f.User)}
	}
	if !sudo {
		return []Finding{warn(fix, "we are user %s there, not root, and sudo is not installed", f.User)}
	}
	groups := ""
	if len(f.Groups) > 0 {
		groups = " (groups: " + strings.Join(f.Groups, ", ") + ")"
	}
	return []Finding{pass("we are user %s there%s, and sudo is installed", f.User, groups)}
}

func judgeReboot(f *Facts) []Finding {
	if all, lacks := lacking(f, "os"); lacks {
		return all
	}
	if f.Reboot == "" {
		return []Finding{pass("the system does not ask to be restarted")}
	}
	return []Finding{warn("restart it before the window, or accept that it may be restarted during soak",
		"the system asks to be restarted (%s)", f.Reboot)}
}
