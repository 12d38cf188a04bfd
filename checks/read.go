package checks

import (
	"context"
	"slices"
	"time"

	"belay/remote"
)

// Reading is one more section for Read: a body of POSIX sh that may use what
// the sections of the facts use.
//
//	has PROGRAM          is it installed?
//	lim SECONDS CMD …    run a program (not a function), killed after so long
//	miss TEXT            this reading cannot be taken
//	note PART TEXT       a part of it cannot
//	keep BYTES, pass     copy stdin, so much of it or all
//	$nl                  a newline
//
// Its stdin is empty and its stderr dropped. What goes into the text from
// outside must be quoted by remote.Quote.
type Reading struct {
	Name   string // of lower-case letters
	Limit  int    // bytes of output that are taken; more is cut on the host
	Script string
}

// Read takes further readings of a host, all at once and in one round trip, by
// a script that must change nothing. The sections are cleaned as facts are: no
// byte that a terminal would obey. One that is not whole has a line in missing,
// "name: why" or "name (part): why", as Facts.Missing has. limit is counted
// from the host having the script; errors are those of Gather.
func Read(ctx context.Context, h remote.Host, readings []Reading, limit time.Duration) (sections map[string][]byte, missing []string, err error) {
	sections = map[string][]byte{}
	g := gathering{path: "$PATH:" + systemPath, limit: limit}
	for _, f := range factList {
		if f.name == clockFact {
			g.facts = append(g.facts, f)
		}
	}
	for _, r := range readings {
		g.facts = append(g.facts, fact{name: r.Name, limit: r.Limit, script: r.Script, parse: func(section []byte, _ *Facts) error {
			sections[r.Name] = slices.Clone(section)
			return nil
		}})
	}
	f, err := g.run(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	return sections, f.Missing, nil
}
