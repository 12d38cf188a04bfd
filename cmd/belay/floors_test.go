package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// floors is the law of the house: a package imports only from floors below its
// own. A new package is entered here or the test fails.
var floors = map[string]int{
	"remote/secret":      0,
	"steps/journal":      0,
	"tui/widget":         0,
	"remote":             1,
	"steps/journal/pg":   1,
	"steps/compare":      1,
	"steps/soak":         1,
	"remote/job":         2,
	"remote/hold":        2,
	"checks":             2,
	"steps/postgres":     2,
	"steps/mysql":        2,
	"steps/redis":        2,
	"steps/docker":       2,
	"steps/files":        2,
	"steps/kubernetes":   2,
	"checks/inspect":     3,
	"steps":              4,
	"steps/plan":         5,
	"steps/plan/shipped": 6, // plan files; its tests read them with steps/plan
	"steps/engine":       6,
	"steps/draft":        6,
	"steps/estimate":     6,
	"steps/report":       6,
	"steps/run":          7,
	"remote/ssh":         6,
	"tui":                8,
	"remote/lab":         7,
	"cmd/belay":          9,
}

// forTests are packages that only tests may import.
var forTests = map[string]int{
	"remote/remotetest":            2,
	"steps/journal/journaltest":    3,
	"remote/lab/dockerlab":         7,
	"remote/lab/dockerlab/standin": 9, // a program: what runs in place of a real service
	"remote/lab/dockerlab/api":     9, // likewise
	"remote/lab/dockerlab/coai":    9, // likewise
}

// listed is what the go command says about one package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestFloors(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, "belay/")
		floor, ok := floorOf(name)
		if !ok {
			t.Errorf("%s stands on no floor: enter it in the table of this test and of the design", name)
			continue
		}
		_, testOnly := forTests[name]
		for _, dep := range own(p.Imports) {
			switch _, depTestOnly := forTests[dep]; {
			case depTestOnly && !testOnly:
				t.Errorf("%s imports %s, which is for tests only", name, dep)
			case mustFloor(dep) >= floor:
				t.Errorf("%s (floor %d) imports %s (floor %d): only from lower floors", name, floor, dep, mustFloor(dep))
			}
		}
		for _, dep := range own(append(p.TestImports, p.XTestImports...)) {
			if dep == "remote/ssh" {
				continue // the one real transport: what works on hosts is tested through it, on every floor
			}
			if _, isTest := forTests[dep]; !isTest && dep != name && mustFloor(dep) > floor {
				t.Errorf("the tests of %s (floor %d) import %s (floor %d)", name, floor, dep, mustFloor(dep))
			}
		}
	}
}

// listPackages asks the go command, for every system that belay is released
// for, so that a file behind a build constraint cannot break the law unseen.
func listPackages(t *testing.T) []listed {
	t.Helper()
	var all []listed
	for _, goos := range []string{"linux", "darwin"} {
		cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "belay/...")
		cmd.Env = append(cmd.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list for %s: %v", goos, err)
		}
		for d := json.NewDecoder(strings.NewReader(string(out))); ; {
			var p listed
			if err := d.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("go list for %s: %v", goos, err)
			}
			all = append(all, p)
		}
	}
	if len(all) < 10 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

// own keeps the imports that belong to this module, without its name.
func own(imports []string) []string {
	var kept []string
	for _, p := range imports {
		if rest, ok := strings.CutPrefix(p, "belay/"); ok {
			kept = append(kept, rest)
		}
	}
	return kept
}

func floorOf(name string) (int, bool) {
	if f, ok := floors[name]; ok {
		return f, true
	}
	f, ok := forTests[name]
	return f, ok
}

// mustFloor is the floor of an import; one on no floor is reported by its own
// entry, and counts as the top here.
func mustFloor(name string) int {
	if f, ok := floorOf(name); ok {
		return f
	}
	return 99
}
