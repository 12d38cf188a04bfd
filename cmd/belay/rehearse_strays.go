package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"belay/steps/journal"
	"belay/steps/plan"
)

// strays judges whether a rehearsal keeps away from the hosts that the plan in
// dir acts on by itself: an overlay gives the hosts anew, and may forget an
// address that a step has in its parameters. nil where that plan cannot be read.
func strays(p *plan.Plan, dir string) func(map[string]journal.Size) journal.Finding {
	real, err := plan.LoadFile(filepath.Join(dir, "plan.yaml"))
	if err != nil {
		return nil
	}
	found := straysOf(p, real)
	return func(map[string]journal.Size) journal.Finding {
		if len(found) == 0 {
			return journal.Finding{Level: "pass", Text: "no step speaks of an address of the plan's own hosts"}
		}
		return journal.Finding{
			Level: "warn", Text: "the rehearsal speaks of the plan's own hosts: " + found[0], Detail: strings.Join(found, "\n"),
			Fix: "give what it should be here under vars in the overlay; or accept this with a reason, where the name means another machine here",
		}
	}
}

// straysOf names the steps and probes of p that have an address of a host of
// real, and that address.
func straysOf(p, real *plan.Plan) (found []string) {
	for _, h := range real.Hosts {
		for _, place := range []string{h.Name, h.Address} {
			local := h.Local || place == "" || place == "localhost" || strings.HasPrefix(place, "127.") || place == "::1"
			if local || slices.ContainsFunc(p.Hosts, func(o plan.Host) bool { return o.Address == place }) {
				continue
			}
			name := regexp.QuoteMeta(place)
			says := regexp.MustCompile(`(?i)(?:^|[^\w.-])(\[?` + name + `\]?:\d+)|(?://|@)(` + name + `)(?:$|[^\w.-])`)
			for _, s := range p.AllSteps() {
				if m := says.FindStringSubmatch(s.Params); m != nil {
					found = append(found, fmt.Sprintf("%q has %s", s.Title, m[1]+m[2]))
				}
			}
		}
	}
	return found
}
