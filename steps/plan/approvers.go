package plan

import (
	"reflect"
	"strings"
	"time"

	"belay/remote"
)

// Approvers says whose go a cutover wants.
type Approvers struct {
	Count    int    // distinct people; at least 1, and at least one for each role
	Distinct string // what tells people apart: login, key or name
	Roles    []Role // each has a place of its own among them
	// SecondPerson: who cuts over must be another than whoever began the run,
	// answered it until prepare was done, or said go.
	SecondPerson bool
	// Within is for how long a run without a screen waits for signatures at a
	// gate; 0: not at all. With a screen a gate waits as long as it takes.
	Within time.Duration
}

// Role is a part that one of the approvers speaks for.
type Role struct {
	Name string   `yaml:"role" required:"" doc:"what that approver speaks for: dba, product, …"`
	Who  []string `yaml:"who" doc:"who may: logins (names with distinct: name); anybody when left out"`
}

// The ways to tell people apart.
const (
	byLogin = "login"
	byKey   = "key"
	byName  = "name"
)

type approverFields struct {
	Count        int             `yaml:"count" doc:"how many people must say go; one for each role when left out, at least 1"`
	Distinct     string          `yaml:"distinct" default:"login" enum:"login|key|name" doc:"what tells people apart: the login that they came by (two names under one login are one person); key: the SSH key, of those who come by the login that drives the run and where sshd exposes it (ExposeAuthInfo yes), else the login; name: the typed name alone, which anybody can type"`
	Roles        []Role          `yaml:"roles" doc:"parts that are each spoken for by another person"`
	SecondPerson bool            `yaml:"second_person" doc:"who cuts over must be another person than whoever began the run, answered it until prepare was done, or said go; alone it takes break-glass, with a reason"`
	Within       remote.Duration `yaml:"within" doc:"how long a run without a screen (--headless) waits at a gate for people to sign by belay sign; then it ends as it does without: no-go, and it can be resumed; left out, it does not wait, unless --sign-within says so"`
}

// maxApprovers keeps a plan from asking for what nobody can bring together.
const maxApprovers = 20

// approvers reads a number, a list of roles, or the long form.
func (b *builder) approvers(n *node) {
	b.plan.Approvers = Approvers{Count: 1, Distinct: byLogin}
	if n == nil || n.bad || n.null() {
		return
	}
	f := approverFields{Distinct: byLogin}
	told, in, at := b.c.n, in{what: "approvers", key: n}, n
	switch {
	case n.kind == mapping:
		b.structure(n, reflect.ValueOf(&f).Elem(), in, nil)
		at = n.getOr("count")
	case n.kind == list:
		b.value(n, reflect.ValueOf(&f.Roles).Elem(), &field{}, in)
	case isNumber(n.text):
		b.value(n, reflect.ValueOf(&f.Count).Elem(), &field{}, in)
	default:
		b.c.add(n, "`approvers` takes a number, a list such as [{role: dba, who: [ada]}], or {count: …, distinct: …, roles: …, second_person: …, within: …}; not %s", n.describe())
	}
	if b.c.n > told {
		return
	}
	counted := at != n || n.kind == scalar
	switch {
	case counted && (f.Count < 1 || f.Count > maxApprovers):
		b.c.add(at, "approvers is between 1 and %d", maxApprovers)
	case f.Within < 0:
		b.c.add(n.getOr("within"), "nobody can sign within %s", time.Duration(f.Within))
	case counted && f.Count < len(f.Roles):
		b.c.add(at, "%d approvers cannot fill %d roles; leave `count` out, or make it at least %d", f.Count, len(f.Roles), len(f.Roles))
	case len(f.Roles) > maxApprovers:
		b.c.add(n, "approvers is between 1 and %d", maxApprovers)
	}
	b.roles(f, n)
	b.plan.Approvers = Approvers{max(f.Count, len(f.Roles), 1), f.Distinct, f.Roles, f.SecondPerson, time.Duration(f.Within)}
}

// roles refuses roles that could never be filled.
func (b *builder) roles(f approverFields, n *node) {
	seen := map[string]bool{}
	for _, r := range f.Roles {
		switch name := fold(r.Name); {
		case name == "":
			b.c.add(n, "a role of the approvers has a name")
		case seen[name]:
			b.c.add(n, "the approvers have the role %s twice; two people for it are two roles, such as %s", quote(r.Name), quote(r.Name+" 2"))
		default:
			seen[name] = true
		}
	}
	if left := unfilledRoles(f.Roles); len(left) > 0 {
		b.c.add(n, "nobody is left for the role %s: everybody who may has another one already", quote(left[0]))
	}
}

// Unfilled are the roles for which nobody is left, because everybody who may
// has another one already.
func (a Approvers) Unfilled() []string { return unfilledRoles(a.Roles) }

// unfilledRoles tries to give every role a person of its own.
func unfilledRoles(roles []Role) (left []string) {
	has := map[string]int{} // person → role
	var give func(i int, tried map[string]bool) bool
	give = func(i int, tried map[string]bool) bool {
		for _, who := range roles[i].Who {
			who = fold(who)
			if tried[who] {
				continue
			}
			tried[who] = true
			if at, taken := has[who]; !taken || give(at, tried) {
				has[who] = i
				return true
			}
		}
		return false
	}
	for i, r := range roles {
		if len(r.Who) > 0 && !give(i, map[string]bool{}) {
			left = append(left, r.Name)
		}
	}
	return left
}

// approversManual is what a plan may say of its approvers.
func approversManual() string {
	var b strings.Builder
	b.WriteString("approvers (section of a plan)\n")
	wrap(&b, "  ", "Whose go the cutover wants: a number of people, a list of roles, or the long form with all of these. "+
		"Everybody says go from a terminal of their own, by belay attach or by belay sign RUN, which takes no pen. "+
		"A go is bound to what it was given upon: the plan, where its hosts are, the findings and what belay proves. When one of these changes for the worse it counts no more, the screen says why, and it is asked for again. "+
		"People are told apart by the login that they came by: as the kernel knows it, or as sudo says. One who types two names under one login is one person. Of several people who share a login belay knows only what they say of themselves.")
	b.WriteString("\n  Parameters\n")
	rows(&b, reflect.TypeFor[approverFields](), "    ", false, map[reflect.Type]bool{})
	exampleOf(&b, approversExample)
	return b.String()
}

const approversExample = `
approvers:
  roles:
    - {role: dba, who: [ada, grace]}
    - {role: product}
  count: 3
  second_person: true
`

func fold(s string) string { return strings.Join(strings.Fields(strings.ToLower(s)), " ") }
