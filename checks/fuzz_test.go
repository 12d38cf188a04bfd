package checks

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// fuzzFact feeds any bytes to one parser, as Gather would and without the
// cleaning before it. It must not panic, must not keep more than it was given,
// and what cleaned output leads to must be printable.
func fuzzFact(f *testing.F, name string, seeds ...string) {
	var it fact
	for _, x := range factList {
		if x.name == name {
			it = x
		}
	}
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		raw := &Facts{TakenAt: time.Unix(1700000000, 0)}
		_ = it.parse(b, raw)
		raw.link()

		facts := &Facts{TakenAt: time.Unix(1700000000, 0)}
		_ = it.parse(facts.takeMissing(name, clean(b)), facts)
		facts.link()
		n := len(facts.Ports) + len(facts.Processes) + len(facts.Disks) + len(facts.Tmux) + len(facts.Units) + len(facts.Cron) +
			len(facts.Users) + len(facts.Containers) + len(facts.Databases) + len(facts.Tools) + len(facts.Missing)
		if n > len(b)+2 {
			t.Fatalf("%d values from %d bytes", n, len(b))
		}
		for _, text := range texts(facts) {
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\x00\r") {
				t.Fatalf("%q came through", text)
			}
		}
		for _, found := range Judge(t.Context(), worldOf(facts), Standing()) {
			if strings.ContainsAny(found.Text+found.Fix+found.Detail, "\x1b\x00\r") {
				t.Fatalf("%+v", found)
			}
		}
	})
}

func texts(f *Facts) []string {
	all := append([]string{f.Hostname, f.User, f.OS.Name, f.Reboot}, f.Missing...)
	for _, p := range f.Processes {
		all = append(all, p.User, p.Args)
	}
	for _, p := range f.Ports {
		all = append(all, p.Process)
	}
	for _, c := range f.Containers {
		all = append(all, c.Name, c.Image, c.Status)
	}
	for _, s := range f.Tmux {
		all = append(all, s.Name)
	}
	for _, v := range f.Tools {
		all = append(all, v)
	}
	return all
}

func FuzzOS(f *testing.F) {
	fuzzFact(f, "os", "kernel=Linux 6\ncpus=2\nID=\"debian\"\nloadavg=1 2 3\n")
}
func FuzzMemory(f *testing.F) {
	fuzzFact(f, "memory", "MemTotal: 10 kB\nMemAvailable: 5 kB\nlimit: 7\nused: 3\n")
}
func FuzzDisks(f *testing.F) {
	fuzzFact(f, "disks", "s 4096 1 1 1 1 /\nhung /x\nmounts\n/dev/x / ext4 rw 0 0\n")
}
func FuzzPorts(f *testing.F) {
	fuzzFact(f, "ports", "=ss\ntcp LISTEN 0 1 *:80 *:* users:((\"x\",pid=1,fd=2))\n", "=netstat\ntcp 0 0 :::80 :::* LISTEN 1/x\n",
		"=proc\n=tcp\n0: 0100007F:A163 0:0 0A 0:0 0:0 0 0 0 47\n=fd\n/proc/1/fd:\nl -> socket:[47]\n")
}
func FuzzProcesses(f *testing.F) {
	fuzzFact(f, "processes", "@1\n 5 1 root 10 01:02 x y\n", "ticks 100 5\np 5 1 #0 1 S 1\na x\n")
}
func FuzzTmux(f *testing.F) { fuzzFact(f, "tmux", "=0\n1 0 5 name\n") }
func FuzzUnits(f *testing.F) {
	fuzzFact(f, "units", "a.service enabled\n=units\na.service loaded active running A\n")
}
func FuzzCron(f *testing.F)   { fuzzFact(f, "cron", "system /etc/crontab\t* * * * * root x\n") }
func FuzzUsers(f *testing.F)  { fuzzFact(f, "users", "root:x:0:0:root:/root:/bin/sh\n") }
func FuzzDocker(f *testing.F) { fuzzFact(f, "docker", dockerPS, "{\nfailed\n") }
func FuzzDatabases(f *testing.F) {
	fuzzFact(f, "databases", "=postgres\npostgres 15.1\n")
}
func FuzzTools(f *testing.F) { fuzzFact(f, "tools", "=git\ngit 2.1\n=done\n") }
func FuzzClock(f *testing.F) { fuzzFact(f, clockFact, "1700000000.5\n", "1700000000.000000000") }
func FuzzIdentity(f *testing.F) {
	fuzzFact(f, "identity", "hostname=x\nboot_id=y\nuid=0\n!user: z\n")
}

// FuzzSections: whatever a host sends, the sections come apart without a panic.
func FuzzSections(f *testing.F) {
	f.Add([]byte("\nM +clock\n1700000000.000000000\n\nM -clock\n\nM +os\nkernel=Linux 6\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts := &Facts{TakenAt: time.Unix(1700000000, 0)}
		readSections(factList, "M", b, facts)
		facts.link()
		if len(facts.Missing) > len(b)+3*len(factList) {
			t.Fatalf("%d lines are missing", len(facts.Missing))
		}
	})
}

func FuzzConstraint(f *testing.F) {
	f.Add(">= 2.20, < 3", "git version 2.39.5")
	f.Fuzz(func(t *testing.T, want, line string) {
		c, err := parseConstraint(want)
		if err == nil {
			c.ok(versionIn(line))
		}
	})
}

func FuzzHTTPAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nbody"))
	f.Add([]byte("  HTTP/1.1 200 OK\n\n--belay-body--\nbody"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parseAnswer(b); err == nil && (len(a.body) > len(b) || a.status < 100) {
			t.Fatalf("%d with %d bytes", a.status, len(a.body))
		}
	})
}
