package postgres

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// pages is a range of a table's pages, without the last.
type pages struct{ from, to int64 }

// around cuts parts anew around what an earlier attempt has copied. How a table
// is cut goes with its pages, as its server counts them, and with the jobs: both
// may be others by now, and then rows of a range that is there would come twice.
func around(parts []part, done map[string]int64) []part {
	there := rangesOf(done)
	var all []part
	for from := 0; from < len(parts); {
		t := parts[from].Table
		to := from + 1
		for to < len(parts) && parts[to].ident() == t.ident() {
			to++
		}
		had := there[t.ident()]
		_, whole := done[part{Table: t, n: 1}.key()]
		switch {
		case whole:
			all = append(all, part{Table: t, n: 1, to: lastPage})
		case len(had) == 0:
			all = append(all, parts[from:to]...)
		default:
			all = append(all, between(parts[from:to], had)...)
		}
		from = to
	}
	return all
}

// rangesOf are the parts that are done, by table as ident writes it.
func rangesOf(done map[string]int64) map[string][]pages {
	all := map[string][]pages{}
	for key := range done {
		table, ok := strings.CutPrefix(key, "table ")
		at := strings.LastIndex(table, " pages ")
		if !ok || at < 0 {
			continue
		}
		var r pages
		if _, err := fmt.Sscanf(table[at:], " pages %d to %d", &r.from, &r.to); err == nil {
			all[table[:at]] = append(all[table[:at]], r)
		}
	}
	return all
}

// between are the parts that are done, and what the parts of a table leave
// between them.
func between(parts []part, had []pages) []part {
	slices.SortFunc(had, func(a, b pages) int { return cmp.Compare(a.from, b.from) })
	all := slices.Clone(had)
	for _, p := range parts {
		at := p.from
		for _, h := range had {
			if h.from >= p.to {
				break
			}
			if at < h.from {
				all = append(all, pages{at, h.from})
			}
			at = max(at, h.to)
		}
		if at < p.to {
			all = append(all, pages{at, p.to})
		}
	}
	slices.SortFunc(all, func(a, b pages) int { return cmp.Compare(a.from, b.from) })
	cut := make([]part, len(all))
	for i, r := range all {
		cut[i] = part{Table: parts[0].Table, n: len(all), i: i, from: r.from, to: r.to}
	}
	return cut
}
