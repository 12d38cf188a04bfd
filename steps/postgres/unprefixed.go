package postgres

import (
	"regexp"
	"slices"
	"strings"
)

// sqlToken is what a view's definition, as the server writes it, is made of:
// strings, names in quotes, words, white space, all else sign by sign.
var sqlToken = regexp.MustCompile(`(?s)[Ee]?'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*"|[\pL_][\pL\pN_$]*|\s+|.`)

var (
	fromEnds = []string{"WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR", ";", "TABLESAMPLE"}
	fromMany = []string{",", "JOIN"}
)

// unprefixed is the definition of a view without the name of its only relation
// before the columns. Servers before 16 write it there, later ones do not; where
// there are more relations all write it (get_query_def in ruleutils.c).
func unprefixed(def string) string {
	tokens := sqlToken.FindAllString(def, -1)
	alias := onlyRelation(tokens)
	if alias == "" {
		return def
	}
	var out strings.Builder
	for i := 0; i < len(tokens); i++ {
		before := i > 0 && tokens[i-1] == "."
		if tokens[i] == alias && !before && i+1 < len(tokens) && tokens[i+1] == "." {
			i++ // the dot
			continue
		}
		out.WriteString(tokens[i])
	}
	return out.String()
}

// onlyRelation is the name of the relation behind the outermost FROM; "" where
// there are more.
func onlyRelation(tokens []string) string {
	depth, from, alias := 0, false, ""
	if hasSetOperation(tokens) {
		return ""
	}
	for _, t := range tokens {
		switch {
		case t == "(":
			depth++
		case t == ")":
			depth--
		case depth > 0 || strings.TrimSpace(t) == "":
		case !from:
			from = t == "FROM"
		case slices.Contains(fromMany, t):
			return ""
		case slices.Contains(fromEnds, t):
			return alias
		case t != "." && t != "ONLY" && t != "WITH" && t != "ORDINALITY":
			alias = t
		}
	}
	return alias
}

// hasSetOperation tells of a UNION and its like that is not in parentheses.
func hasSetOperation(tokens []string) bool {
	depth := 0
	return slices.ContainsFunc(tokens, func(t string) bool {
		switch t {
		case "(":
			depth++
		case ")":
			depth--
		}
		return depth == 0 && (t == "UNION" || t == "INTERSECT" || t == "EXCEPT")
	})
}
