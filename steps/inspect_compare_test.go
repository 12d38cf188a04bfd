package steps

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"belay/checks/inspect"
	"belay/remote"
)

// inspected is a pretend look at two hosts that the test changes.
type inspected map[string]*inspect.Host

func (i inspected) look(_ context.Context, _ remote.Hosts, names []string) (*inspect.Inspection, error) {
	h := *i[names[0]]
	h.Name, h.TakenAt = names[0], time.Now()
	return &inspect.Inspection{Hosts: []*inspect.Host{&h}}, nil
}

func listening(name string, port int) *inspect.Program {
	return &inspect.Program{Kind: inspect.KindUnit, Name: name, Listens: []inspect.Listen{{Proto: "tcp", Address: "0.0.0.0", Port: port}}}
}

func TestInspectCompare(t *testing.T) {
	root := inspect.User{Name: "root", Home: "/root", Shell: "/bin/sh"}
	hosts := inspected{
		"old": {
			Programs: []*inspect.Program{listening("web.service", 80), listening("mail.service", 25)},
			Users:    []inspect.User{root, {Name: "deploy", UID: 1000}},
			Jobs:     []inspect.Job{{Kind: "cron", User: "root", When: "0 3 * * *", Command: "/usr/bin/backup", Where: "/etc/cron.d/backup"}},
			Packages: map[string]string{"nginx": "1"},
		},
		"new": {
			Programs: []*inspect.Program{listening("caddy.service", 80)},
			Users:    []inspect.User{root},
			Packages: map[string]string{"caddy": "2"},
		},
	}
	c := &inspectCompare{Old: "old", New: "new", Areas: []string{"port", "job", "user"}, look: hosts.look,
		Ignore: []inspectIgnore{{Area: "user", Key: "dep*", Why: "deploys come by CI now"}}}
	e := newFileEnv(nil)
	e.Hosts = remote.Hosts{"old": remote.Local("old"), "new": remote.Local("new")}

	err := c.Apply(t.Context(), e.Env)
	var lost *Disproof
	if !errors.As(err, &lost) {
		t.Fatalf("two things are gone: %v", err)
	}
	for _, want := range []string{
		"2 things of old are not, or not the same, on new: port tcp 25", "gone     port         tcp 25 (mail.service, not on loopback alone)",
		"gone     job          root: 0 3 * * * /usr/bin/backup (/etc/cron.d/backup)", "let be: deploys come by CI now", "Mend what is missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%s", want, err)
		}
	}
	if strings.Contains(err.Error(), "nginx") {
		t.Error("packages were not asked for")
	}
	if c.Verify(t.Context(), e.Env) == nil {
		t.Error("what is forgotten is verified")
	}

	// What was missing is mended. The old host changes after its baseline was
	// kept, or is gone: that says nothing.
	hosts["new"].Programs = append(hosts["new"].Programs, listening("postfix.service", 25))
	hosts["new"].Jobs = hosts["old"].Jobs
	hosts["old"] = &inspect.Host{Unreached: "switched off"}
	if err := c.Apply(t.Context(), e.Env); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), e.Env); err != nil {
		t.Fatal(err)
	}
	if text, ok, at, found, err := c.Proof(e.Env); !ok || !found || err != nil || at.IsZero() || text != "4 things of old are on new too; 1 may differ by the plan" {
		t.Errorf("%q %v %v %v %v", text, ok, at, found, err)
	}

	// At the end of the soak something has gone again.
	hosts["new"].Jobs = nil
	if _, err := c.Prove(t.Context(), e.Env); !errors.As(err, &lost) || !strings.Contains(err.Error(), "/usr/bin/backup") {
		t.Errorf("%v", err)
	}
	// A host that is not reached proves nothing, either way.
	hosts["new"] = &inspect.Host{Unreached: "no route to host"}
	if _, err := c.Prove(t.Context(), e.Env); err == nil || errors.As(err, &lost) {
		t.Errorf("%v", err)
	}
}

// What the cutover moves is missed only once the old host has it no more.
func TestInspectCompareMoving(t *testing.T) {
	hosts := inspected{
		"old": {Programs: []*inspect.Program{listening("web.service", 80)}, Users: []inspect.User{{Name: "deploy"}}},
		"new": {Users: []inspect.User{{Name: "deploy"}}},
	}
	c := &inspectCompare{Old: "old", New: "new", Areas: []string{"port", "user"}, Moving: []string{"port"}, look: hosts.look}
	e := newFileEnv(nil)
	if err := c.Apply(t.Context(), e.Env); err != nil {
		t.Fatal(err)
	}
	if text, _, _, _, _ := c.Proof(e.Env); text != "1 things of old are on new too; 1 come with the cutover" {
		t.Errorf("%q", text)
	}
	hosts["old"].Programs = nil // switched off
	var lost *Disproof
	if _, err := c.Prove(t.Context(), e.Env); !errors.As(err, &lost) || !strings.Contains(err.Error(), "tcp 80") {
		t.Errorf("%v", err)
	}
	hosts["new"].Programs = []*inspect.Program{listening("web.service", 80)}
	if text, err := c.Prove(t.Context(), e.Env); err != nil || text != "2 things of old are on new too" {
		t.Errorf("%q %v", text, err)
	}
}

func TestInspectCompareRefuses(t *testing.T) {
	all := &inspectCompare{Old: "a", New: "b"}
	if err := all.Validate(); err != nil || len(all.Areas) != 7 || slices.Contains(all.Areas, inspect.AreaPackages) {
		t.Errorf("%v %v", all.Areas, err)
	}
	for _, x := range []inspectIgnore{{Area: "ports", Key: "tcp 1"}, {Key: "*"}} {
		if (&inspectCompare{Old: "a", New: "b", Ignore: []inspectIgnore{x}}).Validate() == nil {
			t.Errorf("%+v passes", x)
		}
	}
}
