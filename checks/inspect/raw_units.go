package inspect

import (
	"encoding/json"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// rawUnit is what systemctl show says of one unit.
type rawUnit struct {
	id, user, dir, fragment, cgroup, result string
	pid                                     int
	exec, envFiles, triggeredBy, gone       []string
	dropIns, dirs                           []string
	load, active, enabled                   string
	starts, when                            string // of a timer
	persistent                              bool   // of a timer
}

// readUnits expects blocks of NAME=VALUE, each beginning with or holding Id=,
// an empty line between; the order of names is systemd's own. Environment
// files follow as addEnv has them.
func (r *raw) readUnits(section []byte) {
	for block := range strings.SplitSeq(string(section), "\n\n") {
		u := &rawUnit{}
		for line := range strings.SplitSeq(block, "\n") {
			if len(line) > 1 && line[1] == ' ' {
				r.addEnv(line)
				continue
			}
			name, value, _ := strings.Cut(line, "=")
			if name == "UserUnit" && len(r.userUnits) < 100 {
				r.userUnits = append(r.userUnits, value)
			}
			u.set(name, strings.TrimSpace(value))
		}
		same := func(o *rawUnit) bool { return o.id == u.id }
		if u.id != "" && len(r.units) < 1000 && !slices.ContainsFunc(r.units, same) {
			r.units = append(r.units, u)
		}
	}
}

func (u *rawUnit) set(name, value string) {
	if value == "" {
		return
	}
	switch name {
	case "Id":
		u.id = value
	case "MainPID":
		u.pid, _ = strconv.Atoi(value)
	case "User":
		u.user = value
	case "WorkingDirectory":
		u.dir = strings.TrimPrefix(value, "!")
	case "FragmentPath":
		u.fragment = value
	case "DropInPaths":
		u.dropIns = strings.Fields(value)
	case "StateDirectory", "ConfigurationDirectory", "Absent":
		u.setDirs(name, value)
	case "LoadState":
		u.load = value
	case "ActiveState":
		u.active = value
	case "UnitFileState":
		u.enabled = value
	case "Persistent":
		u.persistent = value == "yes"
	case "ControlGroup":
		u.cgroup = value
	case "Result":
		u.result = value
	case "TriggeredBy":
		u.triggeredBy = strings.Fields(value)
	case "Gone":
		u.gone = append(u.gone, value)
	case "Unit":
		u.starts = value
	case "EnvironmentFiles":
		file, _, _ := strings.Cut(value, " (ignore_errors=")
		u.envFiles = append(u.envFiles, file)
	case "ExecStart":
		// { path=/bin/x ; argv[]=/bin/x a b ; ignore_errors=no ; … }
		if _, argv, ok := strings.Cut(value, "argv[]="); ok {
			argv, _, _ = strings.Cut(argv, " ; ignore_errors=")
			u.exec = append(u.exec, argv)
		}
	case "TimersCalendar", "TimersMonotonic":
		// { OnCalendar=*-*-* 06:00:00 ; next_elapse=… }
		when, _, _ := strings.Cut(strings.Trim(value, "{} "), " ; ")
		when = strings.TrimPrefix(when, "OnCalendar=")
		u.when = strings.TrimPrefix(u.when+", "+when, ", ")
	}
}

// setDirs takes directories that systemd makes, or one that is absent: it is to
// be made when the unit first starts.
func (u *rawUnit) setDirs(name, value string) {
	if name == "Absent" {
		u.dirs = slices.DeleteFunc(u.dirs, func(dir string) bool { return dir == path.Clean(value) })
		if u.dir == value {
			u.dir = ""
		}
		return
	}
	root := map[string]string{"StateDirectory": "/var/lib/", "ConfigurationDirectory": "/etc/"}[name]
	for dir := range strings.FieldsSeq(value) {
		u.dirs = append(u.dirs, path.Join(root, path.Join("/", dir)))
	}
}

// rawContainer is what containerFormat has docker inspect print.
type rawContainer struct {
	ID, Name, User, Path, Restart, Network, Config, Dir, Swarm, Pod string
	PID                                                             int
	Args, Env                                                       []string
	Mounts                                                          []struct {
		Type, Name, Source, Destination string
		RW                              bool
	}
	Ports map[string][]struct {
		HostIP   string `json:"HostIp"`
		HostPort string
	}
	Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
}

// readContainers expects a JSON object a line; other lines are left out.
func readContainers(section []byte) map[string]*rawContainer {
	all := map[string]*rawContainer{}
	for line := range lines(section) {
		c := &rawContainer{}
		if line[0] == '{' && json.Unmarshal([]byte(line), c) == nil && c.ID != "" {
			all[c.ID] = c
		}
	}
	return all
}

// listens are the published ports, each address of one port by itself.
func (c *rawContainer) listens() []Listen {
	var all []Listen
	for inside, hosts := range c.Ports {
		_, proto, _ := strings.Cut(inside, "/")
		for _, h := range hosts {
			n, err := strconv.ParseUint(h.HostPort, 10, 16)
			if err != nil || n == 0 {
				continue
			}
			addr := h.HostIP
			if _, err := netip.ParseAddr(addr); err != nil {
				addr = "0.0.0.0"
			}
			all = append(all, Listen{Proto: tidy(proto, 8), Address: addr, Port: int(n), Inside: tidy(inside, 20)})
		}
	}
	return all
}

// listensOf reads the ports that docker ps tells, where docker inspect gave no
// answer: "0.0.0.0:8088->80/tcp, :::8088->80/tcp, 9001/tcp"; of a range the
// first.
func listensOf(ports string) []Listen {
	var all []Listen
	for part := range strings.SplitSeq(ports, ",") {
		from, inside, published := strings.Cut(strings.TrimSpace(part), "->")
		i := strings.LastIndexByte(from, ':')
		if !published || i < 0 {
			continue
		}
		first, _, _ := strings.Cut(from[i+1:], "-")
		n, err := strconv.ParseUint(first, 10, 16)
		addr, err2 := netip.ParseAddr(strings.Trim(from[:i], "[]"))
		_, proto, _ := strings.Cut(inside, "/")
		if err == nil && err2 == nil && n > 0 {
			all = append(all, Listen{Proto: tidy(proto, 8), Address: addr.String(), Port: int(n), Inside: tidy(inside, 20)})
		}
	}
	return all
}

func (c *rawContainer) ips() []string {
	var all []string
	for _, n := range c.Networks {
		for _, ip := range []string{n.IPAddress, n.GlobalIPv6Address} {
			if ip != "" {
				all = append(all, ip)
			}
		}
	}
	slices.Sort(all)
	return all
}

func (c *rawContainer) volumes() []Volume {
	var all []Volume
	for _, m := range c.Mounts {
		v := Volume{Type: tidy(m.Type, 20), Source: tidy(m.Source, 500), Target: tidy(m.Destination, 500), ReadOnly: !m.RW}
		if m.Name != "" {
			v.Source = tidy(m.Name, 500)
		}
		all = append(all, v)
	}
	return all
}

// rawStore is what a database server said of itself.
type rawStore struct {
	kind, dir, version, denied string
	config                     string
	port                       int
	names                      []Size
	own                        []string
}

// readStores expects "=KIND PID", then lines "dir D", "version V", "port N",
// "db BYTES NAME", "own TABLE", "denied WHY", and of Redis "i NAME:VALUE" as INFO has them.
func readStores(section []byte) map[int]*rawStore {
	all := map[int]*rawStore{}
	s := &rawStore{}
	for line := range lines(section) {
		if rest, ok := strings.CutPrefix(line, "="); ok {
			kind, id, _ := strings.Cut(rest, " ")
			s = &rawStore{kind: kind}
			if pid, err := strconv.Atoi(id); err == nil {
				all[pid] = s
			}
			continue
		}
		word, rest, _ := strings.Cut(strings.TrimSpace(strings.TrimRight(line, "\uFFFD")), " ")
		s.add(word, rest)
	}
	return all
}

func (s *rawStore) add(word, rest string) {
	switch word {
	case "dir":
		s.dir = rest
	case "version":
		s.version = tidy(rest, 60)
	case "port":
		if n, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 16); err == nil {
			s.port = int(n)
		}
	case "denied":
		s.denied = tidy(rest, 120)
	case "db":
		bytes, name, ok := strings.Cut(rest, " ")
		n, err := strconv.ParseInt(bytes, 10, 64)
		if ok && err == nil && len(s.names) < 1000 {
			s.names = append(s.names, Size{Name: mysqlName(s.kind, tidy(name, 200)), Bytes: n})
		}
	case "own":
		if len(s.own) < 200 {
			s.own = append(s.own, tidy(rest, 200))
		}
	case "i":
		s.redisInfo(rest)
	}
}

// redisInfo reads a line of INFO: "redis_version:7.0.15", "config_file:/x",
// "db0:keys=3,expires=0,avg_ttl=0".
func (s *rawStore) redisInfo(line string) {
	name, value, _ := strings.Cut(line, ":")
	switch {
	case name == "redis_version", name == "valkey_version":
		s.version = tidy(value, 60)
	case name == "config_file" && path.IsAbs(value):
		s.config = value
	case strings.HasPrefix(name, "db"):
		keys, _, _ := strings.Cut(strings.TrimPrefix(value, "keys="), ",")
		if n, err := strconv.ParseInt(keys, 10, 64); err == nil && len(s.names) < 1000 {
			s.names = append(s.names, Size{Name: tidy(name, 20), Bytes: -1, Keys: n})
		}
	}
}

// mysqlName undoes how MySQL writes a database's name as a directory's:
// "my@002dshop" (MySQL manual, "Mapping of Identifiers to File Names").
func mysqlName(kind, name string) string {
	if kind != "mysql" {
		return name
	}
	var b strings.Builder
	for rest := name; rest != ""; {
		before, after, ok := strings.Cut(rest, "@")
		b.WriteString(before)
		if !ok {
			break
		}
		if len(after) >= 4 {
			if n, err := strconv.ParseUint(after[:4], 16, 16); err == nil {
				b.WriteString(tidy(string(rune(n)), 1))
				rest = after[4:]
				continue
			}
		}
		b.WriteByte('@')
		rest = after
	}
	return b.String()
}
