package main

import (
	"fmt"
	"net/netip"
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

// straysOf names the steps of p that have an address of a host of real, and
// that address; their ways back and what mends them, too.
func straysOf(p, real *plan.Plan) (found []string) {
	for _, h := range real.Hosts {
		for _, place := range []string{h.Name, h.Address} {
			local := h.Local || place == "" || place == "localhost" || strings.HasPrefix(place, "127.") || place == "::1"
			if local || slices.ContainsFunc(p.Hosts, func(o plan.Host) bool { return o.Address == place }) {
				continue
			}
			says := speaksOf(place)
			for _, s := range p.AllSteps() {
				for _, part := range append(s.Mends(), s, s.Undo) {
					if part == nil {
						continue
					}
					if m := says.FindStringSubmatch(part.Params); m != nil {
						found = append(found, fmt.Sprintf("%q has %s", part.Title, strings.Join(m[1:], "")))
					}
				}
			}
		}
	}
	return found
}

// speaksOf finds a machine's name where it can only be meant as such: before a
// port, in a URL, behind a login and where ssh or rsync goes; a name by itself
// may be any word. An IP address is one anywhere.
func speaksOf(place string) *regexp.Regexp {
	name := regexp.QuoteMeta(place)
	text := `(?:^|[^\w.-])(\[?` + name + `\]?:\d+)|(?://|@)(` + name + `)(?:$|[^\w.-])` +
		`|\b(?:scp|rsync)\s[^\n;|&]*[\s'"](` + name + `):|\b(?:ssh|sftp)\s+(?:-\S+\s+(?:[^-\s]\S*\s+)?)*['"]?(` + name + `)(?:$|[\s:'"])`
	if _, err := netip.ParseAddr(place); err == nil {
		text += `|(?:^|[^\w.:-])(` + name + `)(?:$|[^\w.:-]|[.:](?:$|\D))`
	}
	return regexp.MustCompile(`(?i)` + text)
}
