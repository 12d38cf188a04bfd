package tui

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"belay/steps/draft"
	"belay/steps/plan"
	"belay/tui/widget"
)

// maxPeople is how many approvers a plan takes.
const maxPeople = 20

var manyPeople = regexp.MustCompile(`(?i)^(\d+)\s*(people|persons?|more|others?)?$`)

// ParsePeople reads who must agree, as people write it: how many ("2", "2
// people"), or what they speak for ("dba, app owner"), with the logins that
// alone may ("dba: ada grace, app owner, 1 more"). n is how many in all.
func ParsePeople(v string) (n int, roles []draft.Role, problem string) {
	more := 0
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.Join(strings.Fields(part), " "); part == "" {
			continue
		}
		if m := manyPeople.FindStringSubmatch(part); m != nil {
			count, err := strconv.Atoi(m[1])
			switch word := strings.ToLower(m[2]); {
			case err != nil || count < 1 || count > maxPeople:
				return 0, nil, fmt.Sprintf("“%s” is no number of people from 1 to %d.", part, maxPeople)
			case word == "more" || strings.HasPrefix(word, "other"):
				more += count
			default:
				n = max(n, count)
			}
			continue
		}
		name, who, _ := strings.Cut(part, ":")
		r := draft.Role{Name: strings.TrimSpace(name), Who: strings.FieldsFunc(who, func(r rune) bool { return r == ' ' || r == '/' || r == '|' })}
		same := func(o draft.Role) bool { return strings.EqualFold(o.Name, r.Name) }
		switch {
		case r.Name == "":
			return 0, nil, fmt.Sprintf("“%s” names nobody: before the colon stands what they speak for.", part)
		case slices.ContainsFunc(roles, same):
			return 0, nil, fmt.Sprintf("%s stands there twice; two people for it are “%s 1” and “%s 2”.", r.Name, r.Name, r.Name)
		}
		roles = append(roles, r)
	}
	seats := plan.Approvers{}
	for _, r := range roles {
		seats.Roles = append(seats.Roles, plan.Role{Name: r.Name, Who: r.Who})
	}
	if left := seats.Unfilled(); len(left) > 0 {
		return 0, nil, fmt.Sprintf("Nobody is left for %s: everybody who may has another part already.", left[0])
	}
	switch all := len(roles) + more; {
	case n == 0 && all == 0:
		return 0, nil, "Somebody has to agree: such as 1, or dba, app owner."
	case n > 0 && n < all:
		return 0, nil, fmt.Sprintf("%d people cannot speak for %d parts: each has one of their own.", n, all)
	case max(n, all) > maxPeople:
		return 0, nil, fmt.Sprintf("More than %d people never agree; a plan takes no more.", maxPeople)
	default:
		return max(n, all), roles, ""
	}
}

// PeopleText writes what ParsePeople reads.
func PeopleText(n int, roles []draft.Role) string {
	n = max(1, n, len(roles))
	if len(roles) == 0 {
		if n == 1 {
			return "1 person"
		}
		return fmt.Sprintf("%d people", n)
	}
	var parts []string
	for _, r := range roles {
		text := r.Name
		if len(r.Who) > 0 {
			text += ": " + strings.Join(r.Who, " ")
		}
		parts = append(parts, text)
	}
	if n > len(roles) {
		parts = append(parts, fmt.Sprintf("%d more", n-len(roles)))
	}
	return strings.Join(parts, ", ")
}

func askPeople() *typing {
	return &typing{
		question: question{
			name: "who", title: always("Who must agree before the cutover?"),
			more: always("Each says go under a login of their own. Type for instance:"),
			such: []widget.Pair{
				{Label: "2", Value: "two people, whoever they are", Max: 2},
				{Label: "dba, app owner", Value: "one for each of these parts", Max: 2},
				{Label: "dba: ada grace, app owner", Value: "the same, and only the logins ada and grace may speak for dba", Max: 3},
				{Label: "Second person: yes", Value: "who cuts over neither began the run nor agreed before", Max: 3},
			},
			said: func(a *Answers) string {
				text := PeopleText(a.Approvers, a.Roles)
				if a.Second {
					text += "; and another person cuts over"
				}
				return text
			},
		},
		blanks: []blank{
			{label: "Who agrees", get: func(a *Answers) string { return PeopleText(a.Approvers, a.Roles) }, set: func(a *Answers, v string) (problem string) {
				a.Approvers, a.Roles, problem = ParsePeople(v)
				return problem
			}},
			{label: "Second person", get: func(a *Answers) string { return map[bool]string{true: "yes", false: "no"}[a.Second] }, set: func(a *Answers, v string) string {
				switch yes := strings.ToLower(cmp.Or(v, "no")); yes {
				case "y", "yes", "n", "no":
					a.Second = yes[0] == 'y'
					return ""
				}
				return fmt.Sprintf("“%s” is neither yes nor no.", v)
			}},
		},
	}
}
