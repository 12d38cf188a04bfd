package inspect

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func copied(t *testing.T, h *Host) *Host {
	t.Helper()
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	c := &Host{}
	if err := json.Unmarshal(b, c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDiff(t *testing.T) {
	f, sections := recorded(t, "chat")
	f.Missing = nil
	old := Build(f, sections, nil)
	old.NotWhole = nil
	drop := func(areas ...func(h *Host)) *Host {
		h := copied(t, old)
		for _, a := range areas {
			a(h)
		}
		return h
	}
	program := func(h *Host, name string) *Program {
		for _, p := range h.Programs {
			if p.Name == name {
				return p
			}
		}
		t.Fatalf("no program %q", name)
		return nil
	}
	for name, c := range map[string]struct {
		new  *Host
		want []Difference
	}{
		"nothing but numbers that always change": {drop(func(h *Host) {
			h.Name, h.Hostname, h.Uptime, h.TakenAt = "new", "new", 5, h.TakenAt.Add(time.Hour)
			h.Mounts[0].Free, h.Mounts[0].Device = 1, "/dev/sda1"
			for _, p := range h.Programs {
				for i := range p.Processes {
					p.Processes[i].PID += 1000
				}
				slices.Reverse(p.Listens)
			}
			slices.Reverse(h.Programs)
			slices.Reverse(h.Jobs)
		}), nil},
		"a port, a job, a key, an account": {drop(func(h *Host) {
			program(h, "openhands-1").Listens = nil
			h.Jobs = h.Jobs[1:]
			h.EnvFiles[0].Keys = h.EnvFiles[0].Keys[1:]
			h.Users = h.Users[:3]
			h.Packages["nginx"] = "1.26.0-1"
			h.Mounts[1].ReadOnly = true
		}), []Difference{
			{AreaPorts, Gone, "tcp 8088", "openhands-1, on loopback only", ""},
			{AreaCron, Gone, "root: 30 3 * * * PGPASSWORD=*** pg_dump -U stoat stoat | gzip > /srv/backup/stoat.sql.gz", "/etc/cron.d/backup", ""},
			{AreaEnvironment, Gone, "/root/stoatchat/.env: REVOLT_DB", "set", ""},
			{AreaUsers, Gone, "www-data", "uid 33, /var/www, /usr/sbin/nologin", ""},
			{AreaMounts, Changed, "/srv", "xfs on /dev/vdb", "xfs, read-only on /dev/vdb"},
			{AreaPackages, Changed, "nginx", "1.22.1-9+deb12u10", "1.26.0-1"},
		}},
		"a database that the world can reach": {drop(func(h *Host) {
			program(h, "postgresql@15-main.service").Listens[0].Address = "0.0.0.0"
			program(h, "postgresql@15-main.service").Name = "db"
		}), []Difference{{AreaPorts, Changed, "tcp 5432", "postgresql@15-main.service, on loopback only", "db, not on loopback alone"}}},
		"a unit that failed, a certificate that is new": {drop(func(h *Host) {
			h.Units[0].State = "failed (failed)"
			h.Certificates[0].Ends = h.Certificates[0].Ends.AddDate(0, 0, 90)
			h.Certificates[1].Names = []string{"files.example.org"}
		}), nil}, // filled below
		"what could not be read proves nothing": {drop(func(h *Host) {
			h.Jobs, h.NotWhole = nil, []string{AreaCron}
		}), nil},
	} {
		got := Diff(old, c.new)
		switch name {
		case "a unit that failed, a certificate that is new":
			kinds := []string{}
			for _, d := range got {
				kinds = append(kinds, d.Area+" "+d.Kind)
			}
			if want := []string{"unit changed", "certificate changed", "certificate new"}; !cmp.Equal(kinds, want) {
				t.Errorf("%s: %+v", name, got)
			}
		case "what could not be read proves nothing":
			if len(got) != len(old.Jobs) || slices.ContainsFunc(got, func(d Difference) bool { return d.Kind != Unsure }) {
				t.Errorf("%s: %+v", name, got)
			}
		default:
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
	for _, d := range Diff(old, &Host{Name: "new", Unreached: "no"}) {
		if d.Kind != Unsure {
			t.Errorf("against a host that was not reached: %+v", d)
		}
	}
	for _, d := range Diff(&Host{}, old) {
		if d.Kind != New {
			t.Errorf("against an empty host: %+v", d)
		}
	}
}
