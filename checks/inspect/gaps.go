package inspect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The parts of Host that Diff compares, and that may be not whole.
const (
	AreaPorts        = "port"
	AreaUnits        = "unit"
	AreaCron         = "job"
	AreaUsers        = "user"
	AreaMounts       = "mount"
	AreaCertificates = "certificate"
	AreaEnvironment  = "environment"
	AreaPackages     = "package"
)

// areaOf names the area that suffers when a reading is missing.
var areaOf = map[string][]string{
	"second": {AreaUnits, AreaCertificates, AreaEnvironment, AreaPackages},
	"ports":  {AreaPorts}, "docker": {AreaPorts}, "containers": {AreaPorts, AreaEnvironment}, "units": {AreaUnits, AreaEnvironment}, "cron": {AreaCron},
	"users": {AreaUsers}, "disks": {AreaMounts}, "certs": {AreaCertificates}, "nginx": {AreaCertificates},
	"environ": {AreaEnvironment}, "dirs": {AreaEnvironment}, "packages": {AreaPackages}, "procs": {AreaEnvironment},
}

func (b *builder) notWhole(areas ...string) {
	for _, a := range areas {
		if !slices.Contains(b.h.NotWhole, a) {
			b.h.NotWhole = append(b.h.NotWhole, a)
		}
	}
	slices.Sort(b.h.NotWhole)
}

// addGaps tells what is not known, each with what to do about it.
func (b *builder) addGaps() {
	b.missingReadings()
	b.hiddenPorts()
	b.hiddenProcesses()
	b.unreadFiles()
	b.oddPrograms()
	b.oddUnits()
	b.unreadStores()
	slices.SortStableFunc(b.h.Gaps, compareGaps)
}

func (b *builder) gap(do, format string, args ...any) {
	if len(b.h.Gaps) < 300 {
		b.h.Gaps = append(b.h.Gaps, Gap{What: tidy(fmt.Sprintf(format, args...), 300), Do: do})
	}
}

// asRoot is what to do when rights are lacking.
func (b *builder) asRoot() string {
	if b.h.Root {
		return "even root was refused: look at it there by hand"
	}
	return "look again as root: belay inspect --sudo " + b.h.Name
}

func (b *builder) missingReadings() {
	for _, line := range slices.Concat(b.f.Missing, b.r.missing) {
		name, why, _ := strings.Cut(line, ": ")
		reading, _, _ := strings.Cut(name, " ")
		switch {
		case name == "docker (program)", strings.HasPrefix(name, "clock"), strings.HasPrefix(name, "ports (owners)"):
			continue // nothing is lacking, or it is told port by port
		case name == "units" && strings.Contains(why, "not running there"):
			b.notWhole(AreaUnits)
			b.gap("see how programs are started there (an init script, supervisord, a container's entrypoint) and write it down", "systemd does not run there: nothing tells what starts the programs again after a reboot")
			continue
		}
		b.notWhole(areaOf[reading]...)
		switch {
		case strings.Contains(why, "in time"), strings.Contains(why, "does not answer"), strings.Contains(why, "did not answer"), strings.Contains(why, "took too long"):
			b.gap("look again when the host is less busy; if it stays so, look at that part by hand", "%s: %s", name, why)
		case strings.Contains(why, "root"), strings.Contains(why, "permission denied"):
			b.gap(b.asRoot(), "%s: %s", name, why)
		case strings.Contains(why, "more than"):
			b.gap("look at the rest by hand", "%s: %s", name, why)
		default:
			b.gap("look at that part by hand, or install what is missing and look again", "%s: %s", name, why)
		}
	}
}

func (b *builder) hiddenPorts() {
	if b.unknown == nil {
		return
	}
	b.notWhole(AreaPorts)
	for _, l := range b.unknown.Listens {
		do := b.asRoot()
		if b.h.Root {
			do = "it may belong to the kernel (NFS, WireGuard) or to another container: ss -lnp, lsmod"
		}
		b.gap(do, "%s port %d on %s: its process is hidden", l.Proto, l.Port, l.Address)
	}
}

// hiddenProcesses counts what lies behind other users' processes.
func (b *builder) hiddenProcesses() {
	if n := len(b.r.envDenied); n > 0 {
		b.notWhole(AreaEnvironment)
		b.gap(b.asRoot(), "the environment of %s", countOf(n, "process", "processes"))
	}
	if n := len(b.r.openDenied); n > 0 {
		b.gap(b.asRoot(), "the open files of %s", countOf(n, "process", "processes"))
	}
	unseen := 0
	for _, p := range b.byPID {
		// Of one that has ended meanwhile there is nothing at all.
		if r := b.r.procs[p.PID]; r != nil && r.exe == "" {
			unseen++
		}
	}
	if unseen > 0 && len(b.r.procs) > 0 {
		b.gap(b.asRoot(), "the executable and directory of %s", countOf(unseen, "process", "processes"))
	}
	if n := len(b.byPID); n > maxAsked && len(pidsOf(b.f)) == maxAsked {
		b.gap("look at the others by hand where they matter", "files and environment were read of %d of %d processes", maxAsked, n)
	}
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (b *builder) unreadFiles() {
	for _, e := range b.h.EnvFiles {
		if e.Problem != "" {
			b.notWhole(AreaEnvironment)
			b.gap(b.asRoot(), "environment file %s %s", e.Path, e.Problem)
		}
	}
	for _, c := range b.h.Certificates {
		switch {
		case c.Problem == "may not be read":
			b.notWhole(AreaCertificates)
			b.gap(b.asRoot(), "certificate %s %s", c.Path, c.Problem)
		case c.Problem != "":
			b.gap("look at the file: openssl x509 -noout -text -in FILE", "certificate %s %s", c.Path, c.Problem)
		}
	}
	for _, name := range b.r.nginxDenied {
		b.notWhole(AreaCertificates)
		b.gap(b.asRoot(), "nginx configuration %s may not be read", name)
	}
	if len(b.nginx.sites) > 0 && b.nginxProgram() == nil {
		b.gap("start nginx if it should run; else remember that its sites are not served", "nginx has %s configured, but no nginx runs", countOf(len(b.nginx.sites), "site", "sites"))
	}
}

func (b *builder) oddPrograms() {
	for _, p := range b.h.Programs {
		foreign, deleted := false, false
		for _, proc := range p.Processes {
			if proc.Deleted && !deleted && !strings.HasPrefix(proc.Exe, "/memfd:") { // not what was started from memory
				deleted = true
				b.gap("restart it in a quiet hour, or find out which version runs: the file on the disk is another one",
					"%s: its executable %s was replaced or removed since it started (pid %d)", p.Name, proc.Exe, proc.PID)
			}
			if _, err := strconv.Atoi(proc.User); err == nil && p.Kind != KindContainer && !foreign {
				foreign = true
				b.gap("find out who that was, and make the account on the new server too", "%s runs as user id %s, which has no account (pid %d)", p.Name, proc.User, proc.PID)
			}
		}
		if p.Kind == KindProcess && p != b.unknown && len(p.Listens) > 0 && p.Parent == "" && len(b.f.Units) > 0 {
			b.gap("find out how it is started, and write it into the plan: it will not come back by itself", "%s (%s) was started by hand or by something that is gone", p.Name, portsInWords(p))
		}
		if p.Kind == KindContainer && p.Container == nil {
			b.gap("look with that engine's own tools (podman ps, crictl ps)", "container %s does not belong to the Docker engine that belay asked", p.Name)
		}
	}
	for _, p := range b.f.Processes {
		if name := programOf(p.Args); name == "podman" || name == "conmon" || name == "kubelet" || name == "k3s" || name == "lxc-start" {
			b.gap("look with its own tools; belay understands Docker and its Compose", "%s runs: containers of its own are not listed here", name)
			break
		}
	}
}

func (b *builder) oddUnits() {
	for _, u := range b.r.units {
		for _, file := range u.gone {
			b.gap("find out whether the unit is still wanted; it cannot start like this", "unit %s starts %s, which is not there or may not be run", u.id, file)
		}
	}
	for _, u := range b.f.Units {
		if u.Active == "failed" {
			b.gap("find out whether it should run: systemctl status UNIT", "unit %s has failed", u.Name)
		}
	}
}

func (b *builder) unreadStores() {
	for _, p := range b.h.Programs {
		for _, d := range p.Databases {
			if d.Note == "" {
				continue
			}
			do := "list its databases by hand, with its own password"
			if p.Kind == KindContainer {
				do = "list its databases by hand: docker exec -it NAME psql, mysql, redis-cli …"
			} else if !b.h.Root && strings.Contains(d.Note, "cannot be read") {
				do = b.asRoot()
			}
			b.gap(do, "the databases of %s in %s: %s", d.Kind, p.Name, d.Note)
		}
	}
}

// portsInWords is "tcp 80, 443".
func portsInWords(p *Program) string {
	var all []string
	for _, l := range p.Listens {
		if s := l.Proto + " " + strconv.Itoa(l.Port); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return strings.Join(all, ", ")
}
