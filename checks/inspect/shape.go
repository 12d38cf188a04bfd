package inspect

import (
	"cmp"
	"time"
)

// Format is the number of the JSON's shape. It changes when a reader of an
// older one would misread; a new field alone does not change it.
const Format = 1

// Inspection is what was found on some hosts. See the package's text for its
// JSON.
type Inspection struct {
	Format int     `json:"format"`
	Hosts  []*Host `json:"hosts"` // in the order asked for
}

// Host is what was found on one host. All texts are harmless to a terminal,
// and hold no value of an environment, only names.
type Host struct {
	Name      string    `json:"name"`
	Unreached string    `json:"unreached,omitempty"` // why there is nothing else
	TakenAt   time.Time `json:"taken_at,omitzero"`
	Hostname  string    `json:"hostname,omitempty"`
	OS        string    `json:"os,omitempty"`
	CPUs      int       `json:"cpus,omitempty"`
	Memory    int64     `json:"memory_bytes,omitempty"`
	Uptime    int64     `json:"uptime_seconds,omitempty"`
	User      string    `json:"looked_as,omitempty"`
	Root      bool      `json:"root"`

	Programs     []*Program        `json:"programs,omitempty"` // those that listen first
	Jobs         []Job             `json:"jobs,omitempty"`     // cron and timers; Program says whose
	Users        []User            `json:"users,omitempty"`    // who can log in or runs something
	Accounts     []User            `json:"accounts,omitempty"` // all that the host's own files hold
	Mounts       []Mount           `json:"mounts,omitempty"`
	Certificates []Certificate     `json:"certificates,omitempty"` // all; Program says whose
	EnvFiles     []EnvFile         `json:"env_files,omitempty"`    // all; Program says whose
	Units        []Unit            `json:"units,omitempty"`        // enabled or running ones
	Idle         []Idle            `json:"idle,omitempty"`         // own units that are no Program and no Job
	Packages     map[string]string `json:"packages,omitempty"`     // name → version
	NotWhole     []string          `json:"not_whole,omitempty"`    // areas of Diff in which an absence proves nothing
	Gaps         []Gap             `json:"not_understood,omitempty"`
}

// The kinds of Program.
const (
	KindUnit      = "unit"
	KindContainer = "container"
	KindTmux      = "tmux"
	KindProcess   = "process" // started by hand or by something that belay does not know
)

// Program is one thing that runs on a host, with all that belongs to it: a
// systemd unit, a container, a tmux session or a bare process.
type Program struct {
	Kind      string     `json:"kind"`
	Name      string     `json:"name"`  // nginx.service; the container, the session, the executable
	State     string     `json:"state"` // in its own words: "active (running)", "running", "exited"
	Listens   []Listen   `json:"listens,omitempty"`
	Sockets   []string   `json:"sockets,omitempty"` // unix sockets with a path that it listens on
	Processes []Process  `json:"processes,omitempty"`
	Parent    string     `json:"parent,omitempty"` // what started a bare process, when that still runs
	Unit      string     `json:"unit_file,omitempty"`
	DropIns   []string   `json:"drop_ins,omitempty"`    // files that add to the unit's
	Enabled   string     `json:"enabled,omitempty"`     // of a unit: enabled, disabled, static, …
	Dirs      []string   `json:"directories,omitempty"` // of a unit: those that systemd makes for it and that last
	RunsAs    string     `json:"runs_as,omitempty"`     // of a unit: its User=
	Exec      string     `json:"exec,omitempty"`        // of the unit or the container, masked
	Triggers  []string   `json:"started_by,omitempty"`
	Container *Container `json:"container,omitempty"`
	Files     []File     `json:"files,omitempty"`
	Mounts    []Volume   `json:"volumes,omitempty"`
	Env       []string   `json:"env,omitempty"` // names in the environment of its processes
	EnvFiles  []string   `json:"env_files,omitempty"`
	Databases []Database `json:"databases,omitempty"`
	Sites     []Site     `json:"sites,omitempty"`
	Starters  []Starter  `json:"starters,omitempty"` // of a unit: the host's own sockets and paths among Triggers

	NginxFiles []NginxFile `json:"nginx_files,omitempty"` // of nginx: what it includes, a package's files apart
	Connects   []Connect   `json:"connects,omitempty"`
	Jobs       []int       `json:"jobs,omitempty"`         // indices into Host.Jobs
	Certs      []string    `json:"certificates,omitempty"` // paths in Host.Certificates
}

// Key names a program the same on every look: "unit nginx.service". Two bare
// processes of one executable share it.
func (p *Program) Key() string { return p.Kind + " " + p.Name }

// Starter is a unit that starts another one: a socket or a path.
type Starter struct {
	Name    string   `json:"name"`
	Enabled string   `json:"enabled,omitempty"`
	Files   []string `json:"files"` // its own, and what adds to it
}

// Listen is a port that a program listens on, or publishes from a container.
type Listen struct {
	Proto   string `json:"proto"`   // tcp or udp
	Address string `json:"address"` // "0.0.0.0" and "::" are every address
	Port    int    `json:"port"`
	Inside  string `json:"inside,omitempty"` // of a container: "80/tcp"
}

// Process is one process of a program.
type Process struct {
	PID     int    `json:"pid"`
	User    string `json:"user"`
	Exe     string `json:"exe,omitempty"` // "" when we may not read it
	Deleted bool   `json:"exe_deleted,omitempty"`
	Package string `json:"package,omitempty"` // that brought exe; "" unknown, "-" none
	Dir     string `json:"dir,omitempty"`     // working directory
	Args    string `json:"args,omitempty"`    // masked
	Age     int64  `json:"age_seconds,omitempty"`
}

// Container is what Docker says of one.
type Container struct {
	ID      string   `json:"id"`
	Image   string   `json:"image"`
	Project string   `json:"project,omitempty"` // of compose
	Service string   `json:"service,omitempty"`
	Dir     string   `json:"project_dir,omitempty"`
	Config  []string `json:"config_files,omitempty"`
	Swarm   string   `json:"swarm_service,omitempty"`
	Pod     string   `json:"pod,omitempty"`
	Restart string   `json:"restart,omitempty"`
	Network string   `json:"network,omitempty"`
	User    string   `json:"user,omitempty"`
	Health  string   `json:"health,omitempty"`
	ips     []string
}

// File is a file that a program has to do with.
type File struct {
	Path string `json:"path"`
	Use  string `json:"use"` // config, open (read), written
}

// Volume is what a container has mounted.
type Volume struct {
	Type     string `json:"type"`   // volume, bind, tmpfs
	Source   string `json:"source"` // the volume's name or the host's path
	Target   string `json:"target"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Database is a database server that a program is.
type Database struct {
	Kind    string   `json:"kind"` // as checks.Database
	Version string   `json:"version,omitempty"`
	Port    int      `json:"port,omitempty"`
	Dir     string   `json:"data_dir,omitempty"`
	Names   []Size   `json:"databases,omitempty"`
	Own     []string `json:"tables_of_postgres,omitempty"` // people's own tables in the database postgres, which every server has
	Note    string   `json:"note,omitempty"`               // why Names is empty
}

// Size is one database: bytes, or of Redis keys; -1 when not known.
type Size struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes,omitempty"`
	Keys  int64  `json:"keys,omitempty"`
}

// Site is one server block of nginx.
type Site struct {
	File   string   `json:"file"`
	Names  []string `json:"names,omitempty"`
	Listen []string `json:"listen,omitempty"`
	Root   string   `json:"root,omitempty"`
	Routes []Route  `json:"routes,omitempty"`
	Certs  []string `json:"certificates,omitempty"`
}

// NginxFile is a file that nginx's main configuration includes, outside of a
// server, and that no package brings. Its paths are absolute.
type NginxFile struct {
	File   string   `json:"file"`
	Target string   `json:"target,omitempty"` // where it is a link
	Names  []string `json:"names,omitempty"`  // files of its own that it names: includes, certificates, keys, passwords
	Logs   []string `json:"log_dirs,omitempty"`
	Dirs   []string `json:"dirs,omitempty"`   // that it shows: root, alias
	Shares bool     `json:"shares,omitempty"` // other files may lean on it: it has an upstream, a map, a zone
}

// Route is where a location of a site passes requests to.
type Route struct {
	Path    string `json:"path"`
	To      string `json:"to"`                // as written, masked
	Program string `json:"program,omitempty"` // key of who listens there; "" unknown
}

// Connect is where a program's connections go.
type Connect struct {
	To      string `json:"to"`                // host:port or the path of a socket
	What    string `json:"what,omitempty"`    // the database that this port or program is
	Program string `json:"program,omitempty"` // key of who listens there, on this host
	Count   int    `json:"count"`
}

// Job is a cron entry or a timer.
type Job struct {
	Kind    string `json:"kind"` // cron, timer
	User    string `json:"user,omitempty"`
	Where   string `json:"where"` // the file, or the timer's name
	When    string `json:"when"`
	Command string `json:"command"`              // masked; of a timer what it starts
	Package string `json:"package,omitempty"`    // of cron: that brought the file; "" unknown, "-" none
	Enabled string `json:"enabled,omitempty"`    // of a timer: enabled, disabled, …
	Starts  string `json:"starts,omitempty"`     // of a timer: the unit
	Keeps   bool   `json:"persistent,omitempty"` // of a timer: it makes up for what was missed (Persistent=)
	Program string `json:"program,omitempty"`
	Why     string `json:"why,omitempty"` // why it is taken for that program's

	Units    []string `json:"unit_files,omitempty"`  // of a timer: its own file, that of what it starts, and what adds to them
	EnvFiles []string `json:"env_files,omitempty"`   // of a timer: of what it starts
	Dirs     []string `json:"directories,omitempty"` // of a timer: those that what it starts works in, and that systemd makes for it and that last
}

// User is one account.
type User struct {
	Name  string `json:"name"`
	UID   int    `json:"uid"`
	Home  string `json:"home,omitempty"`
	Shell string `json:"shell,omitempty"`

	// Of a login that the host itself holds.
	GID    int      `json:"gid,omitempty"`
	Group  string   `json:"group,omitempty"`  // the one with GID
	Groups []string `json:"groups,omitempty"` // others that it is in
}

// Mount is one mounted file system.
type Mount struct {
	At       string `json:"at"`
	Device   string `json:"device"`
	Type     string `json:"type"`
	ReadOnly bool   `json:"read_only,omitempty"`
	Total    int64  `json:"total_bytes"`
	Free     int64  `json:"free_bytes"`
}

// Certificate is the first one of a file.
type Certificate struct {
	Path    string    `json:"path"`
	Names   []string  `json:"names,omitempty"`
	Issuer  string    `json:"issuer,omitempty"`
	Ends    time.Time `json:"not_after,omitzero"`
	Program string    `json:"program,omitempty"`
	Problem string    `json:"problem,omitempty"` // why the rest is empty
}

// EnvFile is an environment file, or the environment of a container. Values
// never leave the host.
type EnvFile struct {
	Path    string   `json:"path"`
	Keys    []string `json:"keys,omitempty"`
	Program string   `json:"program,omitempty"`
	Problem string   `json:"problem,omitempty"`
}

// Unit is one systemd unit that is enabled, runs or is masked.
type Unit struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Enabled string `json:"enabled,omitempty"`
}

// Idle is a unit of the host's own, or of a login's, that does nothing now or
// that belay does not follow.
type Idle struct {
	Name string `json:"name"`
	File string `json:"unit_file"`
	User string `json:"user,omitempty"` // of systemd --user: whose
}

// Gap is something that the inspection does not know, and what to do about it.
type Gap struct {
	What string `json:"what"`
	Do   string `json:"do"`
}

func compareGaps(a, b Gap) int { return cmp.Or(cmp.Compare(a.Do, b.Do), cmp.Compare(a.What, b.What)) }
