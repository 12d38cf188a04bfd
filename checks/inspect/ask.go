package inspect

import (
	_ "embed"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"belay/checks"
	"belay/remote"
)

// maxAsked is of how many processes the files and the environment are read.
const maxAsked = 120

// ask writes the readings of the second round trip, whose lists of processes,
// units and containers come from the first. What they name comes from the
// host, so it goes in as numbers, as checked ids or quoted.
func ask(f *checks.Facts) []checks.Reading {
	pids, dirs, crt := words(pidsOf(f)), remote.Quote(projectDirs(f)...), remote.Quote(certWords(f)...)
	fill := func(script string, more ...string) string {
		return strings.NewReplacer(append(more, "@PIDS@", pids, "@DIRS@", dirs, "@CERTS@", crt,
			"@NGINX@", remote.Quote(nginxRoots(f)...), "@UNITS@", remote.Quote(unitNames(f)...), "@TIMERS@", remote.Quote(timerNames(f)...),
			"@CONTAINERS@", remote.Quote(containerIDs(f)...), "@FORMAT@", remote.Quote(containerFormat),
			"@POSTGRES@", words(serversOf(f, "postgresql")), "@MYSQL@", words(serversOf(f, "mysql")), "@REDIS@", redisPorts(f))...).Replace(script)
	}
	part := func(name string, limit int) checks.Reading {
		return checks.Reading{Name: name, Limit: limit, Script: fill(scriptParts[name])}
	}
	all := []checks.Reading{
		part("procs", 1<<20), part("environ", 1<<20), part("open", 1<<20), part("dirs", 512<<10), part("nginx", 1<<20),
		part("certs", 512<<10), part("links", 512<<10), part("stores", 256<<10), part("packages", 512<<10), part("accounts", 512<<10), part("origin", 64<<10),
	}
	if len(containerIDs(f)) > 0 {
		all = append(all, part("containers", 1<<20))
	}
	if _, lacks := f.Lacks("units"); !lacks {
		all = append(all, part("units", 1<<20))
	}
	return all
}

//go:embed readings.sh
var readings string

// scriptParts are the sections of readings.sh, each after a line "#: name".
// What stands before the first one begins those that use it.
var scriptParts = func() map[string]string {
	shared, rest, _ := strings.Cut(readings, "\n#: ")
	parts := map[string]string{}
	for section := range strings.SplitSeq(rest, "\n#: ") {
		name, body, _ := strings.Cut(section, "\n")
		if slices.Contains([]string{"dirs", "units", "nginx", "certs", "stores"}, name) {
			body = shared + "\n" + body
		}
		parts[name] = body
	}
	return parts
}()

func words(numbers []int) string {
	var b strings.Builder
	for _, n := range numbers {
		b.WriteString(" " + strconv.Itoa(n))
	}
	return b.String()
}

// pidsOf are the processes to look at closely, the likeliest first: those that
// listen, what runs in tmux, what was left to process 1, and the rest.
func pidsOf(f *checks.Facts) []int {
	var pids []int
	seen := map[int]bool{}
	forked := forkedIn(f)
	add := func(pid int) {
		if pid > 0 && !seen[pid] && !forked[pid] && len(pids) < maxAsked {
			seen[pid] = true
			pids = append(pids, pid)
		}
	}
	for _, p := range f.Ports {
		add(p.PID)
	}
	inTmux := map[int]bool{}
	for _, s := range f.Tmux {
		for _, pid := range s.PIDs {
			inTmux[pid] = true
			add(pid)
		}
	}
	for range 8 { // the depth of a tree that people start by hand
		for _, p := range f.Processes {
			if inTmux[p.PPID] {
				inTmux[p.PID] = true
				add(p.PID)
			}
		}
	}
	for _, p := range f.Processes {
		if p.PPID == 1 {
			add(p.PID)
		}
	}
	for _, p := range f.Processes {
		add(p.PID)
	}
	return pids
}

// forkedIn are the processes that are only copies of their parent, as a web
// server's workers are: they have its environment and its files. Those that
// have ended but are not gone have none.
func forkedIn(f *checks.Facts) map[int]bool {
	names, forked := map[int]string{}, map[int]bool{}
	for _, p := range f.Processes {
		names[p.PID] = programOf(p.Args)
	}
	for _, p := range f.Processes {
		forked[p.PID] = ended(p) || p.PPID > 1 && names[p.PID] == names[p.PPID]
	}
	return forked
}

// ended tells a process that is gone but for its entry in the table.
func ended(p checks.Process) bool { return strings.HasSuffix(p.Args, "<defunct>") || p.Args == "" }

func unitNames(f *checks.Facts) []string {
	var names []string
	for _, u := range f.Units {
		template := strings.Contains(u.Name, "@.")
		if !template && !strings.HasPrefix(u.Name, "-") && len(names) < 500 && (u.Active != "inactive" || isEnabled(u)) {
			names = append(names, u.Name)
		}
	}
	return names
}

// timerNames are the timers among unitNames.
func timerNames(f *checks.Facts) []string {
	return slices.DeleteFunc(unitNames(f), func(name string) bool { return !strings.HasSuffix(name, ".timer") })
}

func isEnabled(u checks.Unit) bool { return u.Enabled == "enabled" || u.Enabled == "enabled-runtime" }

var containerID = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

func containerIDs(f *checks.Facts) []string {
	var ids []string
	for _, c := range f.Containers {
		if containerID.MatchString(c.ID) && len(ids) < 300 {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func projectDirs(f *checks.Facts) []string {
	var dirs []string
	for _, p := range f.Projects {
		if path.IsAbs(p.Dir) && !strings.ContainsAny(p.Dir, "\n\uFFFD") {
			dirs = append(dirs, path.Clean(p.Dir))
		}
	}
	return dirs
}

// certWords are the arguments of processes that look like certificates.
func certWords(f *checks.Facts) []string {
	var found []string
	for _, p := range f.Processes {
		for w := range strings.FieldsSeq(strings.ReplaceAll(p.Args, "=", " ")) {
			if path.IsAbs(w) && slices.Contains([]string{".pem", ".crt", ".cer"}, path.Ext(w)) && !slices.Contains(found, w) && len(found) < 30 {
				found = append(found, w)
			}
		}
	}
	return found
}

// nginxRoots are configuration files and prefixes in turn: "/etc/nginx/nginx.conf"
// "/etc/nginx", … Those that do not exist do no harm.
func nginxRoots(f *checks.Facts) []string {
	roots := []string{
		"/etc/nginx/nginx.conf", "/etc/nginx", "/usr/local/nginx/conf/nginx.conf", "/usr/local/nginx/conf",
		"/usr/local/etc/nginx/nginx.conf", "/usr/local/etc/nginx", "/usr/local/openresty/nginx/conf/nginx.conf", "/usr/local/openresty/nginx/conf",
	}
	for _, p := range f.Processes {
		if !strings.Contains(p.Args, "nginx") {
			continue
		}
		w := strings.Fields(p.Args)
		for i := range len(w) - 1 {
			if w[i] == "-c" && path.IsAbs(w[i+1]) && !slices.Contains(roots, w[i+1]) {
				roots = append(roots, w[i+1], path.Dir(w[i+1]))
			}
		}
	}
	return roots
}

var serverPrograms = map[string]string{
	"postgres": "postgresql", "postmaster": "postgresql", "mysqld": "mysql", "mariadbd": "mysql",
	"redis-server": "redis", "valkey-server": "redis",
}

func programOf(args string) string {
	first, _, _ := strings.Cut(args, " ")
	return path.Base(strings.TrimSuffix(first, ":"))
}

// serversOf are the processes that serve a kind of database: of PostgreSQL the
// postmaster, not the processes that it forks.
func serversOf(f *checks.Facts, kind string) []int {
	is := map[int]bool{}
	for _, p := range f.Processes {
		is[p.PID] = serverPrograms[programOf(p.Args)] == kind
	}
	var pids []int
	for _, p := range f.Processes {
		if is[p.PID] && !is[p.PPID] && len(pids) < 20 {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// redisPorts are words "PID:ADDRESS:PORT", the address last resort loopback.
func redisPorts(f *checks.Facts) string {
	var b strings.Builder
	for _, pid := range serversOf(f, "redis") {
		for _, p := range f.Ports {
			if p.PID != pid || p.Proto != "tcp" {
				continue
			}
			at := p.Address
			if at == "0.0.0.0" {
				at = "127.0.0.1"
			}
			b.WriteString(" " + strconv.Itoa(pid) + ":" + at + ":" + strconv.Itoa(p.Number))
			break
		}
	}
	return b.String()
}

// containerFormat has docker inspect print one JSON object a container, with
// the names of its environment alone: values stay in the engine.
const containerFormat = `{"id":{{json .Id}},"name":{{json .Name}},"pid":{{.State.Pid}},"user":{{json .Config.User}},` +
	`"path":{{json .Path}},"args":{{json .Args}},"restart":{{json .HostConfig.RestartPolicy.Name}},"network":{{json .HostConfig.NetworkMode}},` +
	`"mounts":{{json .Mounts}},"ports":{{json .NetworkSettings.Ports}},"networks":{{json .NetworkSettings.Networks}},` +
	`"env":[{{range .Config.Env}}{{json (index (split . "=") 0)}},{{end}}null],` +
	`"config":{{json (index .Config.Labels "com.docker.compose.project.config_files")}},` +
	`"dir":{{json (index .Config.Labels "com.docker.compose.project.working_dir")}},` +
	`"swarm":{{json (index .Config.Labels "com.docker.swarm.service.name")}},` +
	`"pod":{{json (index .Config.Labels "io.kubernetes.pod.name")}}}`
