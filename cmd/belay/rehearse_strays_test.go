package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/steps/plan"
)

func TestRehearsalStraysToTheRealHosts(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plan.yaml"), `belay: 1
name: move
environment: production
hosts: {old: {address: 10.0.0.1}, new: {}, here: {local: true}}
vars: {to: "new", site: https://new/health, other: anew}
cutover:
  - {step: Hand on, on: old, proxy: {listen: "0.0.0.0:80", to: "${{ to }}:80"}}
  - {step: Copy, on: here, run: {script: "curl ada@10.0.0.1/x ${{ site }} ${{ other }}:80 new.example:80 127.0.0.1:80", verify: "true"}}
  - {step: Say, on: here, run: {script: "echo new old", verify: "true"}}
`)
	load := func(overlay string) *plan.Plan {
		t.Helper()
		write(t, filepath.Join(dir, "staging.yaml"), overlay)
		p, err := plan.LoadFile(filepath.Join(dir, "plan.yaml"), filepath.Join(dir, "staging.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	hosts := "environment: staging\nhosts: {old: {address: 10.0.9.1}, new: {address: trynew}, here: {local: true}}\n"
	f := strays(load(hosts), dir)(nil)
	if want := "\"Copy\" has 10.0.0.1\n\"Hand on\" has new:80\n\"Copy\" has new"; f.Level != "warn" || f.Detail != want {
		t.Errorf("%+v", f)
	}
	f = strays(load(hosts+"vars: {to: trynew, site: https://trynew/health}\n"), dir)(nil)
	if f.Level != "warn" || f.Detail != `"Copy" has 10.0.0.1` {
		t.Errorf("%+v", f)
	}
	src, _ := os.ReadFile(filepath.Join(dir, "plan.yaml"))
	write(t, filepath.Join(dir, "plan.yaml"), strings.Replace(string(src), "ada@10.0.0.1/x", "", 1))
	if f = strays(load(hosts+"vars: {to: trynew, site: https://trynew/health}\n"), dir)(nil); f.Level != "pass" {
		t.Errorf("%+v", f)
	}
}

// Where a step names a machine otherwise than by a port or in a URL, in its way
// back and in what mends it.
func TestStraysAreFoundWhereverAStepHasThem(t *testing.T) {
	hosts := "belay: 1\nname: move\nhosts: {old: {address: 10.0.0.1}, new: {address: \"fd00::1\"}}\ncutover:\n  - step: Do\n    on: old\n"
	overlay := strings.NewReplacer("10.0.0.1", "10.0.9.1", "fd00::1", "fd00::9").Replace(hosts)
	for text, want := range map[string]string{
		`run: {script: "psql -h 10.0.0.1 shop", verify: "true"}`:                                             `"Do" has 10.0.0.1`,
		`run: {script: "rsync -a /srv 10.0.0.1:/srv", verify: "true"}`:                                       `"Do" has 10.0.0.1`,
		`run: {script: "rsync -a /srv new:/srv", verify: "true"}`:                                            `"Do" has new`,
		`run: {script: "ssh -t -p 22 'new' reboot", verify: "true"}`:                                         `"Do" has new`,
		`run: {script: "ping fd00::1", verify: "true"}`:                                                      `"Do" has fd00::1`,
		`run: {script: "true", verify: "true"}` + "\n    undo: {run: curl http://10.0.0.1/start}":            `"Undo: Do" has 10.0.0.1`,
		`run: {script: "true", verify: "true"}` + "\n    hints: [{match: x, cause: full, mend: ssh new rm}]": `"Mend: full" has new`,
		`run: {script: "ping 10.0.0.12 110.0.0.1 10.0.0.1.2 fd00::12", verify: "true"}`:                      "",
		`run: {script: "ssh other; echo new renew ssh/new; : ssh keys of new", verify: "true"}`:              "",
	} {
		var both [2]*plan.Plan
		for i, head := range []string{overlay, hosts} {
			path := filepath.Join(t.TempDir(), "plan.yaml")
			write(t, path, head+"    "+text+"\n")
			var err error
			if both[i], err = plan.LoadFile(path); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(straysOf(both[0], both[1]), "; "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
