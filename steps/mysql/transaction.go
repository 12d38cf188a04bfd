package mysql

import (
	"regexp"
	"slices"
	"strings"
)

// Back tells of each statement of a script where to begin again when its
// session is lost before it has ended: at itself, or at the beginning of the
// transaction that it stands in, of which nothing is kept then. One entry more
// is for the end: it is below len(all) where nobody commits the last one.
func Back(all []Statement) []int {
	back := make([]int, 0, len(all)+1)
	open, implicit := -1, false // where the transaction began; autocommit is off
	for i, st := range all {
		a := st.act()
		if open < 0 && implicit && !a.sets && !a.ends {
			open = i
		}
		if open < 0 {
			back = append(back, i)
		} else {
			back = append(back, open)
		}
		switch {
		case a.begins:
			open = i
		case a.ends:
			open = -1
		}
		if a.auto != "" {
			implicit = a.auto == "0" || a.auto == "OFF" || a.auto == "FALSE"
		}
	}
	if open < 0 {
		open = len(all)
	}
	return append(back, open)
}

// Ends tells whether a statement ends the transaction that it stands in, and
// whether it does so as definitions do: before it begins.
func (s Statement) Ends() (ends, first bool) {
	a := s.act()
	return a.ends, a.first
}

// act is what a statement does to the transaction that it stands in.
type act struct {
	begins, ends bool
	first        bool   // it ends what was open before it begins itself
	sets         bool   // it is about the session only
	auto         string // what autocommit is set to
}

var (
	forServers = regexp.MustCompile(`^/\*M?!\d*`)
	autocommit = regexp.MustCompile(`^SET\s+(?:SESSION\s+|LOCAL\s+|@@(?:SESSION\.|LOCAL\.)?)?AUTOCOMMIT\s*:?=\s*(\w+)`)
	// What commits, whether it is wanted or not (MySQL manual, 15.3.3; MariaDB:
	// "SQL statements That Cause an Implicit Commit").
	committing = []string{"CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "GRANT", "REVOKE", "LOCK", "ANALYZE", "OPTIMIZE", "REPAIR", "CHECK", "CACHE",
		"INSTALL", "UNINSTALL", "FLUSH", "RESET", "START", "STOP", "CHANGE"}
)

func (s Statement) act() act {
	text := strings.ToUpper(strings.TrimSpace(forServers.ReplaceAllString(strings.TrimSpace(s.Text), "")))
	word := strings.Fields(text)
	at := func(i int) string {
		if i < len(word) {
			return strings.Trim(word[i], ",;()")
		}
		return ""
	}
	chain := strings.Contains(text, " CHAIN") && !strings.Contains(text, "NO CHAIN")
	switch first := at(0); {
	case first == "BEGIN":
		return act{begins: at(1) != "NOT"} // NOT ATOMIC is a block of MariaDB's
	case first == "START" && at(1) == "TRANSACTION":
		return act{begins: true}
	case first == "ROLLBACK" && slices.Contains(word, "TO"): // a savepoint
		return act{}
	case first == "COMMIT", first == "ROLLBACK":
		return act{begins: chain, ends: true}
	case first == "SET" && at(1) == "PASSWORD":
		return act{ends: true, first: true}
	case first == "SET":
		set := act{sets: true}
		if m := autocommit.FindStringSubmatch(text); m != nil {
			set.auto = m[1]
			set.ends = set.auto == "1" || set.auto == "ON" || set.auto == "TRUE"
		}
		return set
	case first == "USE":
		return act{sets: true}
	case (first == "CREATE" || first == "DROP") && at(1) == "TEMPORARY":
		return act{}
	}
	commits := slices.Contains(committing, at(0))
	return act{ends: commits, first: commits}
}
