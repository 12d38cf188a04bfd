package tui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"belay/checks/inspect"
	"belay/steps/draft"
)

// groupOf is the title under which a kind of item stands.
var groupOf = map[string]string{
	draft.Compose: "programs", draft.Unit: "programs", draft.Database: "databases", draft.Files: "files", draft.Site: "sites of nginx", draft.Cron: "cron and timers", draft.Timer: "cron and timers",
	draft.ByHand: "only people know how these start: the plan asks them",
}

// itemRows are the rows of what can be chosen, in groups. What is looked for is
// among them, even where there is no room for everything.
func itemRows(items []draft.Item, want string) (rows []foundRow) {
	for _, group := range []string{"programs", "databases", "sites of nginx", "files", "cron and timers", groupOf[draft.ByHand]} {
		head := false
		for i, it := range items {
			if groupOf[it.Kind] != group {
				continue
			}
			if !head {
				rows, head = append(rows, foundRow{head: group}), true
			}
			rows = append(rows, foundRow{item: &items[i]})
			parts := it.Parts()
			has := func(line string) bool { return strings.Contains(strings.ToLower(line), want) }
			if !has(it.Says) && !slices.ContainsFunc(parts, has) {
				if i := slices.IndexFunc(it.Whole(), has); i >= 0 {
					parts = append(parts, it.Whole()[i])
				}
			}
			for _, part := range parts {
				rows = append(rows, foundRow{part: part})
			}
		}
	}
	return rows
}

func foundRows(items []draft.Item, hosts ...*inspect.Host) []foundRow {
	var rows []foundRow
	for _, h := range hosts { // what makes all the rest incomplete comes first
		switch {
		case h == nil:
		case h.Unreached != "":
			rows = append(rows, foundRow{warn: true, text: h.Name + " was not looked at: " + h.Unreached, more: "r looks again. Until then the draft takes it for empty."})
		case !h.Root:
			rows = append(rows, foundRow{warn: true, text: "On " + h.Name + " belay is not root, but " + h.User + ": much is hidden (s looks as root).", more: "It works where sudo asks for no password. In a hurry, go on: the plan then lacks what was hidden."})
		}
	}
	rows = append(rows, itemRows(items, "")...)
	if len(items) == 0 {
		rows = append(rows, foundRow{text: "Nothing that belay could move was found; the draft will be nearly empty."})
	}
	for _, h := range hosts {
		if h == nil {
			continue
		}
		if len(h.Gaps) > 0 {
			rows = append(rows, foundRow{head: "not understood on " + h.Name})
		}
		for _, g := range h.Gaps {
			rows = append(rows, foundRow{warn: true, text: g.What, more: g.Do})
		}
	}
	if rest := draft.Rest(hosts[0], items); len(rest) > 0 {
		rows = append(rows, foundRow{head: "also on " + hosts[0].Name + ", and not offered: it came with the system, or belay cannot move it"})
		for _, text := range rest {
			rows = append(rows, foundRow{text: text})
		}
	}
	return rows
}

func chosenBy(items []draft.Item, text string) ([]string, error) {
	keys := []string{}
	for _, f := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		first, last, _ := strings.Cut(f, "-")
		from, err := strconv.Atoi(first)
		to := from
		if last != "" && err == nil {
			to, err = strconv.Atoi(last)
		}
		switch {
		case f == "all":
			from, to, err = 1, len(items), nil
		case f == "0":
			continue
		}
		if err != nil || from < 1 || to < from || to > len(items) {
			return nil, fmt.Errorf("%q is no number from 1 to %d", f, len(items))
		}
		for _, it := range items[from-1 : to] {
			keys = append(keys, it.Key())
		}
	}
	return keys, nil
}
