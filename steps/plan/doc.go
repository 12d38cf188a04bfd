// Package plan turns a plan file into a Plan, or into every Problem that is in
// it; there is no other way to get a Plan. Nothing is contacted.
//
//	p, err := plan.LoadFile("plan.yaml")            // err prints as file:line:col, the line, a caret
//	p, err := plan.LoadFile("plan.yaml", "staging.yaml") // with the hosts, vars … of a rehearsal
//
// The same reflection that reads a plan also writes its JSON Schema, the
// manual of every kind and the README's tables, so they cannot disagree.
//
// # The law of tags, for authors of kinds
//
// The struct behind the pointer that Kind.New returns is filled from the
// mapping under the kind's key. A field is a parameter if it is exported and
// has a yaml tag; any other field is the kind's own, and may be set by
// Validate. Keys that no field claims are problems, with "did you mean".
//
//	yaml:"free_port"   the parameter's name: lower case, words joined by _
//	yaml:",inline"     a struct whose parameters stand among this one's
//	doc:"…"            one line for the manual; lower case, no full stop; every parameter has one
//	required:""        must be given; everything else may be left out
//	default:"30s"      taken when left out; written as in a plan, and shown in the manual
//	enum:"tcp|udp"     the only values (of each item, for a list)
//	scalar:""          at most one field: `run: make` means `run: {script: make}`. If that
//	                   field is a list, `kind: [a, b]` works as well
//	secretname:""      a string or list of strings: names of secrets, which must be declared
//	host:""            a string or list of strings: names of hosts, which must exist
//	differs:"to"       must not equal that sibling (source = target)
//
// Never need a tag: a field of type secret.Ref (its secret must be declared),
// and in a check the field `on` (always names of hosts; in a plan of exactly
// one host it is filled in when left out; make it required if the check needs
// one).
//
// Field types: string, bool, every int and uint, float64; time.Duration and
// remote.Duration (both take 90s, 5m, 1h30m, 7d), remote.Size (5GiB); whatever
// implements encoding.TextUnmarshaler or yaml.Unmarshaler on its pointer; structs; pointers to any
// of these, nil when left out; slices (a single value is taken for a list of
// one); maps with string keys (unordered: use a list of structs where order
// counts); any (string, int, float64, bool, nil, []any, map[string]any as YAML
// means them); checks.Check and []checks.Check (one check kind with its
// parameters, `{http: {url: …}}`). A string takes any scalar as it is written:
// 0644 stays "0644". Numbers and booleans may stand in quotes, because
// `"${{ port }}"` must. An empty value is a problem for a scalar and means
// "all left out" for a struct.
//
// After decoding, Validate is asked, if there is one. checks.Field or
// steps.Field("set.PORT", "…") puts the caret under that parameter (dots go
// down into structs and maps, numbers into lists, from 0); errors.Join carries
// several. Validate sees the defaults applied, and is not asked when decoding
// found a problem in the same step. HostNames (steps and checks) adds hosts
// that must exist; the caret goes to the value that equals the name.
//
// The title of a check that the plan does not give one is String() if it has
// that method, else its kind, its scalar parameter and its host:
// "port 8088 on chat".
//
// A Kind's Example is one whole list item, without hosts of its own making:
// whatever it names in `on` and in host parameters and secrets is declared by
// the test that wraps it. It must decode and validate.
//
//   - step: Stop the old chat
//     on: chat
//     process.stop: {match: stoatchat, grace: 30s}
//
// `on` of a step: Kind.NoHost refuses it; otherwise it may be left out in a
// plan of exactly one host, which is then filled in; with Kind.Optional it may
// always be left out and then stays empty, also in a plan of one host.
package plan
