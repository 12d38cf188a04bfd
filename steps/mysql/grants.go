package mysql

import (
	"context"
	"slices"
	"strings"
)

// rights are the privileges that a server knows, in upper case; nil where it
// does not say.
func rights(ctx context.Context, q Queryer) (map[string]bool, error) {
	rows, err := table(ctx, q, "SHOW PRIVILEGES")
	if err != nil {
		return nil, err
	}
	known := map[string]bool{"ALL PRIVILEGES": true, "USAGE": true}
	for _, r := range rows {
		name := strings.ToUpper(r[0].String)
		known[name] = true
		switch name { // names of before MariaDB 10.5, which it still takes
		case "BINLOG MONITOR":
			known["REPLICATION CLIENT"] = true
		case "CREATE USER":
			known["GRANT OPTION"] = true
		}
	}
	return known, nil
}

// partial tells whether the line takes a right away for one database (MySQL,
// partial_revokes) rather than give one.
func (g Grant) partial() bool { return strings.HasPrefix(g.Text, "REVOKE ") }

func (a Account) partly() bool { return slices.ContainsFunc(a.Grants, Grant.partial) }

func partly(accounts []Account) (all []string) {
	for _, a := range accounts {
		if a.partly() {
			all = append(all, a.String())
		}
	}
	return all
}

// known is the grant as far as a server knows the rights in it, and those that
// it does not know. It is "" when none is left.
func (g Grant) known(rights map[string]bool) (text string, left []string) {
	on := unquotedIndex(g.Text, " ON ")
	if rights == nil || on < 0 || g.Database == "" || !strings.HasPrefix(g.Text, "GRANT ") {
		return g.Text, nil
	}
	var kept []string
	for _, p := range commas(g.Text[len("GRANT "):on]) {
		p = strings.TrimSpace(p)
		name, _, _ := strings.Cut(p, "(") // of columns
		if rights[strings.ToUpper(strings.TrimSpace(name))] {
			kept = append(kept, p)
		} else {
			left = append(left, p)
		}
	}
	switch {
	case len(left) == 0:
		return g.Text, nil
	case len(kept) > 0:
		return "GRANT " + strings.Join(kept, ", ") + g.Text[on:], left
	}
	return "", left
}

// commas cuts at commas outside of quotes and parentheses.
func commas(s string) (all []string) {
	depth, from := 0, 0
	for i := 0; i < len(s); i = skip(s, i) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				all = append(all, s[from:i])
				from = i + 1
			}
		}
	}
	return append(all, s[from:])
}

// translated is the grant in the words of a server of another flavour, and the
// rights that are left out of it; "" when nothing remains.
func (g Grant) translated(from, to Version, rights map[string]bool) (text string, left []string) {
	text, left = g.known(rights)
	if from.MariaDB && !to.MariaDB {
		if role, who, ok := strings.Cut(text, " FOR "); ok && strings.HasPrefix(role, "SET DEFAULT ROLE ") {
			text = role + " TO " + who
		}
	}
	return text, left
}
