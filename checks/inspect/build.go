package inspect

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"belay/checks"
)

// Build puts in relation what the two round trips read: the facts, and the
// sections that the readings of the second one printed, with what was missing.
// It is pure, and any bytes in sections will do.
func Build(f *checks.Facts, sections map[string][]byte, missing []string) *Host {
	b := &builder{
		f: f, r: parse(sections, missing),
		byPID: map[int]checks.Process{}, owner: map[int]*Program{}, byKey: map[string]*Program{}, listening: map[int]bool{},
	}
	b.h = &Host{
		Name: f.Host, TakenAt: f.TakenAt.UTC(), Hostname: f.Hostname, OS: f.OS.Name, CPUs: f.CPUs, Memory: f.Memory.Total,
		Uptime: int64(f.Uptime.Seconds()), User: f.User, Root: f.Root, Packages: b.r.packages,
	}
	b.addPrograms()
	b.addListens()
	b.tellApart()
	b.describe()
	b.addStores()
	b.addSites()
	b.addConnects()
	b.addJobs()
	b.addIdle()
	b.addRest()
	b.sort()
	b.addGaps()
	return b.h
}

type builder struct {
	f *checks.Facts
	r *raw
	h *Host

	byPID     map[int]checks.Process
	listening map[int]bool
	owner     map[int]*Program // by process
	byKey     map[string]*Program
	nginx     nginxConf
	unknown   *Program // holds the ports whose process is hidden
}

// program is the one under a key, made if need be.
func (b *builder) program(key, kind, name string) *Program {
	p := b.byKey[key]
	if p == nil {
		p = &Program{Kind: kind, Name: name}
		b.byKey[key] = p
		b.h.Programs = append(b.h.Programs, p)
	}
	return p
}

func (b *builder) addPrograms() {
	for _, p := range b.f.Processes {
		if !ended(p) {
			b.byPID[p.PID] = p
		}
	}
	for _, p := range b.f.Ports {
		b.listening[p.PID] = true
	}
	for _, c := range b.f.Containers {
		b.addContainer(c)
	}
	for i, s := range b.f.Tmux {
		p := b.program("tmux "+strconv.Itoa(i), KindTmux, s.Name)
		p.State = "detached"
		if s.Attached {
			p.State = "attached"
		}
		for _, pid := range s.PIDs {
			b.owner[pid] = p
		}
	}
	for _, u := range b.r.units {
		if _, ok := b.byPID[u.pid]; ok && u.pid > 0 && b.owner[u.pid] == nil && !strings.HasSuffix(u.id, ".timer") {
			b.owner[u.pid] = b.unit(u.id)
		}
	}
	for _, p := range b.f.Processes {
		if ended(p) {
			continue
		}
		if own := b.ownerOf(p.PID, 0); own != nil {
			own.Processes = append(own.Processes, b.process(p))
		}
	}
}

func (b *builder) addContainer(c checks.Container) {
	p := b.program("container "+c.ID, KindContainer, c.Name)
	p.State = c.State
	p.Container = &Container{ID: c.ID, Image: tidy(mask(c.Image), 300), Project: c.Project, Service: c.Service, Health: c.Health}
	for _, project := range b.f.Projects {
		if project.Name == c.Project {
			p.Container.Dir = project.Dir
		}
	}
	r := b.r.containers[c.ID]
	if r == nil {
		p.Listens = listensOf(c.Ports)
		return
	}
	d := p.Container
	d.Swarm, d.Pod, d.Restart = tidy(r.Swarm, 200), tidy(r.Pod, 200), tidy(r.Restart, 40)
	d.Network, d.User, d.ips = tidy(r.Network, 200), tidy(r.User, 100), r.ips()
	d.Dir = cmp.Or(tidy(r.Dir, 500), d.Dir)
	for name := range strings.SplitSeq(r.Config, ",") {
		if name != "" {
			d.Config = append(d.Config, tidy(name, 500))
		}
	}
	p.Exec = command(strings.Join(append([]string{r.Path}, r.Args...), " "))
	p.Mounts = r.volumes()
	for _, key := range r.Env {
		if key := keyName(key); key != "" && !slices.Contains(p.Env, key) {
			p.Env = append(p.Env, key)
		}
	}
	slices.Sort(p.Env)
	if c.State == "running" {
		p.Listens = r.listens()
	}
	if r.PID > 0 {
		b.owner[r.PID] = p
	}
}

func (b *builder) unit(id string) *Program {
	p := b.program("unit "+id, KindUnit, id)
	for _, u := range b.f.Units {
		if u.Name == id {
			p.State = u.Active + " (" + u.Sub + ")"
		}
	}
	return p
}

var longID = regexp.MustCompile(`[0-9a-f]{64}`)

// containerOf is the id in a control group such as /docker/ID, …/docker-ID.scope
// or …/cri-containerd-ID.scope, unless the whole machine is in it.
func (b *builder) containerOf(pid int) string {
	p := b.r.procs[pid]
	if p == nil {
		return ""
	}
	id := longID.FindString(p.cgroup)
	if first := b.r.procs[1]; id != "" && first != nil && strings.Contains(first.cgroup, id) {
		_, rest, _ := strings.Cut(p.cgroup, id)
		id = longID.FindString(rest)
	}
	return id
}

func (b *builder) unitOf(pid int) string {
	p := b.r.procs[pid]
	if p == nil {
		return ""
	}
	for _, part := range slices.Backward(strings.Split(p.cgroup, "/")) {
		if strings.HasSuffix(part, ".service") {
			return strings.ReplaceAll(part, `\x2d`, "-")
		}
	}
	return ""
}

// ownerOf finds whose a process is: its container, the tmux session that it
// was started in, its unit; else, with those that it was forked from, it is a
// bare process.
func (b *builder) ownerOf(pid, depth int) *Program {
	if p := b.owner[pid]; p != nil {
		return p
	}
	me, ok := b.byPID[pid]
	if !ok || depth > 60 || pid <= 1 {
		return nil
	}
	if id := b.containerOf(pid); id != "" {
		b.owner[pid] = b.program("container "+id, KindContainer, id[:12])
		b.owner[pid].State = or(b.owner[pid].State, "running")
		return b.owner[pid]
	}
	above := b.ownerOf(me.PPID, depth+1)
	switch unit := b.unitOf(pid); {
	case above != nil && above.Kind == KindTmux:
		b.owner[pid] = above
	case unit != "":
		b.owner[pid] = b.unit(unit)
	case above != nil && above.Kind != KindContainer && (!b.listening[pid] || b.same(pid, me.PPID)):
		b.owner[pid] = above
	default:
		p := b.program("process "+strconv.Itoa(pid), KindProcess, b.nameOf(me))
		p.State = "running"
		if parent, ok := b.byPID[me.PPID]; ok && me.PPID > 1 {
			p.Parent = b.nameOf(parent) + " (pid " + strconv.Itoa(me.PPID) + ")"
		}
		b.owner[pid] = p
	}
	return b.owner[pid]
}

// same tells whether two processes are one program: forked, not started.
func (b *builder) same(a, c int) bool { return b.nameOf(b.byPID[a]) == b.nameOf(b.byPID[c]) }

func (b *builder) nameOf(p checks.Process) string {
	if r := b.r.procs[p.PID]; r != nil && r.exe != "" && !strings.HasPrefix(r.exe, "/memfd:") {
		// Redis is one program with several names, of which the kernel tells that of the file.
		return strings.Replace(path.Base(r.exe), "-check-rdb", "-server", 1)
	}
	return cmp.Or(tidy(programOf(p.Args), 60), "pid "+strconv.Itoa(p.PID))
}

func (b *builder) process(p checks.Process) Process {
	out := Process{PID: p.PID, User: p.User, Args: command(p.Args), Age: int64(p.Age.Seconds())}
	if r := b.r.procs[p.PID]; r != nil {
		out.Exe, out.Dir, out.Deleted = r.exe, r.dir, r.deleted
		out.Package = b.r.origins[r.exe]
	}
	return out
}

// addListens gives every port to whom it belongs.
func (b *builder) addListens() {
	for _, port := range b.f.Ports {
		l := Listen{Proto: strings.TrimSuffix(port.Proto, "6"), Address: port.Address, Port: port.Number}
		if port.Process == "docker-proxy" || port.PID == 0 {
			if b.published(l) {
				continue
			}
		}
		p := b.ownerOf(port.PID, 0)
		if p == nil && port.PID > 0 && port.Process != "" {
			p = b.program("process "+strconv.Itoa(port.PID), KindProcess, tidy(port.Process, 60))
			p.State = "running"
			b.owner[port.PID] = p
		}
		if p == nil {
			if b.unknown == nil {
				b.unknown = b.program("unknown", KindProcess, "unknown")
				b.unknown.State = "its process is hidden"
			}
			p = b.unknown
		}
		if !slices.Contains(p.Listens, l) {
			p.Listens = append(p.Listens, l)
		}
	}
	for name, pids := range b.r.links.unix {
		for _, pid := range pids {
			if p := b.ownerOf(pid, 0); p != nil && !slices.Contains(p.Sockets, name) {
				p.Sockets = append(p.Sockets, name)
			}
		}
	}
}

// tellApart gives bare processes of one name, such as two servers of one kind,
// their port too, for a program is known by its kind and name.
func (b *builder) tellApart() {
	count := map[string]int{}
	for _, p := range b.h.Programs {
		count[p.Key()]++
	}
	for _, p := range b.h.Programs {
		if p.Kind == KindProcess && count[p.Key()] > 1 && len(p.Listens) > 0 {
			p.Name += ":" + strconv.Itoa(p.Listens[0].Port)
		}
	}
}

// published tells whether a running container publishes that port.
func (b *builder) published(l Listen) bool {
	for _, p := range b.h.Programs {
		if p.Kind == KindContainer && slices.ContainsFunc(p.Listens, func(o Listen) bool { return o.Proto == l.Proto && o.Port == l.Port && o.Inside != "" }) {
			return true
		}
	}
	return false
}

// at is the program that listens on a port of this host, by any address.
func (b *builder) at(port int) *Program {
	for _, p := range b.h.Programs {
		for _, l := range p.Listens {
			if l.Port == port && l.Proto == "tcp" && p != b.unknown {
				return p
			}
		}
	}
	return nil
}
