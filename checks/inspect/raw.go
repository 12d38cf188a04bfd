package inspect

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// raw is the second round trip, parsed but not yet put in relation.
type raw struct {
	missing     []string
	procs       map[int]*rawProc
	env         map[int][]string
	envDenied   []int
	open        map[int][]File
	openDenied  []int
	configs     map[string][]string // directory → names of files
	envFiles    []EnvFile
	units       []*rawUnit
	userUnits   []string                 // files
	containers  map[string]*rawContainer // by id
	nginx       []nginxFile
	nginxDenied []string
	certs       []Certificate
	links       links
	stores      map[int]*rawStore
	packages    map[string]string
	origins     map[string]string // executable or file of cron → package, "-" when none brought it
	accounts    accounts
}

type rawProc struct {
	cgroup, exe, dir string
	deleted          bool
}

// parse reads the sections; any bytes will do.
func parse(sections map[string][]byte, missing []string) *raw {
	r := &raw{missing: missing, procs: map[int]*rawProc{}, env: map[int][]string{}, open: map[int][]File{}, configs: map[string][]string{}}
	r.readProcs(sections["procs"])
	r.readEnviron(sections["environ"])
	r.readOpen(sections["open"])
	r.readDirs(sections["dirs"])
	r.readUnits(sections["units"])
	r.containers = readContainers(sections["containers"])
	r.nginx, r.nginxDenied = readNginx(sections["nginx"])
	r.certs = readCerts(sections["certs"])
	r.links = readLinks(sections["links"])
	r.stores = readStores(sections["stores"])
	r.packages = readPackages(sections["packages"])
	r.origins = readOrigins(sections["origin"])
	r.accounts = readAccounts(sections["accounts"])
	return r
}

// lines yields what is between newlines, without empty lines.
func lines(b []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range bytes.SplitSeq(b, []byte("\n")) {
			if len(line) > 0 && !yield(string(line)) {
				return
			}
		}
	}
}

func (r *raw) proc(pid int) *rawProc {
	if r.procs[pid] == nil {
		r.procs[pid] = &rawProc{}
	}
	return r.procs[pid]
}

// readProcs expects what grep says of control groups, "/proc/7/cgroup:0::/x" or,
// of version 1, "/proc/7/cgroup:1:name=systemd:/x"; and the long listing of
// links, as in "lrwxrwxrwx 1 root root 0 Nov 21 10:00 /proc/1/cwd -> /".
func (r *raw) readProcs(section []byte) {
	for line := range lines(section) {
		if rest, ok := strings.CutPrefix(line, "/proc/"); ok {
			id, group, _ := strings.Cut(rest, "/cgroup:")
			fields := strings.SplitN(group, ":", 3)
			if pid, err := strconv.Atoi(id); err == nil && len(fields) == 3 && len(fields[2]) > len(r.proc(pid).cgroup) {
				r.proc(pid).cgroup = fields[2]
			}
			continue
		}
		_, rest, ok := strings.Cut(line, " /proc/")
		link, to, ok2 := strings.Cut(rest, " -> ")
		id, what, ok3 := strings.Cut(link, "/")
		pid, err := strconv.Atoi(id)
		if !ok || !ok2 || !ok3 || err != nil {
			continue
		}
		switch what {
		case "exe":
			r.proc(pid).exe, r.proc(pid).deleted = strings.CutSuffix(to, " (deleted)")
		case "cwd":
			r.proc(pid).dir = strings.TrimSuffix(to, " (deleted)")
		}
	}
}

// readEnviron expects "@PID" and "k NAME" for each variable, or "x PID".
func (r *raw) readEnviron(section []byte) {
	pid := 0
	for line := range lines(section) {
		switch {
		case line[0] == '@':
			pid, _ = strconv.Atoi(line[1:])
		case strings.HasPrefix(line, "x "):
			if n, err := strconv.Atoi(line[2:]); err == nil {
				r.envDenied = append(r.envDenied, n)
			}
		case pid > 0 && strings.HasPrefix(line, "k "):
			if key := keyName(line[2:]); key != "" && !slices.Contains(r.env[pid], key) && len(r.env[pid]) < 500 {
				r.env[pid] = append(r.env[pid], key)
			}
		}
	}
}

// keyName is s if it is the name of a variable and not too long to be one.
func keyName(s string) string {
	if len(s) > 64 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return ""
	}
	return s
}

// readOpen expects what ls -l says of /proc/PID/fd, only files: first
// "/proc/7/fd:", then "l-wx------ 1 root root 64 Nov 21 10:00 3 -> /var/log/x".
func (r *raw) readOpen(section []byte) {
	pid := 0
	for line := range lines(section) {
		if rest, ok := strings.CutPrefix(line, "/proc/"); ok {
			pid, _ = strconv.Atoi(strings.TrimSuffix(rest, "/fd:"))
			continue
		}
		if n, ok := strings.CutPrefix(line, "x "); ok {
			if n, err := strconv.Atoi(n); err == nil {
				r.openDenied = append(r.openDenied, n)
			}
			continue
		}
		mode, _, _ := strings.Cut(line, " ")
		_, name, ok := strings.Cut(line, " -> ")
		if !ok || pid <= 0 || !path.IsAbs(name) || strings.HasSuffix(name, " (deleted)") || len(r.open[pid]) >= 200 {
			continue
		}
		f := File{Path: name, Use: "open"}
		if len(mode) > 2 && mode[2] == 'w' {
			f.Use = "written"
		}
		if !slices.Contains(r.open[pid], f) {
			r.open[pid] = append(r.open[pid], f)
		}
	}
}

// readDirs expects "=DIRECTORY", "c NAME" for each configuration file in it,
// and environment files as addEnv has them.
func (r *raw) readDirs(section []byte) {
	dir := ""
	for line := range lines(section) {
		switch {
		case line[0] == '=':
			dir = line[1:]
		case dir != "" && strings.HasPrefix(line, "c "):
			if len(r.configs[dir]) < 50 {
				r.configs[dir] = append(r.configs[dir], line[2:])
			}
		default:
			r.addEnv(line)
		}
	}
}

// addEnv reads "f FILE", then "k NAME" for each variable in it; or "x FILE".
func (r *raw) addEnv(line string) {
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "f":
		r.envFiles = append(r.envFiles, EnvFile{Path: rest})
	case "x":
		r.envFiles = append(r.envFiles, EnvFile{Path: rest, Problem: "may not be read"})
	case "k":
		if n := len(r.envFiles); n > 0 {
			last := &r.envFiles[n-1]
			if key := keyName(rest); key != "" && last.Problem == "" && !slices.Contains(last.Keys, key) && len(last.Keys) < 500 {
				last.Keys = append(last.Keys, key)
			}
		}
	}
}

// readCerts expects "=FILE" and the PEM of its first certificate, or "x FILE".
func readCerts(section []byte) []Certificate {
	var all []Certificate
	var text []byte
	done := func() {
		if n := len(all); n > 0 && all[n-1].Problem == "" {
			all[n-1].decode(text)
		}
		text = nil
	}
	for line := range lines(section) {
		switch {
		case line[0] == '=':
			done()
			all = append(all, Certificate{Path: line[1:]})
		case strings.HasPrefix(line, "x "):
			done()
			all = append(all, Certificate{Path: line[2:], Problem: "may not be read"})
		default:
			text = append(append(text, line...), '\n')
		}
	}
	done()
	return all
}

func (c *Certificate) decode(text []byte) {
	block, _ := pem.Decode(text)
	if block == nil {
		c.Problem = "has no certificate in PEM"
		return
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		c.Problem = "holds a certificate that cannot be understood"
		return
	}
	for _, n := range cert.DNSNames {
		c.Names = append(c.Names, tidy(n, 260))
	}
	for _, ip := range cert.IPAddresses {
		c.Names = append(c.Names, ip.String())
	}
	if len(c.Names) == 0 && cert.Subject.CommonName != "" {
		c.Names = []string{tidy(cert.Subject.CommonName, 260)}
	}
	c.Issuer = tidy(cert.Issuer.CommonName, 100)
	if c.Issuer == "" {
		c.Issuer = tidy(strings.Join(cert.Issuer.Organization, " "), 100)
	}
	if bytes.Equal(cert.RawIssuer, cert.RawSubject) {
		c.Issuer = "itself"
	}
	if y := cert.NotAfter.Year(); y < 0 || y > 9999 {
		c.Problem = "ends in a year that no clock shows"
		return
	}
	c.Ends = cert.NotAfter.UTC().Truncate(time.Second)
}

// readPackages expects "ii name version" lines; dpkg's state of three letters
// begins with what is wanted and what is there: "ii " or "hi " is installed.
func readPackages(section []byte) map[string]string {
	all := map[string]string{}
	for line := range lines(section) {
		w := strings.Fields(line)
		if len(w) == 3 && (w[0] == "ii" || w[0] == "hi") {
			all[w[1]] = w[2]
		}
	}
	return all
}

// readOrigins expects "e FILE" for each that was asked about, "=dpkg" (or rpm,
// apk) and "package: FILE" for those that a package brought.
func readOrigins(section []byte) map[string]string {
	var asked []string
	found := map[string]string{}
	known := false
	for line := range lines(section) {
		if e, ok := strings.CutPrefix(line, "e /"); ok && !known {
			asked = append(asked, "/"+e)
			continue
		}
		if line[0] == '=' {
			known = true
			continue
		}
		if name, file, ok := strings.Cut(line, ": /"); ok && known {
			name, _, _ = strings.Cut(name, ",")
			name, _, _ = strings.Cut(name, ":") // of an architecture
			found["/"+file] = name
		}
	}
	origins := map[string]string{}
	for _, e := range asked {
		switch {
		case found[e] != "":
			origins[e] = found[e]
		case found[strings.TrimPrefix(e, "/usr")] != "":
			origins[e] = found[strings.TrimPrefix(e, "/usr")]
		case known:
			origins[e] = "-"
		}
	}
	return origins
}
