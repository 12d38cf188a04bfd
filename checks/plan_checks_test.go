package checks

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"belay/remote"

	"go.yaml.in/yaml/v3"
)

// Every kind's example is one list item of that kind, holds no unknown
// parameter, and validates; every parameter is documented.
func TestKindsExamplesDecode(t *testing.T) {
	want := []string{"port", "disk", "memory", "tool", "process", "file", "http", "tcp", "command", "clock", "identity", "container", "unit", "database", "log", "load", "tls", "dns", "step"}
	all := All()
	if len(all) != len(want) {
		t.Errorf("%d kinds, want %d", len(all), len(want))
	}
	for _, name := range want {
		k, ok := all[name]
		if !ok || k.Summary == "" {
			t.Errorf("kind %s: %+v", name, k)
			continue
		}
		var items []map[string]yaml.Node
		if err := yaml.Unmarshal([]byte(k.Example), &items); err != nil || len(items) != 1 {
			t.Errorf("%s: example: %v", name, err)
			continue
		}
		node, ok := items[0][name]
		if !ok {
			t.Errorf("%s: its example is of another kind", name)
		}
		c := k.New()
		text, _ := yaml.Marshal(&node)
		d := yaml.NewDecoder(strings.NewReader(strings.Replace(string(text), "on: chat", "on: [chat]", 1)))
		d.KnownFields(true)
		if err := d.Decode(c); err != nil {
			t.Errorf("%s: example: %v", name, err)
		}
		if v, ok := c.(Validator); ok {
			if err := v.Validate(); err != nil {
				t.Errorf("%s: example: %v", name, err)
			}
		}
		if h, ok := c.(Hoster); !ok && name != "step" { // which is on no host of its own
			t.Errorf("%s names no hosts", name)
		} else if ok && !slices.Equal(h.HostNames(), []string{"chat"}) {
			t.Errorf("%s: hosts %q", name, h.HostNames())
		}
		if Name(c) != name {
			t.Errorf("%s is called %s", name, Name(c))
		}
		typ := reflect.TypeOf(c).Elem()
		for i := range typ.NumField() {
			if f := typ.Field(i); f.Tag.Get("yaml") != ",inline" && (f.Tag.Get("doc") == "" || f.Tag.Get("yaml") == "") {
				t.Errorf("%s: parameter %s has no doc", name, f.Name)
			}
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	no := false
	for _, c := range []struct {
		check Validator
		field string
	}{
		{&PortCheck{Port: 0}, "port"}, {&PortCheck{Port: 65536}, "port"}, {&PortCheck{Port: 1, Owner: "("}, "owner"},
		{&PortCheck{Port: 1, Owner: "x", Free: true}, "free"}, {&DiskCheck{Path: "var", Free: 1}, "path"}, {&DiskCheck{}, "free"},
		{&ToolCheck{}, "name"}, {&ToolCheck{Name: "a b"}, "name"}, {&ToolCheck{Any: []string{"git", "-x"}}, "any"},
		{&ToolCheck{Name: "git", Version: "new"}, "version"}, {&ProcessCheck{}, "match"}, {&ProcessCheck{Match: "x", Count: -1}, "count"},
		{&ProcessCheck{Match: "x", Count: 1, Absent: true}, "absent"}, {&FileCheck{Path: "x"}, "path"}, {&FileCheck{Path: "/x", Mode: "rwx"}, "mode"},
		{&FileCheck{Path: "/x", Exists: &no, Owner: "root"}, "exists"}, {&HTTPCheck{URL: "ftp://x"}, "url"}, {&HTTPCheck{URL: "http://a:b@x/"}, "url"},
		{&HTTPCheck{URL: "http://x", Status: 7}, "status"}, {&HTTPCheck{URL: "http://x", Headers: map[string]string{"authorization": "x"}}, "headers.authorization"},
		{&HTTPCheck{URL: "http://x", Headers: map[string]string{"X": "a\nb"}}, "headers.X"}, {&HTTPCheck{URL: "http://x", Connect: "x"}, "connect"},
		{&TCPCheck{Addr: "x"}, "addr"}, {&TCPCheck{Addr: "x:0"}, "addr"}, {&CommandCheck{Run: " "}, "run"}, {&CommandCheck{Run: "x", Status: 256}, "status"},
		{&TLSCheck{Addr: "x"}, "addr"}, {&TLSCheck{Addr: "x:0"}, "addr"}, {&TLSCheck{Addr: "x:1", CA: "ca.pem"}, "ca"}, {&TLSCheck{Addr: "x:1", CA: "/ca", Insecure: true}, "insecure"},
		{&TLSCheck{Addr: "x:1", Days: -1}, "days"}, {&DNSCheck{Query: DNSQuery{Name: "a b"}}, "name"}, {&LogCheck{Path: "/x"}, "contains"}, {&LogCheck{Absent: "x"}, "path"}, {&LogCheck{Path: "/x", Command: "y", Absent: "x"}, "path"},
		{&ClockCheck{}, "max"}, {&ClockCheck{Max: 1, Between: []string{"a"}}, "between"}, {&ContainerCheck{}, "name"},
		{&ContainerCheck{Name: "x", State: "absent", Health: "healthy"}, "state"}, {&UnitCheck{Name: "x.socket"}, "name"},
		{&DatabaseCheck{Kind: "redis", Port: -1}, "port"}, {&DatabaseCheck{Kind: "redis", Version: "~1"}, "version"},
	} {
		var fe *FieldError
		if err := c.check.Validate(); !errors.As(err, &fe) || fe.Field != c.field {
			t.Errorf("%T %+v: %v, want a refusal of %s", c.check, c.check, err, c.field)
		}
	}
	for _, c := range []Validator{&MemoryCheck{}, &IdentityCheck{}} {
		if c.Validate() == nil {
			t.Errorf("%T that asks nothing is taken", c)
		}
	}
}

// full are the facts of a host on which the checks below can pass or fail.
func full() *Facts {
	return &Facts{
		Host: "chat", Hostname: "chat-1.example.com", MachineID: "3d12", User: "root", Root: true,
		Skew: 300 * time.Millisecond, SkewErr: 10 * time.Millisecond,
		OS: OS{ID: "debian", Version: "12.4"}, Memory: Memory{Total: 4 << 30, Available: 2 << 30},
		Ports: []Port{
			{"tcp", "0.0.0.0", 8088, 7, "beam"}, {"tcp6", "::", 8088, 7, "beam"}, {"udp", "0.0.0.0", 53, 8, "dnsmasq"},
			{"tcp", "0.0.0.0", 81, 9, "docker-proxy"}, {"tcp", "0.0.0.0", 111, 0, ""}, {"tcp", "127.0.0.1", 5432, 3, "postgres"},
		},
		Processes: []Process{
			{PID: 7, User: "stoat", Args: "/opt/stoatchat --port 8088"}, {PID: 8, User: "root", Args: "dnsmasq"}, {PID: 10, User: "root", Args: "dnsmasq -x"},
			{PID: 11, User: "root", Args: "/usr/local/bin/belay run stoatchat.yaml"},
		},
		Containers: []Container{
			{Name: "web-1", Project: "web", Service: "api", Image: "api:1.2", State: "running", Status: "Up (healthy)", Health: "healthy", Ports: "0.0.0.0:81->80/tcp"},
			{Name: "web-2", Project: "web", Service: "job", Image: "job:1.2", State: "exited", Status: "Exited (1)"},
			{Name: "plain", Image: "x", State: "running", Status: "Up"},
			{Name: "web-3", Image: "x", State: "running", Status: "Up", Ports: "0.0.0.0:82->80/tcp"},
		},
		Units: []Unit{
			{"nginx.service", "loaded", "active", "running", "enabled"}, {"old.service", "loaded", "inactive", "dead", "disabled"},
			{"odd.service", "loaded", "activating", "auto-restart", ""}, {"bad.service", "loaded", "failed", "failed", "enabled"},
		},
		Databases: []Database{{"postgresql", 5432, "postgres", "postgres (PostgreSQL) 15.4"}, {"redis", 6379, "", ""}, {"mysql", 3306, "mysqld", ""}},
		Tools:     map[string]string{"git": "git version 2.39.5", "tar": "version unknown"},
	}
}

func TestChecksThatLookAtFacts(t *testing.T) {
	yes, no := true, false
	ms := func(n int) remote.Duration { return remote.Duration(time.Duration(n) * time.Millisecond) }
	for _, c := range []struct {
		check Check
		level Level
		text  string
	}{
		{&PortCheck{Port: 8088}, Block, "port 8088 is held by beam (pid 7)"},
		{&PortCheck{Port: 8088, Owner: "stoatchat"}, Pass, "port 8088 is held by beam (pid 7)"},
		{&PortCheck{Port: 8088, Owner: "nginx"}, Block, "port 8088 is held by beam (pid 7), not by nginx"},
		{&PortCheck{Port: 53}, Pass, "port 53 is free"},
		{&PortCheck{Port: 53, Proto: "udp"}, Block, "port 53 is held by dnsmasq (pid 8)"},
		{&PortCheck{Port: 81, Owner: "^web-1$"}, Pass, "port 81 is held by container web-1"},
		{&PortCheck{Port: 82, Owner: "^web-3$"}, Pass, "port 82 is published by container web-3"},
		{&PortCheck{Port: 82, Owner: "^web-1$"}, Block, "nobody listens on port 82"},
		{&PortCheck{Port: 82}, Block, "port 82 is published by container web-3"},
		{&PortCheck{Port: 111, Owner: "rpcbind"}, Unknown, "port 111 is held, but by whom is hidden from user root"},
		{&PortCheck{Port: 9, Owner: "x"}, Block, "nobody listens on port 9"},
		{&MemoryCheck{Free: 1 << 30}, Pass, "2.0 GiB of 4.0 GiB available"},
		{&MemoryCheck{Free: 3 << 30}, Block, "2.0 GiB of 4.0 GiB available, 3.0 GiB needed"},
		{&MemoryCheck{Total: 8 << 30}, Block, "4.0 GiB of memory in all, 8.0 GiB needed"},
		{&ToolCheck{Name: "git", Version: ">= 2.20, < 3"}, Pass, "git 2.39.5 is installed, >= 2.20, < 3 needed"},
		{&ToolCheck{Name: "git", Version: "3"}, Block, "git is 2.39.5, 3 needed"},
		{&ToolCheck{Any: []string{"jq", "git"}}, Pass, "git is installed: git version 2.39.5"},
		{&ToolCheck{Name: "jq"}, Block, "jq is not installed"},
		{&ToolCheck{Name: "tar", Version: "1"}, Unknown, "tar is installed, but its version is not known: version unknown"},
		{&ProcessCheck{Match: "stoatchat", Count: 1}, Pass, "stoatchat runs (pid 7, user stoat, for 0s)"},
		{&ProcessCheck{Match: "dnsmasq", Count: 1}, Block, "2 processes match dnsmasq; the first: dnsmasq runs (pid 8, user root, for 0s), but there should be 1"},
		{&ProcessCheck{Match: "dnsmasq", Absent: true, User: "stoat"}, Pass, "no process matches dnsmasq"},
		{&ProcessCheck{Match: "stoatchat", Absent: true}, Block, "stoatchat runs (pid 7, user stoat, for 0s)"},
		{&ProcessCheck{Match: "nginx"}, Block, "no process matches nginx"},
		{&ClockCheck{Max: ms(500)}, Pass, "its clock is 300ms ahead of ours, precise to 10ms; 500ms is allowed"},
		{&ClockCheck{Max: ms(305)}, Unknown, "its clock is 300ms ahead of ours, precise to 10ms: too coarse to tell whether it is within 305ms"},
		{&ClockCheck{Max: ms(100)}, Block, "its clock is 300ms ahead of ours, precise to 10ms; 100ms is allowed"},
		{&IdentityCheck{Hostname: "chat-1", OS: "Debian 12", User: "root"}, Pass, "host name chat-1.example.com, system debian 12.4, user root"},
		{&IdentityCheck{Hostname: "chat-2", MachineID: "3D12"}, Block, "host name is chat-1.example.com, not chat-2"},
		{&IdentityCheck{OS: "debian 1"}, Block, "system is debian 12.4, not debian 1"},
		{&ContainerCheck{Name: "web/api", Health: "healthy", Image: ":1.2"}, Pass, "container web-1: Up (healthy)"},
		{&ContainerCheck{Name: "web-2"}, Block, "container web-2 is exited, not running (Exited (1))"},
		{&ContainerCheck{Name: "web-2", State: "exited"}, Pass, "container web-2: Exited (1)"},
		{&ContainerCheck{Name: "plain", Health: "healthy"}, Block, "container plain has no health check"},
		{&ContainerCheck{Name: "gone"}, Block, "there is no container gone"},
		{&ContainerCheck{Name: "gone", State: "absent"}, Pass, "there is no container gone"},
		{&ContainerCheck{Name: "plain", State: "absent"}, Block, "container plain is there: Up"},
		{&UnitCheck{Name: "nginx", Enabled: &yes}, Pass, "nginx.service is active (running), enabled"},
		{&UnitCheck{Name: "nginx", Enabled: &no}, Block, "nginx.service is active (running), enabled"},
		{&UnitCheck{Name: "old"}, Block, "old.service is inactive (dead), disabled; it should be active"},
		{&UnitCheck{Name: "old", Active: &no}, Pass, "old.service is inactive (dead), disabled"},
		{&UnitCheck{Name: "bad", Active: &no}, Pass, "bad.service is failed (failed), enabled"},
		{&UnitCheck{Name: "odd", Active: &no}, Block, "odd.service is activating (auto-restart); it should not be active"},
		{&UnitCheck{Name: "odd"}, Block, "odd.service is activating (auto-restart); it should be active"},
		{&UnitCheck{Name: "none"}, Block, "there is no unit none.service"},
		{&UnitCheck{Name: "none.timer", Active: &no}, Pass, "there is no unit none.timer"},
		{&DatabaseCheck{Kind: "postgresql", Version: ">= 14"}, Pass, "postgresql listens on port 5432 (postgres), postgres (PostgreSQL) 15.4"},
		{&DatabaseCheck{Kind: "postgresql", Version: "16"}, Block, "postgresql listens on port 5432 (postgres), postgres (PostgreSQL) 15.4; 16 needed"},
		{&DatabaseCheck{Kind: "postgresql", Port: 5433}, Block, "no postgresql listens on port 5433"},
		{&DatabaseCheck{Kind: "redis"}, Unknown, "something listens on port 6379, which is redis's, but the process is hidden from user root"},
		{&DatabaseCheck{Kind: "mysql", Version: "8"}, Unknown, "mysql listens on port 3306 (mysqld); its version is not known"},
		{&DatabaseCheck{Kind: "valkey", Port: 111}, Unknown, "no valkey was seen, but who listens on port 111 is hidden from user root"},
	} {
		f := judgeHost(t, c.check, full())
		if f.Level != c.level || f.Text != c.text || f.Check != Name(c.check) || f.Host != "chat" {
			t.Errorf("%T %+v\n got %s %q\nwant %s %q", c.check, c.check, f.Level, f.Text, c.level, c.text)
		}
		if (f.Fix == "") != (f.Level == Pass) {
			t.Errorf("%s %q: fix %q", f.Level, f.Text, f.Fix)
		}
		if n, ok := c.check.(FactReader); !ok || !n.NeedsFacts() {
			t.Errorf("%T does not say that it needs facts", c.check)
		}
	}
}

func TestClocksBetweenHosts(t *testing.T) {
	w := World{Hosts: remote.Hosts{"a": {Name: "a"}, "b": {Name: "b"}, "c": {Name: "c"}}, Facts: map[string]*Facts{
		"a": {Skew: time.Second, SkewErr: time.Millisecond}, "b": {Skew: -time.Second, SkewErr: time.Millisecond}, "c": {Skew: time.Second, SkewErr: 5 * time.Second},
	}}
	for _, c := range []struct {
		between []string
		max     time.Duration
		want    Level
	}{
		{[]string{"a", "b"}, 3 * time.Second, Pass}, {[]string{"a", "b"}, time.Second, Block},
		{[]string{"a", "c"}, time.Second, Unknown}, {[]string{"a", "nobody"}, time.Hour, Unknown},
	} {
		found, err := (&ClockCheck{Between: c.between, Max: remote.Duration(c.max)}).Assess(t.Context(), w)
		if err != nil || len(found) != 1 || found[0].Level != c.want || found[0].Host != "" {
			t.Errorf("%v within %v: %+v %v", c.between, c.max, found, err)
		}
	}
}

func TestConstraint(t *testing.T) {
	for _, c := range []struct {
		want, version string
		ok            bool
	}{
		{">= 2.20", "2.20", true}, {">=2.20", "2.9", false}, {"> 2", "2.0.1", true}, {"> 2", "2.0", false}, {"15", "15.4", true}, {"15", "1", false},
		{"= 1.2", "1.2.3", true}, {"== 1.2", "1.20", false}, {"<= 3", "3.0.0", true}, {"< 3, >= 2", "2.5", true}, {"< 3, >= 2", "3", false}, {"v20", "20.1", true},
	} {
		got, err := parseConstraint(c.want)
		if err != nil || got.ok(c.version) != c.ok {
			t.Errorf("%q of %s: %v (%v), want %v", c.want, c.version, !c.ok, err, c.ok)
		}
	}
	for _, bad := range []string{"", "new", ">= ", "1.x", ">= 2 < 3", "99999999999"} {
		if c, err := parseConstraint(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, c)
		}
	}
}
