package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// shelf is a Side in memory.
type shelf struct {
	objects []Object
	rows    map[string][]Row
	keyless map[string]bool // tables whose rows fall into buckets by the whole row
	fail    map[string]error
	asked   func(name string, buckets int)
}

func (s *shelf) Objects(context.Context) ([]Object, error) { return s.objects, s.fail[""] }
func (s *shelf) Close() error                              { return nil }

func (s *shelf) bucket(name string, r Row, n int) int {
	h := fnv.New64a()
	h.Write([]byte(r.Key))
	if s.keyless[name] {
		h.Write([]byte(r.Print))
	}
	return int(h.Sum64() % uint64(n))
}

func (s *shelf) Prints(_ context.Context, name string, buckets int) ([]Print, error) {
	if s.asked != nil {
		s.asked(name, buckets)
	}
	sums := make([]uint64, buckets)
	all := make([]Print, buckets)
	for _, r := range s.rows[name] {
		h := fnv.New64a()
		h.Write([]byte(r.Print))
		i := s.bucket(name, r, buckets)
		sums[i] += h.Sum64()
		all[i].Rows++
	}
	for i := range all {
		all[i].Sum = fmt.Sprint(sums[i])
	}
	return all, s.fail[name]
}

func (s *shelf) Rows(_ context.Context, name string, buckets int, of []int, each func(Row) error) error {
	for _, r := range s.rows[name] {
		if slices.Contains(of, s.bucket(name, r, buckets)) {
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// table fills a shelf with one table of n rows.
func table(n int) *shelf {
	s := &shelf{rows: map[string][]Row{}, keyless: map[string]bool{}, fail: map[string]error{}}
	s.objects = []Object{{Kind: "table", Name: "public.users", Print: "id integer, name text", Data: true, Bytes: int64(n) * 100}}
	for i := range n {
		s.rows["public.users"] = append(s.rows["public.users"], Row{fmt.Sprintf("id=%d", i), fmt.Sprintf("(%d,name %d)", i, i)})
	}
	return s
}

func run(a, b *shelf, o Options, ignore ...Ignore) Outcome {
	return Run(context.Background(), []Pair{{Name: "shop", What: "postgres", Old: a, New: b, Ignore: ignore}}, o).Pairs[0]
}

// TestNamesTheRowsThatDiffer: of a table with 9 000 rows, exactly the changed
// one, the lost one, the one too many and the one that is there twice.
func TestNamesTheRowsThatDiffer(t *testing.T) {
	a, b := table(9_000), table(9_000)
	if got := run(a, b, Options{}); !got.Equal() || got.Old.Rows != 9_000 {
		t.Fatalf("equal sides: %+v", got)
	}
	rows := b.rows["public.users"]
	rows[17].Print = "(17,another name)"
	rows = append(rows, rows[900], Row{"id=9001", "(9001, new)"})
	b.rows["public.users"] = slices.Delete(rows, 2000, 2001)
	got := run(a, b, Options{})
	want := []Differs{
		{How: Different, Kind: "table", Object: "public.users", Key: "id=17", New: "(17,another name)", Old: "(17,name 17)"},
		{How: Extra, Kind: "table", Object: "public.users", Key: "id=900", New: "(900,name 900)"},
		{How: Missing, Kind: "table", Object: "public.users", Key: "id=2000", Old: "(2000,name 2000)"},
		{How: Extra, Kind: "table", Object: "public.users", Key: "id=9001", New: "(9001, new)"},
	}
	if d := gocmp.Diff(want, got.Differs); d != "" {
		t.Error(d)
	}
	if got.Equal() || got.More != 0 || got.Old.Rows != 9_000 || got.New.Rows != 9_001 {
		t.Errorf("%+v", got)
	}
	few := run(a, b, Options{Named: 1})
	if len(few.Differs) != 1 || few.More != 3 || few.Differs[0].Key != "id=17" {
		t.Errorf("the first one: %+v", few)
	}
}

// TestObjects: what only one side has, what is defined otherwise, what is left
// out, and what could not be looked at.
func TestObjects(t *testing.T) {
	a, b := table(3), table(3)
	a.objects = append(a.objects, Object{Kind: "sequence", Name: "s", Print: "41"}, Object{Kind: "role", Name: "ann"},
		Object{Kind: "table", Name: "gone", Data: true}, Object{Kind: "extension", Name: "pg_trgm", Print: "1.6"})
	a.rows["gone"] = []Row{{"id=1", "x"}}
	b.objects = append(b.objects, Object{Kind: "sequence", Name: "s", Print: "1"}, Object{Kind: "role", Name: "postgres"},
		Object{Kind: "extension", Name: "pg_trgm", Print: "1.6", Note: "needs 1.6"})
	got := run(a, b, Options{}, Ignore{"role", "post*", "made by the server"})
	want := Outcome{
		Name: "shop", What: "postgres", Old: Tally{Objects: 5, Tables: 2, Rows: 4, Kind: "table"}, New: Tally{Objects: 3, Tables: 1, Rows: 3, Kind: "table"},
		Differs: []Differs{
			{How: Missing, Kind: "role", Object: "ann"},
			{How: Different, Kind: "sequence", Object: "s", Old: "41", New: "1"},
			{How: Missing, Kind: "table", Object: "gone"},
		},
		Ignored: []Ignored{{"role postgres", "made by the server"}},
		Notes:   []string{"extension pg_trgm: needs 1.6"},
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	at := func(n int64) *int64 { return &n }
	for next, equal := range map[int64]bool{42: true, 1042: true, 41: false} { // behind: numbers would be given out twice
		a, b := table(3), table(3)
		a.objects = append(a.objects, Object{Kind: "sequence", Name: "s", Print: "at 41", Next: at(42)})
		b.objects = append(b.objects, Object{Kind: "sequence", Name: "s", Print: fmt.Sprint("at ", next-1), Next: at(next)})
		got := run(a, b, Options{})
		if got.Equal() != equal || (len(got.Notes) == 1) != (next > 42) {
			t.Errorf("the new counter's next is %d, the old one's 42: %+v", next, got)
		}
	}
	a = table(3)
	a.fail["public.users"] = errors.New("permission denied")
	if got := run(a, table(3), Options{}); got.Equal() || got.Verdict() != unknown || len(got.Errs) != 1 || !strings.Contains(got.Errs[0], "old: permission denied") {
		t.Errorf("a table that cannot be read: %+v", got)
	}
	a.fail[""] = errors.New("gone away")
	if got := run(a, table(3), Options{}); got.Equal() || got.Verdict() != unknown {
		t.Errorf("a side that cannot be read: %+v", got)
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	if r := Run(ended, []Pair{{Name: "x", Old: table(1), New: table(1)}}, Options{}); r.Equal() {
		t.Error("a comparison that was cut short passed")
	}
	if (Result{}).Equal() {
		t.Error("nothing was compared, and it passed")
	}
}

// TestTheWholeDiffers: everything is lost; the first ones are named, the rest
// counted, and not all of a huge table is read for it.
func TestTheWholeDiffers(t *testing.T) {
	a, b := table(20_000), table(0)
	got := run(a, b, Options{Named: 3})
	if len(got.Differs) != 3 || got.More != 20_000-3 || got.Differs[0].How != Missing {
		t.Errorf("%d named, %d more: %+v", len(got.Differs), got.More, got.Differs[:min(3, len(got.Differs))])
	}
}

// TestQuick leaves the large ones out, and says so.
func TestQuick(t *testing.T) {
	a, b := table(2), table(2)
	a.objects[0].Bytes = 1 << 40
	a.objects = append(a.objects, Object{Kind: "table", Name: "small", Data: true, Bytes: 100})
	b.objects = append(b.objects, Object{Kind: "table", Name: "small", Data: true, Bytes: 100})
	var asked []string
	a.asked = func(name string, n int) { asked = append(asked, name) }
	got := run(a, b, Options{Quick: true})
	if d := gocmp.Diff([]string{"small"}, asked); d != "" || !got.Equal() || len(got.Notes) != 1 {
		t.Errorf("%s %+v", d, got)
	}
}

// TestUnsteady: a table that changes between two looks is no match.
func TestUnsteady(t *testing.T) {
	a, b := table(5), table(5)
	first := true
	b.asked = func(string, int) {
		b.rows["public.users"][0].Print = "(0,name 0)"
		if first {
			b.rows["public.users"][0].Print = "other"
		}
		first = false
	}
	b.rows["public.users"] = slices.Clone(b.rows["public.users"])
	a.rows["public.users"] = append(a.rows["public.users"], table(3000).rows["public.users"]...)
	b.rows["public.users"] = append(b.rows["public.users"], table(3000).rows["public.users"]...)
	got := run(a, b, Options{})
	if len(got.Differs) != 1 || got.Differs[0].How != Unsteady || got.Equal() {
		t.Errorf("%+v", got)
	}
}

// TestTable reads like the table that people write by hand, within 80 columns.
func TestTable(t *testing.T) {
	r := Result{Begun: time.Date(2026, 12, 1, 22, 40, 0, 0, time.UTC), Took: 41 * time.Second, Pairs: []Outcome{
		{Name: "gitlab", Old: Tally{Said: "29 projects, 5 users", Objects: 1, Rows: 34, Kind: "table"}, New: Tally{Said: "29 projects, 5 users"}},
		{Name: "mailcow", Old: Tally{Objects: 70, Tables: 60, Rows: 1200331, Kind: "table"}, New: Tally{Objects: 70, Tables: 60, Rows: 1200330, Kind: "table"},
			Differs: []Differs{{How: Missing, Kind: "table", Object: "mailbox", Key: "username=anna\x1b[2J"}}},
		{Name: "cache", Old: Tally{Objects: 1, Tables: 1, Rows: 12, Kind: "key space"}, New: Tally{Objects: 1, Tables: 1, Rows: 12, Kind: "key space"}},
		{Name: "uploads", Errs: []string{"new: no route to host"}},
	}}
	got := r.Table(80) + r.Detail(80)
	want := `SERVICE  OLD                        NEW
gitlab   29 projects, 5 users       29 projects, 5 users       ✓ MATCH
mailcow  60 tables, 1 200 331 rows  60 tables, 1 200 330 rows  ✗ MISMATCH
cache    12 keys                    12 keys                    ✓ MATCH
uploads  -                          -                          ? NOT COMPARED
2 of 4 MATCH, 1 200 377 rows; compared in 41s, at 2026-12-01 22:40:41 UTC
mailcow: 1 difference
  missing    table mailbox  username=anna\x1b[2J
uploads
  not compared: new: no route to host
`
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := r.Brief(); got != `mailcow MISMATCH: missing username=anna\x1b[2J` {
		t.Errorf("in brief: %s", got)
	}
	r.Pairs[0].Name = strings.Repeat("a very long name ", 9)
	r.Pairs[1].Old.Said = strings.Repeat("1 user, ", 20)
	for _, w := range []int{80, 100, 120} {
		for l := range strings.Lines(r.Table(w)) {
			if n := len([]rune(strings.TrimRight(l, "\n"))); n > max(w, 60) {
				t.Errorf("at %d columns a line of %d: %s", w, n, l)
			}
		}
	}
	b, err := json.Marshal(r)
	var back Result
	if err == nil {
		err = json.Unmarshal(b, &back)
	}
	if d := gocmp.Diff(r, back); err != nil || d != "" {
		t.Errorf("not the same after JSON: %v\n%s", err, d)
	}
}

func TestNatural(t *testing.T) {
	list := []string{"id=10", "id=9", "id=09", "a", "id=", "b1c10", "b1c9", "", "10", "9"}
	slices.SortFunc(list, natural)
	want := []string{"", "9", "10", "a", "b1c9", "b1c10", "id=", "id=09", "id=9", "id=10"}
	if d := gocmp.Diff(want, list); d != "" {
		t.Error(d)
	}
}

// FuzzCompare: whatever two tables hold, what is named is exactly what a
// careful person would find by laying the rows side by side.
func FuzzCompare(f *testing.F) {
	f.Add(uint64(1), uint16(10), uint8(3), false)
	f.Add(uint64(2), uint16(5000), uint8(40), true)
	f.Add(uint64(3), uint16(3000), uint8(0), false)
	f.Fuzz(func(t *testing.T, seed uint64, size uint16, changes uint8, keyless bool) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		a := table(int(size % 6000))
		b := &shelf{objects: a.objects, rows: map[string][]Row{"public.users": slices.Clone(a.rows["public.users"])}, keyless: map[string]bool{"public.users": keyless}}
		a.keyless = b.keyless
		for range changes {
			rows := b.rows["public.users"]
			switch i := rnd.IntN(len(rows) + 1); {
			case i == len(rows):
				rows = append(rows, Row{fmt.Sprintf("id=%d", 100_000+rnd.IntN(50)), "a new row"})
			case rnd.IntN(3) == 0:
				rows = slices.Delete(rows, i, i+1)
			case rnd.IntN(2) == 0:
				rows = append(rows, rows[i])
			default:
				rows[i].Print += "!"
			}
			b.rows["public.users"] = rows
		}
		rnd.Shuffle(len(b.rows["public.users"]), func(i, j int) {
			r := b.rows["public.users"]
			r[i], r[j] = r[j], r[i]
		})
		got := run(a, b, Options{Named: 1 << 20})
		if len(got.Errs) > 0 {
			t.Fatal(got.Errs)
		}
		var counted int64
		for _, d := range got.Differs {
			counted += max(d.Times, 1)
		}
		if d := gocmp.Diff(naive(a, b), tallied(got)); d != "" && got.More == 0 {
			t.Error(d)
		}
		if want := naiveCount(a, b); counted+got.More != want {
			t.Errorf("%d differences, want %d", counted+got.More, want)
		}
	})
}

// naive counts by row what one side has more often than the other.
func naive(a, b *shelf) map[Row]int64 {
	net := map[Row]int64{}
	for _, r := range a.rows["public.users"] {
		net[r]++
	}
	for _, r := range b.rows["public.users"] {
		net[r]--
	}
	for r, n := range net {
		if n == 0 {
			delete(net, r)
		}
	}
	return net
}

// tallied is the same from what was named. (Every print of these tests has a
// blank, so that it is kept for people.)
func tallied(o Outcome) map[Row]int64 {
	net := map[Row]int64{}
	for _, d := range o.Differs {
		n := max(d.Times, 1)
		if d.How != Extra {
			net[Row{d.Key, d.Old}] += n
		}
		if d.How != Missing {
			net[Row{d.Key, d.New}] -= n
		}
	}
	return net
}

// naiveCount is how many differences there are: a key that lost one row and
// got another has one.
func naiveCount(a, b *shelf) int64 {
	plus, minus := map[string]int64{}, map[string]int64{}
	for r, n := range naive(a, b) {
		if n > 0 {
			plus[r.Key] += n
		} else {
			minus[r.Key] -= n
		}
	}
	var sum int64
	for k, n := range plus {
		sum += max(n, minus[k])
		delete(minus, k)
	}
	for _, n := range minus {
		sum += n
	}
	return sum
}
