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
