package checks

import (
	"testing"
	"time"

	"belay/remote"
)

func standingOf(t *testing.T, name string, f *Facts) []Finding {
	t.Helper()
	for _, c := range Standing() {
		if Name(c) == name {
			found, err := c.Assess(t.Context(), worldOf(f))
			if err != nil || len(found) == 0 {
				t.Fatalf("%s: %d findings, %v", name, len(found), err)
			}
			return found
		}
	}
	t.Fatalf("there is no standing check %q", name)
	return nil
}

func TestStandingChecks(t *testing.T) {
	const gib = 1 << 30
	disk := func(at string, total, free int64) *Facts {
		return &Facts{Disks: []Disk{{Mount: "/", Type: "ext4", Total: 100 * gib, Free: 50 * gib, Inodes: 100, InodesFree: 50}, {Mount: at, Type: "ext4", Total: total, Free: free}}}
	}
	inodes := disk("/var", 100*gib, 50*gib)
	inodes.Disks[1].Inodes, inodes.Disks[1].InodesFree = 1000, 5
	readOnly := func(typ string) *Facts {
		return &Facts{Disks: []Disk{{Mount: "/", Type: typ, Total: gib, Free: gib, ReadOnly: true}}}
	}
	skew := func(s, e time.Duration) *Facts { return &Facts{Skew: s, SkewErr: e} }
	for _, c := range []struct {
		check, key string
		f          *Facts
		want       Level
	}{
		{"disk-space", "", disk("/srv", 100*gib, 50*gib), Pass},
		{"disk-space", "/srv", disk("/srv", 100*gib, 5*gib), Warn},
		{"disk-space", "", disk("/srv", 5*gib, gib), Pass},
		{"disk-space", "/srv", disk("/srv", 100*gib, 0), Warn},
		{"disk-space", "/var", disk("/var", 100*gib, gib/2), Block},
		{"disk-space", "/var", disk("/var", 10*gib, 3*gib/2), Warn},
		{"disk-space", "", disk("/tmp", gib, gib/2), Pass},
		{"disk-space", "/var", inodes, Block},
		{"disk-space", "", &Facts{}, Unknown},
		{"disk-space", "", &Facts{Disks: disk("/srv", 9, 9).Disks, Missing: []string{"disks: cut"}}, Unknown},
		{"root-file-system", "", disk("/srv", 9, 9), Pass},
		{"root-file-system", "", readOnly("ext4"), Block},
		{"root-file-system", "", readOnly("overlay"), Warn},
		{"root-file-system", "", &Facts{}, Unknown},
		{"memory", "", &Facts{Memory: Memory{Total: 8 * gib, Available: 4 * gib}}, Pass},
		{"memory", "", &Facts{Memory: Memory{Total: 8 * gib, Available: gib / 2}}, Warn},
		{"memory", "", &Facts{}, Unknown},
		{"load", "", &Facts{CPUs: 2, Load1: 3.9}, Pass},
		{"load", "", &Facts{CPUs: 2, Load1: 4.1}, Warn},
		{"load", "", &Facts{Load1: 4.1}, Unknown},
		{"time", "", skew(1900*time.Millisecond, 50*time.Millisecond), Pass},
		{"time", "", skew(-1990*time.Millisecond, 50*time.Millisecond), Unknown},
		{"time", "", skew(-3*time.Second, 50*time.Millisecond), Warn},
		{"time", "", skew(-61*time.Second, 50*time.Millisecond), Block},
		{"time", "", skew(59*time.Second, 2*time.Second), Unknown},
		{"time", "", skew(0, 5*time.Second), Unknown},
		{"system", "", &Facts{OS: OS{ID: "debian", Kernel: "Linux 6.1"}}, Pass},
		{"system", "", &Facts{OS: OS{Kernel: "Darwin 23.1"}}, Block},
		{"system", "", &Facts{OS: OS{ID: "debian"}}, Unknown},
		{"rights", "", &Facts{User: "root", Root: true}, Pass},
		{"rights", "", &Facts{User: "ann", Tools: map[string]string{"sudo": "1.9"}}, Pass},
		{"rights", "", &Facts{User: "ann", Tools: map[string]string{}}, Warn},
		{"rights", "", &Facts{User: "ann", Missing: []string{"tools: cut"}}, Unknown},
		{"rights", "", &Facts{}, Unknown},
		{"reboot", "", &Facts{Reboot: "linux-image"}, Warn},
		{"reboot", "", &Facts{}, Pass},
	} {
		c.f.Host = "chat"
		found := standingOf(t, c.check, c.f)
		if len(found) != 1 || found[0].Level != c.want || found[0].Key != c.key {
			t.Errorf("%s of %+v: %+v, want %s at %q", c.check, *c.f, found, c.want, c.key)
		}
	}
}

func TestSameMachine(t *testing.T) {
	machine := Facts{Hostname: "chat", MachineID: "m", BootID: "b", MountNS: "mnt:[1]", InitNS: "mnt:[1]"}
	with := func(change func(*Facts)) Facts { f := machine; change(&f); return f }
	for name, c := range map[string]struct {
		other Facts
		want  Level
	}{
		"itself":                        {machine, Block},
		"itself, init not readable":     {with(func(f *Facts) { f.InitNS = "" }), Block},
		"itself, private namespace":     {with(func(f *Facts) { f.MountNS = "mnt:[7]" }), Block},
		"a clone with its machine id":   {with(func(f *Facts) { f.BootID = "c" }), Pass},
		"a container beside it":         {with(func(f *Facts) { f.MountNS, f.InitNS, f.Hostname = "mnt:[2]", "mnt:[2]", "a" }), Pass},
		"a container of the same image": {with(func(f *Facts) { f.MountNS, f.InitNS = "mnt:[2]", "mnt:[2]" }), Pass},
		"a container with host's pids":  {with(func(f *Facts) { f.MountNS, f.Hostname, f.MachineID = "mnt:[2]", "x", "" }), Pass},
		"renamed in between":            {with(func(f *Facts) { f.Hostname = "new" }), Unknown},
		"namespaces not readable":       {with(func(f *Facts) { f.MountNS, f.InitNS = "", "" }), Unknown},
		"no boot id, same name":         {with(func(f *Facts) { f.BootID = "" }), Unknown},
		"no boot id, other machine id":  {with(func(f *Facts) { f.BootID, f.MachineID = "", "n" }), Pass},
		"no boot id, other name":        {with(func(f *Facts) { f.BootID, f.Hostname = "", "n" }), Pass},
	} {
		w := World{Hosts: remote.Hosts{"a": {Name: "a"}, "b": {Name: "b"}}, Facts: map[string]*Facts{"a": &machine, "b": &c.other}}
		found := Judge(t.Context(), w, []Check{sameMachine{}})
		if found[0].Level != c.want {
			t.Errorf("%s: %+v, want %s", name, found, c.want)
		}
		if n := map[bool]int{true: 2, false: 1}[c.want == Pass]; len(found) != n {
			t.Errorf("%s: %d findings, want %d: %+v", name, len(found), n, found)
		}
	}
}
