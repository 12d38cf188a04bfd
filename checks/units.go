package checks

import (
	"slices"
	"strings"
)

func init() {
	addFact(fact{name: "units", limit: 1 << 20, parse: parseUnits, script: `
has systemctl && [ -d /run/systemd/system ] || { miss "systemd is not running there"; return; }
lim 15 systemctl list-unit-files --type=service,timer --no-legend --no-pager || { miss "systemctl does not answer"; return; }
printf '=units\n'
lim 15 systemctl list-units --type=service,timer --all --no-legend --no-pager --plain --full || miss "systemctl does not answer"
`})
}

// parseUnits expects "name enabled [preset]" lines, then "=units" and "name
// load active sub description" lines (older systemctl puts a mark before the
// name of a failed one).
func parseUnits(section []byte, f *Facts) error {
	at := map[string]int{}
	get := func(name string) *Unit {
		i, ok := at[name]
		if !ok {
			i = len(f.Units)
			at[name] = i
			f.Units = append(f.Units, Unit{Name: name})
		}
		return &f.Units[i]
	}
	loaded := false
	for line := range lines(section) {
		if line == "=units" {
			loaded = true
			continue
		}
		w := strings.Fields(line)
		if len(w) > 0 && !strings.Contains(w[0], ".") {
			w = w[1:]
		}
		switch {
		case !loaded && len(w) >= 2:
			get(w[0]).Enabled = w[1]
		case loaded && len(w) >= 4:
			u := get(w[0])
			u.Load, u.Active, u.Sub = w[1], w[2], w[3]
		}
	}
	// A template or a unit that is not loaded is not running.
	for i := range f.Units {
		if f.Units[i].Active == "" {
			f.Units[i].Active, f.Units[i].Sub = "inactive", "dead"
		}
	}
	slices.SortFunc(f.Units, func(a, b Unit) int { return strings.Compare(a.Name, b.Name) })
	if len(f.Units) == 0 {
		return noReading(f, "units")
	}
	return nil
}
