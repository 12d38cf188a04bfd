package checks

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"belay/remote"

	"github.com/google/go-cmp/cmp"
)

func listen(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func worldOf(f *Facts) World {
	name := f.Host
	if name == "" {
		name = "chat"
	}
	return World{Hosts: remote.Hosts{name: remote.Local(name)}, Facts: map[string]*Facts{name: f}}
}

// judgeHost runs one check on one host's facts.
func judgeHost(t testing.TB, c Check, f *Facts) Finding {
	t.Helper()
	found, err := c.Assess(t.Context(), worldOf(f))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 {
		t.Fatalf("%d findings, want 1: %+v", len(found), found)
	}
	return found[0]
}

type saying struct {
	found []Finding
	err   error
	panic any
}

func (s saying) Assess(context.Context, World) ([]Finding, error) {
	if s.panic != nil {
		panic(s.panic)
	}
	return s.found, s.err
}

func TestJudgeSortsAndLosesNothing(t *testing.T) {
	list := []Check{
		saying{found: []Finding{{Check: "p", Level: Pass, Text: "1"}, {Check: "w", Level: Warn, Text: "2"}}},
		saying{err: errors.New("cannot\x1b look")},
		saying{panic: "ouch"},
		saying{},
		saying{found: []Finding{{Check: "b", Level: Block, Text: "3"}, {Check: "p", Level: Pass, Text: "4"}, {Check: "z", Level: 9, Text: "5"}}},
		saying{found: []Finding{{Check: "p", Host: "h", Text: "zero is unknown"}, {Check: "p", Level: Pass, Text: "6"}}},
	}
	var got []string
	for _, f := range Judge(t.Context(), World{}, list) {
		got = append(got, f.Level.String()+" "+f.ID()+" "+f.Text)
	}
	want := []string{
		"block b// 3",
		"unknown checks.saying// not judged: cannot\ufffd look",
		"unknown checks.saying//#2 not judged: the check broke: ouch",
		"unknown checks.saying//#3 not judged: the check said nothing",
		"unknown z// not judged: level 9 of: 5",
		"unknown p/h/ zero is unknown",
		"warn w// 2",
		"pass p// 1", "pass p//#2 4", "pass p//#3 6",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestJudgeGivesReadOnlyHosts(t *testing.T) {
	var err error
	look := lookFunc(func(ctx context.Context, w World) ([]Finding, error) {
		err = w.Hosts["here"].Run(ctx, remote.Sh("true"))
		return nil, nil
	})
	Judge(t.Context(), World{Hosts: remote.Hosts{"here": remote.Local("here")}}, []Check{look})
	if !errors.Is(err, remote.ErrReadOnly) {
		t.Errorf("a command that is not pure: %v", err)
	}
}

type lookFunc func(context.Context, World) ([]Finding, error)

func (l lookFunc) Assess(ctx context.Context, w World) ([]Finding, error) { return l(ctx, w) }

// Whatever is missing of a host's facts, no check that needs facts passes on
// an absence: with no facts, or with every reading failed, all is Unknown.
func TestUnknownNeverBecomesPass(t *testing.T) {
	blind := &Facts{Host: "chat", User: "x", Root: false}
	for _, f := range factList {
		blind.Missing = append(blind.Missing, f.name+": it broke")
	}
	blind.Missing = append(blind.Missing, "os (load): it broke")
	no := false
	list := append(Standing(),
		&PortCheck{Port: 80}, &PortCheck{Port: 80, Owner: "nginx"}, &MemoryCheck{Free: 1}, &ToolCheck{Name: "git"},
		&ProcessCheck{Match: "x"}, &ProcessCheck{Match: "x", Absent: true}, &ClockCheck{Max: 1}, &IdentityCheck{Hostname: "chat"},
		&ContainerCheck{Name: "x"}, &ContainerCheck{Name: "x", State: "absent"}, &UnitCheck{Name: "x"}, &UnitCheck{Name: "x", Active: &no},
		&DatabaseCheck{Kind: "redis"}, &DatabaseCheck{Kind: "redis", Port: 1},
	)
	hosts := remote.Hosts{"chat": remote.Local("chat")}
	for name, w := range map[string]World{
		"blind":     {Hosts: hosts, Facts: map[string]*Facts{"chat": blind}},
		"no facts":  {Hosts: hosts},
		"unreached": {Hosts: hosts, Unreached: map[string]error{"chat": errors.New("no route")}},
	} {
		for _, c := range list {
			for _, f := range Judge(t.Context(), w, []Check{c}) {
				if f.Level == Unknown || f.Check == reachableName {
					continue
				}
				// One machine alone cannot be the same as another.
				if name == "blind" && f.Check == sameName {
					continue
				}
				t.Errorf("%s: %s %s: %s", name, f.Level, f.ID(), f.Text)
			}
		}
	}
}

func TestUnreachableHostsAreLeftAlone(t *testing.T) {
	hosts := remote.Hosts{"chat": {Name: "chat", Runner: dead{t}, Dialer: dead{t}}}
	w := World{Hosts: hosts, Unreached: map[string]error{"chat": &remote.UnreachableError{Host: "chat", Err: errors.New("no route")}}}
	list := []Check{
		&HTTPCheck{URL: "http://127.0.0.1/"}, &TCPCheck{Addr: "127.0.0.1:1"}, &CommandCheck{Run: "true"},
		&FileCheck{Path: "/"}, &LogCheck{Path: "/x", Absent: "x"}, &DiskCheck{Free: 1}, &ToolCheck{Name: "strange-tool"},
	}
	for _, f := range Judge(t.Context(), w, append(list, Standing()...)) {
		want := Unknown
		if f.Check == reachableName {
			want = Block
			if !strings.Contains(f.Text, "no route") || f.Fix == "" {
				t.Errorf("says %q, fix %q", f.Text, f.Fix)
			}
		}
		if f.Level != want {
			t.Errorf("%s: %s %s", f.Check, f.Level, f.Text)
		}
	}
}

type dead struct{ t *testing.T }

func (d dead) Run(context.Context, remote.Cmd) error {
	d.t.Error("a command was sent to a host that was not reached")
	return errors.New("no")
}

func (d dead) Dial(context.Context, string, string) (net.Conn, error) {
	d.t.Error("a connection was made from a host that was not reached")
	return nil, errors.New("no")
}

// same finds the same as others do.
type same string

func (s same) Assess(context.Context, World) ([]Finding, error) {
	return []Finding{{Check: "swarm", Host: "db", Key: "manager", Text: "no Swarm"}, {Check: "swarm", Host: "db", Key: "ports", Text: string(s)}}, nil
}

func TestJudgeTellsOnce(t *testing.T) {
	var ids []string
	for _, f := range Judge(t.Context(), World{}, []Check{same("a"), same("b"), same("b")}) {
		ids = append(ids, f.ID()+" "+f.Text)
	}
	if d := cmp.Diff([]string{"swarm/db/manager no Swarm", "swarm/db/ports a", "swarm/db/ports#2 b"}, ids); d != "" {
		t.Error(d)
	}
}
