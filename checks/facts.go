package checks

import (
	"strings"
	"time"
)

// Facts are the readings of one host, taken in one round trip. All texts are
// printable, valid UTF-8 (newlines and tabs are kept). A reading that the host
// could not give (a missing tool, not enough rights) leaves its field empty
// and a line in Missing; see Lacks.
type Facts struct {
	Host    string
	TakenAt time.Time     // on this machine, the middle of the round trip
	Skew    time.Duration // the host's clock minus ours; precise to SkewErr
	SkewErr time.Duration // half the time between asking for the host's clock and its answer

	Hostname  string
	MachineID string // /etc/machine-id, else the product's uuid; clones of a machine share it
	BootID    string // of the kernel; all containers of a machine share it
	MountNS   string // "mnt:[4026531841]": with BootID it tells one machine under two names
	InitNS    string // the same of process 1; "" when we may not read it
	User      string // who we are there
	Root      bool   // uid 0, perhaps through sudo
	Groups    []string
	OS        OS
	CPUs      int
	Memory    Memory // of the machine, or of the container when that has less
	Uptime    time.Duration
	Load1     float64
	Reboot    string // "" unless the system asks to be restarted; then what asks: "linux-image-6.1.0-18-amd64"

	Disks      []Disk
	Ports      []Port
	Processes  []Process
	Tmux       []TmuxSession
	Units      []Unit
	Cron       []CronLine
	Users      []User
	Containers []Container
	Projects   []ComposeProject
	Databases  []Database
	Tools      map[string]string // tool → version line; absent: not installed
	Missing    []string          // "ports: …": no (whole) reading; "ports (owners): …": a part of it
}

// Lacks says why the reading named fact ("ports", "docker") was not taken, or
// not to its end. While it does, an absence in that reading proves nothing.
func (f *Facts) Lacks(fact string) (why string, lacks bool) {
	for _, line := range f.Missing {
		if why, lacks = strings.CutPrefix(line, fact+": "); lacks {
			return why, true
		}
	}
	return "", false
}

// OS is what /etc/os-release and uname say.
type OS struct {
	ID      string // "debian"
	Version string // "12"
	Name    string // "Debian GNU/Linux 12 (bookworm)"
	Kernel  string // "Linux 6.1.0-18-amd64"
	Arch    string // "x86_64"
}

// Memory is in bytes.
type Memory struct{ Total, Available, SwapTotal, SwapFree int64 }

// Disk is one mounted file system; bytes and inodes.
type Disk struct {
	Device, Type, Mount string
	Total, Free         int64
	Inodes, InodesFree  int64 // 0, 0 when the file system has none
	ReadOnly            bool
}

// Port is one listening socket.
type Port struct {
	Proto   string // tcp, tcp6, udp, udp6
	Address string // "0.0.0.0", "::", "127.0.0.1"
	Number  int
	PID     int    // 0: not known
	Process string // "" : not known
}

// Process is one running process.
type Process struct {
	PID, PPID int
	User      string
	RSS       int64 // bytes
	Age       time.Duration
	Args      string
}

// TmuxSession is one tmux session of any user whose socket we may read.
type TmuxSession struct {
	User, Name string
	Windows    int
	Attached   bool
	PIDs       []int // of what was started in its panes
}

// Unit is one systemd unit of type service or timer.
type Unit struct{ Name, Load, Active, Sub, Enabled string }

// CronLine is one crontab entry.
type CronLine struct{ User, File, Line string }

// User is one login user or one with a process.
type User struct {
	Name  string
	UID   int
	Home  string
	Shell string
}

// Container is one Docker container.
type Container struct {
	ID, Name, Image, State, Status, Health string
	Ports                                  string
	Project, Service                       string // of compose; "" otherwise
}

// ComposeProject is one compose project that the engine knows.
type ComposeProject struct {
	Name, Dir string
	Running   int
	Total     int
}

// Database is a database that listens.
type Database struct {
	Kind    string // postgresql, mysql, mariadb, redis, valkey, mongodb, cassandra, …
	Port    int
	Process string
	Version string // where it could be read without logging in
}
