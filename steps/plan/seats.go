package plan

import (
	"fmt"
	"slices"
	"strings"

	"belay/steps/journal"
)

// Same tells whether two authors are one person: by what the plan tells people
// apart by, or by their own word, as two who type one name are.
func (a Approvers) Same(x, y journal.Author) bool {
	if fold(x.Name) != "" && fold(x.Name) == fold(y.Name) {
		return true
	}
	switch {
	case a.Distinct == byName:
		return false
	case a.Distinct == byKey && x.Key != "" && y.Key != "":
		return x.Key == y.Key
	}
	return x.Person() == y.Person()
}

// may tells whether somebody may speak for a role.
func (a Approvers) may(r Role, by journal.Author) bool {
	return len(r.Who) == 0 || a.listed(r, by)
}

func (a Approvers) listed(r Role, by journal.Author) bool {
	is := by.Person()
	if a.Distinct == byName {
		is = by.Name
	}
	return slices.ContainsFunc(r.Who, func(who string) bool { return fold(who) == fold(is) })
}

// Role returns the role of that name.
func (a Approvers) Role(name string) (Role, bool) {
	for _, r := range a.Roles {
		if fold(r.Name) == fold(name) {
			return r, true
		}
	}
	return Role{}, false
}

// Seat is one place among the approvers.
type Seat struct {
	Role string          `json:"role,omitempty"` // "" : anybody's
	Who  []string        `json:"who,omitempty"`  // may take it; empty: anybody
	Go   *journal.Answer `json:"go,omitempty"`   // who has taken it; nil: it waits
}

// Seats are the places among the approvers, the roles first, with the go's that
// count. A go by somebody who sits already takes no second place.
func (p *Plan) Seats(s *journal.State) []Seat {
	var seats []Seat
	for _, r := range p.Approvers.Roles {
		seats = append(seats, Seat{Role: r.Name, Who: r.Who})
	}
	for len(seats) < p.Approvers.Count {
		seats = append(seats, Seat{})
	}
	it := s.Items[journal.GoItem]
	if it == nil {
		return seats
	}
	for _, a := range it.Signed {
		if slices.ContainsFunc(seats, func(st Seat) bool { return st.Go != nil && p.Approvers.Same(st.Go.By, a.By) }) {
			continue
		}
		for i := range seats {
			if seats[i].Go == nil && fold(seats[i].Role) == fold(a.Role) && p.Approvers.may(Role{Who: seats[i].Who}, a.By) {
				seats[i].Go = &a
				break
			}
		}
	}
	return seats
}

// Missing are the places that wait.
func Missing(seats []Seat) []Seat {
	return slices.DeleteFunc(slices.Clone(seats), func(s Seat) bool { return s.Go != nil })
}

// Wants says whom a place waits for: "dba (ada or grace)", "one more person".
func (s Seat) Wants() string {
	switch {
	case s.Role == "":
		return "one more person"
	case len(s.Who) == 0:
		return s.Role
	}
	return s.Role + " (" + strings.Join(s.Who, " or ") + ")"
}

// Need says how many people the cutover wants, and for what.
func (a Approvers) Need() string {
	text := "One go is needed"
	if a.Count > 1 {
		text = fmt.Sprintf("%d different people must say go", a.Count)
	}
	if len(a.Roles) == 0 {
		return text + "."
	}
	var names []string
	for _, r := range a.Roles {
		names = append(names, Seat{Role: r.Name, Who: r.Who}.Wants())
	}
	if n := a.Count - len(a.Roles); n > 0 {
		names = append(names, fmt.Sprintf("%d of anybody", n))
	}
	return text + ": " + strings.Join(names, ", ") + "."
}

// RoleFor is the role that a go takes: the one that it names, or the only one
// that it can be for. The error is a *journal.RefusedError.
func (p *Plan) RoleFor(s *journal.State, by journal.Author, named string) (string, error) {
	if len(p.Approvers.Roles) == 0 {
		if strings.TrimSpace(named) != "" {
			return "", journal.Refuse("the approvers of this plan have no roles; leave the role out")
		}
		return "", nil
	}
	if strings.TrimSpace(named) != "" {
		return p.namedRole(s, by, named)
	}
	var open, own []string
	for _, seat := range p.seatsBut(s, by) {
		if seat.Go != nil || !p.Approvers.may(Role{Who: seat.Who}, by) || slices.Contains(open, seat.Role) {
			continue
		}
		open = append(open, seat.Role)
		if p.Approvers.listed(Role{Who: seat.Who}, by) {
			own = append(own, seat.Role)
		}
	}
	switch {
	case len(own) == 1:
		return own[0], nil
	case len(open) == 1:
		return open[0], nil
	case len(open) == 0:
		return "", journal.Refuse("no role waits for %s; still missing: %s", by.Who(), wanted(Missing(p.Seats(s))))
	}
	return "", journal.Refuse("say for which role you say go: %s", strings.TrimSuffix(strings.Join(open, ", "), ", "))
}

// namedRole tells whether somebody may have the role that they name.
func (p *Plan) namedRole(s *journal.State, by journal.Author, named string) (string, error) {
	r, ok := p.Approvers.Role(named)
	if !ok {
		var all []string
		for _, r := range p.Approvers.Roles {
			all = append(all, r.Name)
		}
		return "", journal.Refuse("the plan has no role %q among its approvers; there are %s", named, strings.Join(all, ", "))
	}
	if !p.Approvers.may(r, by) {
		is := "came by the login " + by.Login
		if p.Approvers.Distinct == byName {
			is = "said that you are " + by.Name
		}
		return "", journal.Refuse("the role %s is for %s, and you %s", r.Name, strings.Join(r.Who, " or "), is)
	}
	for _, seat := range p.seatsBut(s, by) {
		if seat.Role == r.Name && seat.Go != nil {
			return "", journal.Refuse("%s has said go for %s already; still missing: %s", seat.Go.By.Who(), r.Name, wanted(Missing(p.Seats(s))))
		}
	}
	return r.Name, nil
}

// seatsBut are the places as they are without what one person has said.
func (p *Plan) seatsBut(s *journal.State, by journal.Author) []Seat {
	seats := p.Seats(s)
	for i := range seats {
		if g := seats[i].Go; g != nil && p.Approvers.Same(g.By, by) {
			seats[i].Go = nil
		}
	}
	return seats
}

func wanted(seats []Seat) string {
	var all []string
	for _, s := range seats {
		all = append(all, s.Wants())
	}
	return strings.Join(all, ", ")
}

// Alone says why somebody may not start the cutover of a plan that wants a
// second person for it; "" for whoever may.
func (p *Plan) Alone(s *journal.State, by journal.Author) string {
	if !p.Approvers.SecondPerson {
		return ""
	}
	for _, seat := range p.Seats(s) {
		if seat.Go != nil && p.Approvers.Same(seat.Go.By, by) {
			return seat.Go.By.Who() + " has said go, and the plan wants another person to cut over"
		}
	}
	for _, a := range s.Prepared {
		if p.Approvers.Same(a, by) {
			return a.Who() + " had a hand in the run until it was prepared, and the plan wants another person to cut over"
		}
	}
	return ""
}

// StillWanted says whose go is missing: "1 of 2 said go; missing: product"; ""
// when nobody's is.
func (p *Plan) StillWanted(s *journal.State) string {
	seats := p.Seats(s)
	missing := Missing(seats)
	if len(missing) == 0 {
		return ""
	}
	text := fmt.Sprintf("%d of %d said go", len(seats)-len(missing), len(seats))
	if len(p.Approvers.Roles) > 0 {
		text += "; missing: " + wanted(missing)
	}
	return text
}
