package checks

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func init() {
	addFact(fact{name: "databases", limit: 16 << 10, parse: parseDatabases, script: `
# Only programs that the system installed: we may be root, and a user may run
# anything under the name of a database.
has ls || { note versions "there is no ls"; return; }
seen=$nl
lim 5 ls -l /proc/[0-9]*/exe | while IFS= read -r l; do
	e=${l##* -> }
	case $e in /usr/local/*) continue ;; /usr/*|/bin/*|/sbin/*) ;; *) continue ;; esac
	case ${e##*/} in
	postgres|postmaster|mysqld|mariadbd|redis-server|redis-check-rdb|valkey-server|valkey-check-rdb|mongod) ;;
	*) continue ;;
	esac
	case $e in *-check-rdb) e=${e%-check-rdb}-server ;; esac
	case $seen in *"$nl$e$nl"*) continue ;; esac
	seen=$seen$e$nl
	[ -x "$e" ] && printf '=%s\n%s\n' "${e##*/}" "$(lim 3 "$e" --version 2>&1 | keep 500)"
done
true`})
}

// parseDatabases expects "=program" before what a database server said of its
// version. Only the version is taken here; link joins it with the ports.
func parseDatabases(section []byte, f *Facts) error {
	var text []string
	name := ""
	add := func() {
		if name != "" && len(text) > 0 {
			f.Databases = append(f.Databases, Database{Kind: databasePrograms[name], Process: name, Version: versionLine(text)})
		}
	}
	for line := range lines(section) {
		if n, ok := strings.CutPrefix(line, "="); ok {
			add()
			name, text = n, nil
			continue
		}
		text = append(text, line)
	}
	add()
	return nil
}

var databasePrograms = map[string]string{
	"postgres": "postgresql", "postmaster": "postgresql", "mysqld": "mysql", "mariadbd": "mariadb",
	"redis-server": "redis", "valkey-server": "valkey", "mongod": "mongodb",
}

// databasePorts are for sockets whose owner we may not see.
var databasePorts = map[int]string{5432: "postgresql", 3306: "mysql", 6379: "redis", 27017: "mongodb", 9042: "cassandra"}

// databaseImage finds the kind and version in "docker.io/library/postgres:16-alpine".
var databaseImage = regexp.MustCompile(`(?:^|/)(postgres|postgis|mysql|mariadb|redis|valkey|mongo|cassandra)(?::([\w.-]+))?(?:@|$)`)

var imageKinds = map[string]string{
	"postgres": "postgresql", "postgis": "postgresql", "mysql": "mysql", "mariadb": "mariadb",
	"redis": "redis", "valkey": "valkey", "mongo": "mongodb", "cassandra": "cassandra",
}

// linkDatabases makes f.Databases, which holds the versions of programs until
// then, into the databases that listen on TCP.
func (f *Facts) linkDatabases() {
	versions := map[string]Database{}
	for _, d := range f.Databases {
		versions[d.Process] = d
	}
	f.Databases = nil
	args := map[int]string{}
	for _, p := range f.Processes {
		args[p.PID] = p.Args
	}
	for _, p := range f.Ports {
		if !strings.HasPrefix(p.Proto, "tcp") {
			continue
		}
		d := f.databaseOn(p, args[p.PID])
		if d.Kind == "" || p.PID > 0 && (d.Process == "mysqld" || d.Process == "mariadbd") && p.Number != f.mysqlPort(p.PID, args[p.PID]) {
			continue
		}
		if v, ok := versions[d.Process]; ok {
			d.Version = v.Version
			if strings.Contains(v.Version, "MariaDB") {
				d.Kind = "mariadb"
			}
		}
		if !slices.ContainsFunc(f.Databases, func(o Database) bool { return o.Port == d.Port && o.Kind == d.Kind }) {
			f.Databases = append(f.Databases, d)
		}
	}
}

var mysqlPortSet = regexp.MustCompile(`\s--port[= ](\d+)`)

// mysqlPort is where a server of MySQL or MariaDB that listens on several ports
// takes clients. MySQL listens for its X protocol, too, unless told not to
// (33060), for members of a group (33061), and for who administers it (33062);
// MariaDB may have an extra_port. None of these is another database.
func (f *Facts) mysqlPort(pid int, args string) int {
	var all []int
	for _, p := range f.Ports {
		if p.PID == pid && strings.HasPrefix(p.Proto, "tcp") && !slices.Contains(all, p.Number) {
			all = append(all, p.Number)
		}
	}
	set := 3306
	if m := mysqlPortSet.FindStringSubmatch(args); m != nil {
		set, _ = strconv.Atoi(m[1])
	}
	if slices.Contains(all, set) {
		return set
	}
	if own := slices.DeleteFunc(slices.Clone(all), func(n int) bool { return n >= 33060 && n <= 33062 }); len(own) > 0 {
		all = own
	}
	return slices.Min(all)
}

func (f *Facts) databaseOn(p Port, args string) Database {
	d := Database{Port: p.Number, Process: p.Process}
	switch {
	case p.PID == 0 && p.Process == "":
		d.Kind = databasePorts[p.Number]
	case databasePrograms[p.Process] != "":
		d.Kind = databasePrograms[p.Process]
	case p.Process == "java" && strings.Contains(args, "CassandraDaemon") && p.Number == 9042:
		d.Kind, d.Process = "cassandra", "java"
	case databasePrograms[path.Base(firstWord(args))] != "":
		// A thread's name, such as "connmgr", stands in for the program's.
		d.Process = path.Base(firstWord(args))
		d.Kind = databasePrograms[d.Process]
	case p.Process == "docker-proxy":
		if c := f.publisher(p.Number); c != nil {
			if m := databaseImage.FindStringSubmatch(c.Image); m != nil {
				d.Kind, d.Version, d.Process = imageKinds[m[1]], m[2], "container "+c.Name
			}
		}
	}
	return d
}
