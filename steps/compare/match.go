package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// matched is what the lists of objects of both sides came to.
type matched struct {
	differs []Differs
	rows    []rowsJob
}

// rowsJob is one object with rows, on one side or on both.
type rowsJob struct {
	Object
	old, new bool
}

type objectKey struct{ kind, name string }

// match pairs the objects of both sides by kind and name. What is to be left
// out is noted in out, and so are the notes of the objects.
func match(p Pair, olds, news []Object, out *Outcome) matched {
	var m matched
	ours := index(p, olds, out, &out.Old)
	theirs := index(p, news, out, &out.New)
	for key, a := range ours {
		b, ok := theirs[key]
		switch {
		case !ok:
			m.differs = append(m.differs, Differs{How: Missing, Kind: a.Kind, Object: a.Name, Old: words(a.Print)})
		case a.Print != b.Print && a.Next != nil && b.Next != nil && *b.Next > *a.Next:
			out.Notes = append(out.Notes, fmt.Sprintf("%s %s: the new side is %d ahead, so that no number is given out twice", a.Kind, a.Name, *b.Next-*a.Next))
		case a.Print != b.Print:
			m.differs = append(m.differs, Differs{How: Different, Kind: a.Kind, Object: a.Name, Old: words(a.Print), New: words(b.Print)})
		}
		if a.Data || ok && b.Data {
			a.Bytes = max(a.Bytes, b.Bytes)
			m.rows = append(m.rows, rowsJob{a, a.Data, ok && b.Data})
		}
	}
	for key, b := range theirs {
		if _, ok := ours[key]; ok {
			continue
		}
		m.differs = append(m.differs, Differs{How: Extra, Kind: b.Kind, Object: b.Name, New: words(b.Print)})
		if b.Data {
			m.rows = append(m.rows, rowsJob{b, false, true})
		}
	}
	slices.SortFunc(m.differs, func(a, b Differs) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), natural(a.Object, b.Object))
	})
	slices.SortFunc(m.rows, func(a, b rowsJob) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Kind, b.Kind), natural(a.Name, b.Name))
	})
	return m
}

// index makes a map of a side's objects, without those to leave out.
func index(p Pair, list []Object, out *Outcome, t *Tally) map[objectKey]Object {
	all := make(map[objectKey]Object, len(list))
	tables := int64(0)
	defer func() {
		if t.Kind == "" && tables > 0 { // with others, such as large objects, beside them
			t.Kind, t.Tables = "table", tables
		}
	}()
	for _, o := range list {
		if why, yes := ignored(p, o); yes {
			out.leaveOut(Ignored{strings.TrimSpace(o.Kind + " " + o.Name), why})
			continue
		}
		if o.Note != "" {
			if note := strings.TrimSpace(o.Kind+" "+o.Name) + ": " + o.Note; !slices.Contains(out.Notes, note) {
				out.Notes = append(out.Notes, note)
			}
		}
		key := objectKey{o.Kind, o.Name}
		if _, twice := all[key]; twice {
			out.Errs = append(out.Errs, "listed twice by one side: "+o.Kind+" "+o.Name)
		}
		all[key] = o
		t.Objects++
		if o.Data {
			t.Tables++
			if o.Kind == "table" {
				tables++
			}
			switch {
			case t.Tables == 1:
				t.Kind = o.Kind
			case t.Kind != o.Kind:
				t.Kind = ""
			}
		}
	}
	return all
}

func ignored(p Pair, o Object) (why string, yes bool) {
	for _, i := range p.Ignore {
		if i.matches(o) {
			return i.Why, true
		}
	}
	return "", false
}

func (o *Outcome) leaveOut(i Ignored) {
	if !slices.Contains(o.Ignored, i) {
		o.Ignored = append(o.Ignored, i)
	}
}

// tableFound is what the rows of one object came to.
type tableFound struct {
	old, new Print
	differs  []Differs
	more     int64
	atLeast  bool
	err      error
}

// into adds the objects and the rows up.
func (m matched) into(out *Outcome, jobs []rowsJob, found []tableFound, tell []string) {
	out.Differs = m.differs
	byName := make([]int, len(jobs))
	for i := range byName {
		byName[i] = i
	}
	slices.SortFunc(byName, func(i, j int) int {
		return cmp.Or(cmp.Compare(jobs[i].Kind, jobs[j].Kind), natural(jobs[i].Name, jobs[j].Name))
	})
	for _, i := range byName {
		f := found[i]
		out.Old.Rows += f.old.Rows
		out.New.Rows += f.new.Rows
		out.Differs = append(out.Differs, f.differs...)
		out.More += f.more
		out.AtLeast = out.AtLeast || f.atLeast
		if f.err != nil {
			out.Errs = append(out.Errs, jobs[i].Kind+" "+jobs[i].Name+": "+f.err.Error())
		}
	}
	if n := len(out.Differs); n > maxNamed {
		out.More += int64(n - maxNamed)
		out.Differs = out.Differs[:maxNamed]
	}
	out.Old.Said = told(jobs, found, tell, func(f tableFound) int64 { return f.old.Rows })
	out.New.Said = told(jobs, found, tell, func(f tableFound) int64 { return f.new.Rows })
}

// maxNamed is how many differences of a pair are worth keeping: a journal is
// read by people.
const maxNamed = 200

// told is the part of the table that the plan asked for: "29 projects, 5 users".
func told(jobs []rowsJob, found []tableFound, tell []string, of func(tableFound) int64) string {
	var said []string
	for _, want := range tell {
		for i, j := range jobs {
			if j.Name == want || lastName(j.Name) == want {
				said = append(said, thousands(of(found[i]))+" "+want)
				break
			}
		}
	}
	return strings.Join(said, ", ")
}

// lastName is a table's name without its schema and its quotes.
func lastName(name string) string {
	return strings.Trim(name[strings.LastIndexByte(name, '.')+1:], "\"`")
}

// words is a print that is kept for people: cut, for it may be a whole
// definition.
func words(print string) string {
	const most = 300
	if len(print) <= most {
		return print
	}
	return strings.ToValidUTF8(print[:most], "") + "…"
}

// natural orders names as people do: "id=9" before "id=10".
func natural(a, b string) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if !digit(a[i]) || !digit(b[j]) {
			if a[i] != b[j] {
				return cmp.Compare(a[i], b[j])
			}
			i, j = i+1, j+1
			continue
		}
		x, y := digits(a[i:]), digits(b[j:])
		p, q := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if c := cmp.Or(cmp.Compare(len(p), len(q)), cmp.Compare(p, q)); c != 0 {
			return c
		}
		i, j = i+len(x), j+len(y)
	}
	return cmp.Or(cmp.Compare(len(a)-i, len(b)-j), cmp.Compare(a, b))
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// digits are those that s begins with.
func digits(s string) string {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return s[:n]
}
