// Command count reads `go test -json` and prints what go test hides for a
// passing package: how many tests were skipped, and why. It shows the output of
// failed packages and exits with 1 when there is one.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// event is one line of test2json; see `go doc test2json`.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// tally is what has been seen so far.
type tally struct {
	passed, failed, skipped int
	reasons                 map[string]int
	output                  map[string]*strings.Builder // by package or by package and test
	broken                  bool
}

func main() {
	t := tally{reasons: map[string]int{}, output: map[string]*strings.Builder{}}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Println(in.Text()) // what the go command itself says
			continue
		}
		t.add(e)
	}
	fmt.Printf("%d tests passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	for _, why := range slices.Sorted(maps.Keys(t.reasons)) {
		fmt.Printf("  skipped %3d: %s\n", t.reasons[why], why)
	}
	if t.broken || t.failed > 0 || in.Err() != nil {
		os.Exit(1)
	}
}

func (t *tally) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if t.output[key] == nil {
			t.output[key] = &strings.Builder{}
		}
		t.output[key].WriteString(e.Output)
		if e.Action == "build-output" {
			fmt.Print(e.Output)
		}
	case "pass", "fail", "skip":
		t.end(e, key)
	}
}

// location is what testing puts before a line of t.Log.
var location = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*)$`)

func (t *tally) end(e event, key string) {
	said := ""
	if b := t.output[key]; b != nil {
		said = b.String()
	}
	delete(t.output, key)
	switch {
	case e.Test == "":
		if e.Action == "fail" {
			t.broken = true
			fmt.Print(said)
		} else if e.Action == "pass" {
			fmt.Printf("ok   %s  %.1fs\n", e.Package, e.Elapsed)
		}
	case e.Action == "pass":
		t.passed++
	case e.Action == "fail":
		t.failed++
		fmt.Print(said)
	case e.Action == "skip":
		t.skipped++
		why := "no reason given"
		if m := location.FindAllStringSubmatch(said, -1); m != nil {
			why = m[len(m)-1][1]
		}
		t.reasons[why]++
	}
}
