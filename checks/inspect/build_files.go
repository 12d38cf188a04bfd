package inspect

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"belay/checks"
)

// describe gives every program its files, environment and unit.
func (b *builder) describe() {
	for _, u := range b.r.units {
		p := b.byKey["unit "+u.id]
		if p == nil {
			continue
		}
		p.Unit, p.Triggers = tidy(u.fragment, 300), u.triggeredBy
		p.Enabled, p.RunsAs = tidy(u.enabled, 40), tidy(u.user, 64)
		for _, f := range u.dropIns {
			p.DropIns = append(p.DropIns, tidy(f, 300))
		}
		for _, d := range u.dirs {
			p.Dirs = append(p.Dirs, tidy(d, 300))
		}
		p.Exec = command(strings.Join(u.exec, " ; "))
		p.Starters = b.startersOf(u)
		for _, f := range u.envFiles {
			b.envFile(p, f)
		}
	}
	for _, p := range b.h.Programs {
		if p.Kind == KindContainer {
			b.projectFiles(p)
			continue
		}
		for _, proc := range p.Processes {
			b.filesOf(p, proc)
		}
		slices.Sort(p.Env)
	}
}

// projectFiles gives a container what lies in its compose project's directory.
func (b *builder) projectFiles(p *Program) {
	if p.Container == nil {
		return // of an engine that was not asked
	}
	dir := path.Clean(p.Container.Dir)
	for _, f := range p.Container.Config {
		p.file(f, "config")
	}
	if !path.IsAbs(dir) {
		return
	}
	for _, f := range b.r.envFiles {
		if path.Dir(f.Path) == dir {
			b.envFile(p, f.Path)
		}
	}
}

func (b *builder) filesOf(p *Program, proc Process) {
	for _, key := range b.r.env[proc.PID] {
		if !slices.Contains(p.Env, key) {
			p.Env = append(p.Env, key)
		}
	}
	for _, name := range configWords(proc) {
		p.file(name, "config")
	}
	for _, f := range b.r.open[proc.PID] {
		p.file(f.Path, f.Use)
	}
	for _, name := range b.r.configs[proc.Dir] {
		p.file(path.Join(proc.Dir, name), "config")
	}
	for _, f := range b.r.envFiles {
		if proc.Dir != "" && path.Dir(f.Path) == proc.Dir {
			b.envFile(p, f.Path)
		}
	}
}

// file adds a file once; that it is configuration counts most.
func (p *Program) file(name, use string) {
	for i := range p.Files {
		if f := &p.Files[i]; f.Path == name {
			if f.Use == "open" || use == "config" {
				f.Use = use
			}
			return
		}
	}
	if len(p.Files) < 300 {
		p.Files = append(p.Files, File{name, use})
	}
}

func (b *builder) envFile(p *Program, name string) {
	if !slices.Contains(p.EnvFiles, name) {
		p.EnvFiles = append(p.EnvFiles, name)
	}
	for i := range b.r.envFiles {
		if f := &b.r.envFiles[i]; f.Path == name && f.Program == "" {
			f.Program = p.Key()
		}
	}
}

var configExts = []string{".conf", ".toml", ".yaml", ".yml", ".json", ".ini", ".cfg", ".cnf", ".properties", ".xml"}

// configWords are the arguments that name configuration files.
func configWords(p Process) []string {
	var all []string
	for w := range strings.FieldsSeq(strings.ReplaceAll(p.Args, "=", " ")) {
		if !slices.Contains(configExts, path.Ext(w)) || strings.Contains(w, "://") || strings.HasPrefix(w, "-") {
			continue
		}
		if !path.IsAbs(w) {
			if p.Dir == "" {
				continue
			}
			w = path.Join(p.Dir, w)
		}
		all = append(all, path.Clean(w))
	}
	return all
}

// addStores joins the database servers with their programs.
func (b *builder) addStores() {
	for pid, s := range b.r.stores {
		p := b.ownerOf(pid, 0)
		if p == nil || p.Kind == KindContainer {
			continue
		}
		d := Database{Kind: s.kind, Version: s.version, Port: s.port, Dir: tidy(s.dir, 500), Names: s.names, Own: s.own, Note: s.denied}
		for _, port := range b.f.Ports {
			known := slices.ContainsFunc(b.f.Databases, func(o checks.Database) bool { return o.Port == port.Number })
			if port.PID == pid && strings.HasPrefix(port.Proto, "tcp") && (s.port == 0 && known || d.Port == 0) {
				d.Port = port.Number
			}
		}
		if s.config != "" {
			p.file(s.config, "config")
		}
		p.Databases = append(p.Databases, d)
	}
	for _, known := range b.f.Databases {
		p := b.at(known.Port)
		if p == nil {
			continue
		}
		i := slices.IndexFunc(p.Databases, func(d Database) bool { return d.Port == known.Port })
		if i < 0 {
			i = len(p.Databases)
			p.Databases = append(p.Databases, Database{Kind: known.Kind, Port: known.Port, Note: inContainer(p)})
		}
		d := &p.Databases[i]
		d.Kind = known.Kind // it tells MariaDB from MySQL
		if v := dotted.FindString(known.Version); v != "" {
			d.Version = v
		} else if d.Version == "" {
			d.Version = known.Version
		}
	}
	// A database that publishes no port is known by its image.
	for _, p := range b.h.Programs {
		if p.Container == nil || len(p.Databases) > 0 || p.State != "running" {
			continue
		}
		if kind, version := imageDatabase(p.Container.Image); kind != "" {
			p.Databases = append(p.Databases, Database{Kind: kind, Version: version, Note: inContainer(p)})
		}
	}
	for _, p := range b.h.Programs {
		for i := range p.Databases {
			d := &p.Databases[i]
			for _, v := range p.Mounts {
				if d.Dir == "" && slices.Contains(dataDirs, v.Target) {
					d.Dir = v.Source
				}
			}
		}
	}
}

// dotted finds the number in "postgres (PostgreSQL) 15.18 (Debian 15.18-0)".
var dotted = regexp.MustCompile(`\d+(?:\.\d+)+`)

func inContainer(p *Program) string {
	if p.Kind != KindContainer {
		return "its databases were not read"
	}
	return "in a container, where belay does not look"
}

// dataDirs are where images of databases keep their data.
var dataDirs = []string{"/var/lib/postgresql/data", "/var/lib/postgresql", "/var/lib/mysql", "/data", "/data/db", "/bitnami/postgresql", "/var/lib/cassandra"}

// imageDatabase reads "docker.io/library/postgres:16-alpine".
func imageDatabase(image string) (kind, version string) {
	image, _, _ = strings.Cut(image, "@")
	name, version, _ := strings.Cut(path.Base(image), ":")
	kinds := map[string]string{
		"postgres": "postgresql", "postgresql": "postgresql", "postgis": "postgresql", "pgvector": "postgresql", "mysql": "mysql", "mariadb": "mariadb",
		"redis": "redis", "valkey": "valkey", "mongo": "mongodb", "mongodb": "mongodb", "cassandra": "cassandra",
	}
	return kinds[name], version
}
