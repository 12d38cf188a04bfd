package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/checks/inspect"
	"belay/steps/plan"
)

// interviewed answers an interview with lines, on two servers that look alike.
func interviewed(t *testing.T, o initFlags, lines ...string) (string, error) {
	t.Helper()
	look := func(_ context.Context, o initFlags) (old, now *inspect.Host, err error) {
		if o.from == "nowhere" {
			return nil, nil, errors.New(`host "nowhere" was not reached: no such host; nothing was written`)
		}
		old = &inspect.Host{Name: o.from, User: "ada", Programs: []*inspect.Program{
			{Kind: inspect.KindContainer, Name: "shop-web-1", Listens: []inspect.Listen{{Proto: "tcp", Port: 80}},
				Container: &inspect.Container{Image: "shop:1", Project: "shop", Service: "web", Dir: "/opt/shop"}},
			{Kind: inspect.KindTmux, Name: "chat"},
		}}
		if o.to != "" {
			now = &inspect.Host{Name: o.to, Root: true}
		}
		return old, now, nil
	}
	var out strings.Builder
	iv := interview{in: strings.NewReader(strings.Join(lines, "\n") + "\n"), out: &out, look: look}
	err := iv.run(t.Context(), o)
	return out.String(), err
}

func TestInterview(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.yaml")
	out, err := interviewed(t, initFlags{out: file}, "", "nowhere", "", "ada@old.example.org", "new", "3", "1 2", "soon", "5m", "9", "2")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"nothing is changed on them", "was not reached", "On ada@old.example.org we are ada, not root", " 1 * Compose project shop: 1 containers, tcp 80",
		" 2   tmux chat", `"3" is no number from 1 to 2`, `"soon" is no length of time`, `"9" is no number from 1 to 3`, "Wrote " + file, "no problems", "belay plan " + file,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	p, err := plan.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "old.example.org-to-new" || len(p.Hosts) != 2 || p.Hosts[0].User != "ada" {
		t.Errorf("%+v", p.Hosts)
	}
	var kinds []string
	for _, s := range p.Steps() {
		kinds = append(kinds, s.Kind.Name)
	}
	for _, want := range []string{"compose.down", "compose.up", "files.sync", "docker.image", "compare", "proxy", "manual", "inspect.compare"} {
		if !strings.Contains(strings.Join(kinds, " "), want) {
			t.Errorf("no %s among %v", want, kinds)
		}
	}

	// A file that is there stays, and so does everything when nobody answers.
	if _, err := interviewed(t, initFlags{out: file}, "old", "", "", ""); err == nil || !strings.Contains(err.Error(), "is there already and was left as it is") {
		t.Error(err)
	}
	other := filepath.Join(t.TempDir(), "other.yaml")
	if _, err := interviewed(t, initFlags{out: other}, "old", "new"); !errors.Is(err, errNoAnswer) {
		t.Error(err)
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("half an interview wrote a plan")
	}
	// In place there is no question about clients.
	if out, err := interviewed(t, initFlags{out: other}, "old", "", "", ""); err != nil || strings.Contains(out, "clients") {
		t.Errorf("%v\n%s", err, out)
	}
}
