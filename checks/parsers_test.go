package checks

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parsed runs one parser on what a host printed, cleaned as Gather does it.
func parsed(t testing.TB, name, section string) *Facts {
	t.Helper()
	for _, f := range factList {
		if f.name != name {
			continue
		}
		facts := &Facts{Host: "chat", TakenAt: time.Unix(1700000000, 0)}
		if err := f.parse(facts.takeMissing(name, clean([]byte(section))), facts); err != nil {
			t.Fatal(err)
		}
		return facts
	}
	t.Fatalf("there is no fact %q", name)
	return nil
}

func diff(t testing.TB, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParsePortsOfSS(t *testing.T) {
	f := parsed(t, "ports", `=ss
Netid State  Recv-Q Send-Q Local Address:Port  Peer Address:PortProcess                           
udp   UNCONN 0      0      127.0.0.53%lo:15353      0.0.0.0:*    users:(("python3",pid=5126,fd=5))
tcp   LISTEN 0      128        127.0.0.1:18088      0.0.0.0:*    users:(("python3",pid=5126,fd=3))
tcp   LISTEN 0      511          0.0.0.0:80         0.0.0.0:*    users:(("nginx",pid=812,fd=6),("nginx",pid=811,fd=6))
tcp   LISTEN 0      128                *:18089            *:*    users:(("a b",pid=5126,fd=4))
tcp   LISTEN 0      128            [::1]:18090         [::]:*    
tcp   ESTAB  0      0              bogus:0             [::]:*    
`)
	diff(t, []Port{
		{"udp", "127.0.0.53", 15353, 5126, "python3"},
		{"tcp", "127.0.0.1", 18088, 5126, "python3"},
		{"tcp", "0.0.0.0", 80, 812, "nginx"},
		{"tcp6", "::", 18089, 5126, "a b"},
		{"tcp6", "::1", 18090, 0, ""},
	}, f.Ports)
}

func TestParsePortsOfNetstat(t *testing.T) {
	f := parsed(t, "ports", `=ss
Netid State  Recv-Q Send-Q Local Address:Port  Peer Address:PortProcess
tcp   LISTEN 0      128        127.0.0.1:1      0.0.0.0:*
=netstat
Active Internet connections (only servers)
Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name    
tcp        0      0 127.0.0.1:41315         0.0.0.0:*               LISTEN      22938/sshd: /usr/sb 
tcp        0      0 127.0.0.1:18088         0.0.0.0:*               LISTEN      5126/python3        
tcp6       0      0 :::18089                :::*                    LISTEN      -                   
tcp        0      0 127.0.0.1:22            127.0.0.1:5000          ESTABLISHED 7/sshd
udp        0      0 127.0.0.53:15353        0.0.0.0:*                           5126/python3        
`)
	diff(t, []Port{
		{"tcp", "127.0.0.1", 41315, 22938, "sshd"},
		{"tcp", "127.0.0.1", 18088, 5126, "python3"},
		{"tcp6", "::", 18089, 0, ""},
		{"udp", "127.0.0.53", 15353, 5126, "python3"},
	}, f.Ports)
}

func TestParsePortsOfProc(t *testing.T) {
	f := parsed(t, "ports", `=proc
=tcp
   0: 0100007F:A163 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 472992 1 00000000964408d5 100 0 0 10 0                    
   5: 0100007F:46A8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 599749 1 00000000428afdf5 100 0 0 10 0                    
   6: 0100007F:0016 0100007F:1388 01 00000000:00000000 00:00000000 00000000     0        0 599750 1 00000000428afdf5 100 0 0 10 0                    
=tcp6
   0: 00000000000000000000000000000000:46A9 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 599750 1 0000000043adf14c 100 0 0 10 0
   1: 00000000000000000000000001000000:46AA 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 599752 1 00000000d4095c08 100 0 0 10 0
=udp
   45: 3500007F:3BF9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 599751 2 000000006ff21464 0        
=udp6
=fd
/proc/4/fd:
/proc/5126/fd:
lrwx------ 1 root root 64 Nov 21 07:35 3 -> socket:[599749]
lrwx------    1 root     root            64 Nov 21 07:35 4 -> socket:[599750]
/proc/5127/fd:
lrwx------ 1 root root 64 Nov 21 07:35 3 -> socket:[599749]
lrwx------ 1 root root 64 Nov 21 07:35 5 -> socket:[599751]
`)
	diff(t, []Port{
		{"tcp", "127.0.0.1", 41315, 0, ""},
		{"tcp", "127.0.0.1", 18088, 5126, ""},
		{"tcp6", "::", 18089, 5126, ""},
		{"tcp6", "::1", 18090, 0, ""},
		{"udp", "127.0.0.53", 15353, 5127, ""},
	}, f.Ports)
}

func TestParseProcesses(t *testing.T) {
	f := parsed(t, "processes", `@90
      1       0 root                                     19652  2-01:02:03 /sbin/init splash
      2       0 root                                         0       28:49 [kthreadd]
      3       2 root                                         0       28:49 [pool_workqueue_release]
     88       1 root                                      6000       01:00 sshd: root@notty
     92      91 root                                      1000       00:00 ps -ww -eo pid=
     90      88 root                                      1000       00:00 sh -s
     91      90 root                                      1000       00:00 sh -s
    500       1 stoat                                   204800    01:00:00 /opt/stoat/bin/stoatchat --port 8088
garbage
`)
	diff(t, []Process{
		{PID: 1, User: "root", RSS: 19652 << 10, Age: 49*time.Hour + 2*time.Minute + 3*time.Second, Args: "/sbin/init splash"},
		{PID: 88, PPID: 1, User: "root", RSS: 6000 << 10, Age: time.Minute, Args: "sshd: root@notty"},
		{PID: 500, PPID: 1, User: "stoat", RSS: 200 << 20, Age: time.Hour, Args: "/opt/stoat/bin/stoatchat --port 8088"},
	}, f.Processes)
}

func TestParseProcessesOfProc(t *testing.T) {
	f := parsed(t, "processes", `@90
ticks 100 2074.40
p 6425 6423 #0 5627 S 6423 6425 6425 0 -1 4194560 8486 2477631 0 1003 4 5 3903 871 20 0 1 0 101804 5627904 1145
a bash -c x 
p 2 0 #0 0 S 0 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 2 0 0
a 
p 90 1 #0 800 S 1 0
a sh -s 
`)
	diff(t, []Process{{PID: 6425, PPID: 6423, User: "#0", RSS: 5627 << 10, Age: 1056360 * time.Millisecond, Args: "bash -c x"}}, f.Processes)
}

func TestParseDisks(t *testing.T) {
	f := parsed(t, "disks", `hung /mnt/dead nfs
s 4096 66053021 20410940 16777216 16338011 /
s 4096 100 50 0 0 /mnt/a b
s 4096 100 50 0 0 /boot
s 0 0 0 0 0 /nothing
mounts
rootfs / rootfs rw 0 0
/dev/vda1 / ext4 rw,relatime,errors=remount-ro 0 0
/dev/vdb1 /mnt/a\040b xfs ro,relatime 0 0
/dev/vdc1 /boot vfat rw 0 0
`)
	diff(t, []Disk{
		{Device: "/dev/vda1", Type: "ext4", Mount: "/", Total: 66053021 * 4096, Free: 20410940 * 4096, Inodes: 16777216, InodesFree: 16338011},
		{Device: "/dev/vdb1", Type: "xfs", Mount: "/mnt/a b", Total: 409600, Free: 204800, ReadOnly: true},
		{Device: "/dev/vdc1", Type: "vfat", Mount: "/boot", Total: 409600, Free: 204800},
	}, f.Disks)
	diff(t, []string{"disks (/mnt/dead nfs): did not answer in 2 s; is its server gone?"}, f.Missing)
	if d := f.diskOf("/mnt/a b/c"); d == nil || d.Mount != "/mnt/a b" {
		t.Errorf("the disk of a file in it is %+v", d)
	}
	if d := f.diskOf("/bootleg"); d == nil || d.Mount != "/" {
		t.Errorf("the disk of /bootleg is %+v", d)
	}
}

func TestParseOS(t *testing.T) {
	f := parsed(t, "os", `kernel=Linux 6.1.0-18-amd64
arch=x86_64
uptime=2074.40 3903.00
loadavg=0.24 0.10 0.02 1/123 456
cpus=2
reboot=yes
reboot_for=linux-image-6.1.0-18-amd64
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
ID=debian
`)
	diff(t, OS{ID: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)", Kernel: "Linux 6.1.0-18-amd64", Arch: "x86_64"}, f.OS)
	if f.Uptime != 2074400*time.Millisecond || f.Load1 != 0.24 || f.CPUs != 2 || f.Reboot != "linux-image-6.1.0-18-amd64" {
		t.Errorf("up %v, load %v, %d cpus, reboot %q", f.Uptime, f.Load1, f.CPUs, f.Reboot)
	}
	alpine := parsed(t, "os", "kernel=Linux 6.6.7-0-virt\narch=aarch64\ncpus=\nNAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME=\"Alpine Linux v3.19\"\n")
	diff(t, OS{ID: "alpine", Version: "3.19.1", Name: "Alpine Linux v3.19", Kernel: "Linux 6.6.7-0-virt", Arch: "aarch64"}, alpine.OS)
	if _, lacks := alpine.Lacks("os (load)"); !lacks || alpine.CPUs != 0 || alpine.Reboot != "" {
		t.Errorf("without /proc: %+v", alpine)
	}
}

func TestParseMemory(t *testing.T) {
	const machine = "MemTotal:       24684096 kB\nMemFree:        23000000 kB\nMemAvailable:   24164516 kB\nSwapTotal:       1048576 kB\nSwapFree:         524288 kB\nHugePages_Total:       0\n"
	diff(t, Memory{Total: 24684096 << 10, Available: 24164516 << 10, SwapTotal: 1 << 30, SwapFree: 1 << 29}, parsed(t, "memory", machine).Memory)
	diff(t, Memory{Total: 512 << 20, Available: 412 << 20, SwapTotal: 1 << 30, SwapFree: 1 << 29},
		parsed(t, "memory", machine+"limit: 536870912\nused: 209715200\ninactive_file 104857600\n").Memory)
	diff(t, Memory{Total: 24684096 << 10, Available: 24164516 << 10, SwapTotal: 1 << 30, SwapFree: 1 << 29},
		parsed(t, "memory", machine+"limit: max\nused: 209715200\n").Memory)
	old := parsed(t, "memory", "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 20 kB\n").Memory
	diff(t, Memory{Total: 100 << 10, Available: 35 << 10}, old)
}

func TestParseClock(t *testing.T) {
	if f := parsed(t, clockFact, "1700000002.500000000\n"); f.Skew != 2500*time.Millisecond || f.SkewErr != 0 {
		t.Errorf("skew %v ± %v", f.Skew, f.SkewErr)
	}
	for _, coarse := range []string{"1699999990", "1699999990.%N", "1699999990."} {
		if f := parsed(t, clockFact, coarse); f.Skew != -9500*time.Millisecond || f.SkewErr != time.Second/2 {
			t.Errorf("%q: skew %v ± %v", coarse, f.Skew, f.SkewErr)
		}
	}
	for _, bad := range []string{"", "x", "-1.5", "99999999999999999999", "999999999999.1"} {
		f := &Facts{}
		if err := parseClock([]byte(bad), f); err == nil {
			t.Errorf("%q gives a skew of %v", bad, f.Skew)
		}
	}
}

func TestParseTmux(t *testing.T) {
	f := parsed(t, "tmux", "=0\n2 1 5234 my session\n2 1 5235 my session\n1 0 77 openhands-1\nno server running on /tmp/x\n=1000\n1 0 88 openhands-1\n!user 1001: no setpriv to look as that user\n")
	diff(t, []TmuxSession{
		{User: "#0", Name: "my session", Windows: 2, Attached: true, PIDs: []int{5234, 5235}},
		{User: "#0", Name: "openhands-1", Windows: 1, PIDs: []int{77}},
		{User: "#1000", Name: "openhands-1", Windows: 1, PIDs: []int{88}},
	}, f.Tmux)
	diff(t, []string{"tmux (user 1001): no setpriv to look as that user"}, f.Missing)
}

func TestParseUnits(t *testing.T) {
	f := parsed(t, "units", `nginx.service                          enabled         enabled
getty@.service                         enabled         enabled
old.timer disabled
=units
nginx.service                          loaded    active   running A high performance web server
● broken.service                       loaded    failed   failed  Broken
apt-daily.timer                        loaded    active   waiting Daily apt
`)
	diff(t, []Unit{
		{"apt-daily.timer", "loaded", "active", "waiting", ""},
		{"broken.service", "loaded", "failed", "failed", ""},
		{"getty@.service", "", "inactive", "dead", "enabled"},
		{"nginx.service", "loaded", "active", "running", "enabled"},
		{"old.timer", "", "inactive", "dead", "disabled"},
	}, f.Units)
}

func TestParseCron(t *testing.T) {
	f := parsed(t, "cron", strings.ReplaceAll(`system /etc/crontab|SHELL=/bin/sh
system /etc/crontab|17 *	* * *	root	cd / && run-parts --report /etc/cron.hourly
system /etc/cron.d/x|@reboot www-data /usr/local/bin/start
system /etc/cron.d/x|# nothing
system /etc/cron.d/x|short
user /var/spool/cron/crontabs/stoat|MAILTO=x
user /var/spool/cron/crontabs/stoat|*/5 * * * * /opt/stoat/backup.sh
user /var/spool/cron/crontabs/stoat|@daily true
`, "|", "\t"))
	diff(t, []CronLine{
		{"root", "/etc/crontab", "17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly"},
		{"www-data", "/etc/cron.d/x", "@reboot www-data /usr/local/bin/start"},
		{"stoat", "/var/spool/cron/crontabs/stoat", "*/5 * * * * /opt/stoat/backup.sh"},
		{"stoat", "/var/spool/cron/crontabs/stoat", "@daily true"},
	}, f.Cron)
}

func TestParseUsersAndLink(t *testing.T) {
	f := parsed(t, "users", "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nbad\nstoat:x:1000:1000:,,,:/home/stoat:/bin/sh\n")
	f.Processes = []Process{{PID: 5, User: "#33", Args: "nginx: worker process"}, {PID: 6, User: "#77", Args: "/usr/bin/java -x"}}
	f.Tmux = []TmuxSession{{User: "#1000"}}
	f.Ports = []Port{{Proto: "tcp", Number: 80, PID: 5}, {Proto: "tcp", Number: 81}}
	f.User = "stoat"
	f.link()
	diff(t, []User{{"root", 0, "/root", "/bin/bash"}, {"www-data", 33, "/var/www", "/usr/sbin/nologin"}, {"stoat", 1000, "/home/stoat", "/bin/sh"}}, f.Users)
	diff(t, []string{"www-data", "77"}, []string{f.Processes[0].User, f.Processes[1].User})
	diff(t, "stoat", f.Tmux[0].User)
	diff(t, "nginx", f.Ports[0].Process)
	diff(t, []string{"ports (owners): 1 owners are hidden from user stoat; root sees them"}, f.Missing)
}

const dockerPS = `{"Command":"\"docker-entrypoint.s…\"","ID":"3f1a","Image":"postgres:16-alpine","Labels":"com.docker.compose.project=fluxer,com.docker.compose.service=db,com.docker.compose.project.working_dir=/root/fluxer/dev,note=a","Names":"fluxer-db-1","Ports":"0.0.0.0:5433-\u003e5432/tcp, [::]:5433-\u003e5432/tcp","State":"running","Status":"Up 2 hours (healthy)"}
{"ID":"4f1a","Image":"fluxer/api","Labels":"com.docker.compose.project=fluxer,com.docker.compose.service=api","Names":"fluxer-api-1","Ports":"9000-9001/tcp, 0.0.0.0:8088-8090->80-82/tcp","Status":"Exited (1) 3 days ago"}
{"ID":"5f1a","Image":"busybox","Labels":"","Names":"web/alias,lonely","Status":"Up 1 second (health: starting)"}
{"ID":"6f1a","Image":"busybox","Names":"p","Status":"Up 1 hour (Paused)"}
`

func TestParseDocker(t *testing.T) {
	f := parsed(t, "docker", "WARNING: something\n"+dockerPS)
	diff(t, []Container{
		{ID: "3f1a", Name: "fluxer-db-1", Image: "postgres:16-alpine", State: "running", Status: "Up 2 hours (healthy)", Health: "healthy",
			Ports: "0.0.0.0:5433->5432/tcp, [::]:5433->5432/tcp", Project: "fluxer", Service: "db"},
		{ID: "4f1a", Name: "fluxer-api-1", Image: "fluxer/api", State: "exited", Status: "Exited (1) 3 days ago",
			Ports: "9000-9001/tcp, 0.0.0.0:8088-8090->80-82/tcp", Project: "fluxer", Service: "api"},
		{ID: "5f1a", Name: "lonely", Image: "busybox", State: "running", Status: "Up 1 second (health: starting)", Health: "starting"},
		{ID: "6f1a", Name: "p", Image: "busybox", State: "paused", Status: "Up 1 hour (Paused)"},
	}, f.Containers)
	diff(t, []ComposeProject{{Name: "fluxer", Dir: "/root/fluxer/dev", Running: 1, Total: 2}}, f.Projects)
	if c := f.publisher(8089); c == nil || c.Name != "fluxer-api-1" {
		t.Errorf("port 8089 is published by %+v", c)
	}
	if c := f.publisher(9000); c != nil {
		t.Errorf("port 9000 is only exposed, not published by %+v", c)
	}
	broken := &Facts{}
	err := parseDocker([]byte("permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock\nfailed\n"), broken)
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("error %v", err)
	}
}

func TestParseDatabasesAndLink(t *testing.T) {
	f := parsed(t, "databases", "=postgres\npostgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n=mysqld\n/usr/sbin/mysqld  Ver 10.11.6-MariaDB for debian\n")
	docker := parsed(t, "docker", dockerPS)
	f.Containers = docker.Containers
	f.Processes = []Process{{PID: 9, Args: "/usr/bin/java -ea org.apache.cassandra.service.CassandraDaemon"}, {PID: 10, Args: "/usr/bin/mongod --config /etc/mongod.conf"}}
	f.Ports = []Port{
		{"tcp", "127.0.0.1", 5432, 7, "postgres"}, {"tcp6", "::1", 5432, 7, "postgres"}, {"tcp", "127.0.0.1", 3306, 8, "mysqld"},
		{"tcp", "127.0.0.1", 9042, 9, "java"}, {"tcp", "127.0.0.1", 7000, 9, "java"}, {"tcp", "0.0.0.0", 5433, 11, "docker-proxy"},
		{"tcp", "127.0.0.1", 27017, 10, "conn1"}, {"tcp", "127.0.0.1", 6379, 0, ""}, {"tcp", "127.0.0.1", 80, 0, ""}, {"udp", "127.0.0.1", 5432, 7, "postgres"},
	}
	f.Root = true
	f.link()
	diff(t, []Database{
		{"postgresql", 5432, "postgres", "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"},
		{"mariadb", 3306, "mysqld", "/usr/sbin/mysqld Ver 10.11.6-MariaDB for debian"},
		{"cassandra", 9042, "java", ""},
		{"postgresql", 5433, "container fluxer-db-1", "16-alpine"},
		{"mongodb", 27017, "mongod", ""},
		{"redis", 6379, "", ""},
	}, f.Databases)
}

// A server of MySQL or MariaDB is one database, whatever else it listens for.
func TestMySQLPorts(t *testing.T) {
	for _, c := range []struct {
		args  string
		ports []int
		want  int
	}{
		{"/usr/sbin/mysqld", []int{33060, 3306}, 3306},
		{"/usr/sbin/mysqld --port=40000", []int{33060, 3306, 40000}, 40000},
		{"/usr/sbin/mysqld --mysqlx-port=3307 --port 3308", []int{3307, 3308}, 3308},
		{"/usr/sbin/mysqld --defaults-file=/etc/b.cnf", []int{33061, 33062, 40000}, 40000},
		{"/usr/sbin/mysqld", []int{33060}, 33060},
	} {
		f := &Facts{Processes: []Process{{PID: 8, Args: c.args}}}
		for _, n := range c.ports {
			f.Ports = append(f.Ports, Port{"tcp", "0.0.0.0", n, 8, "mysqld"}, Port{"tcp6", "::", n, 8, "mysqld"})
		}
		f.linkDatabases()
		diff(t, []Database{{"mysql", c.want, "mysqld", ""}}, f.Databases)
	}
}

func TestParseToolsAndVersions(t *testing.T) {
	f := parsed(t, "tools", `
=git
git version 2.39.5

=zstd
*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***

=mysql
mysql  Ver 15.1 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64) using  EditLine wrapper

=wget
wget: unrecognized option: version
BusyBox v1.36.1 (2023-11-07 18:53:09 UTC) multi-call binary.

=docker
Docker version 28.2.2, build e6534b4

=docker compose
docker: 'compose' is not a docker command.

=systemctl
systemd 252 (252.39-1~deb12u2)

=rsync

=done
`)
	want := map[string]string{"git": "2.39.5", "zstd": "1.5.4", "mysql": "10.11.19", "wget": "1.36.1", "docker": "28.2.2", "systemctl": "252.39", "rsync": ""}
	got := map[string]string{}
	for name, line := range f.Tools {
		got[name] = versionIn(line)
	}
	diff(t, want, got)
	cut := &Facts{}
	if err := parseTools([]byte("=git\ngit version 2.39.5\n"), cut); err == nil {
		t.Error("a list of tools that ends early is taken for whole")
	}
}

func TestParseIdentity(t *testing.T) {
	f := parsed(t, "identity", "hostname=chat-1\nmachine_id=3d12\nboot_id=a1ae\nmount_ns=mnt:[4026531832]\ninit_ns=\nuid=0\nuser=root\ngroups=root docker\nuid=7\n")
	diff(t, &Facts{Host: "chat", TakenAt: f.TakenAt, Hostname: "chat-1", MachineID: "3d12", BootID: "a1ae", MountNS: "mnt:[4026531832]", User: "root", Root: true, Groups: []string{"root", "docker"}}, f)
}

func TestClean(t *testing.T) {
	diff(t, "a\ufffdb\tc\n\ufffd\ufffd\ufffdé", string(clean([]byte("a\x1bb\tc\n\xff\u202e\u009bé"))))
	diff(t, "a b c", OneLine(" a\n\tb   c ", 10))
	diff(t, "abc…", OneLine("abcdef", 4))
}
