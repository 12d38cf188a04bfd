package steps

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
)

// TestBrings: what is not there yet is called the same by those who miss it and
// by those who bring it.
func TestBrings(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	w := checks.World{Hosts: remote.Hosts{"db": remote.Local("db")}}
	f, absent := storeAbsent(t.Context(), w, "", store{Host: "db", Addr: "127.0.0.1:" + strconv.Itoa(port)}, "5432", "x")
	service := &swarmService{Node: "db", Ports: []swarmPort{{Published: 53, Protocol: "udp"}, {Published: port, Protocol: "tcp", Mode: "host"}}}
	if d := cmp.Diff([]string{f.Awaits}, service.Brings("manager")); d != "" || !absent {
		t.Errorf("absent: %v; -awaited +brought: %s", absent, d)
	}
	for addr, want := range map[string]string{"localhost:5432": "port 5432 of db", "[::1]:1": "port 1 of db", "10.0.0.80:5432": "", "db:5432": "", "": "", "/run/x": ""} {
		if got := awaitedPort("db", addr); got != want {
			t.Errorf("%q: %q", addr, got)
		}
	}
	shop := postgresStore{Database: "shop", store: store{Host: "db"}}
	need := &pgNeed{Of: shop, On: "old"}
	if got := (&postgresCopy{To: shop}).Brings("old"); len(got) != 1 || got[0] != broughtDatabase(need.host(), need.Of) {
		t.Errorf("a copy brings %q", got)
	}
	join := &swarmJoin{Manager: "db", As: "worker"}
	if got := strings.Join(append(join.Brings("db"), join.Brings("spare")...), ", "); got != "Swarm of db" {
		t.Errorf("a worker has no Swarm to ask: %s", got)
	}
	if join.As = "manager"; len(join.Brings("spare")) != 1 {
		t.Error("a manager has")
	}
}
