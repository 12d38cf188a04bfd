package postgres

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
	"belay/steps/compare"
)

func sideOf(t *testing.T, p *remotetest.Postgres, o SideOptions) *Side {
	t.Helper()
	s, err := NewSide(t.Context(), serverOf(p, "shop"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// prints are all data of a side, as one print each.
func prints(t *testing.T, s *Side) map[string]compare.Print {
	t.Helper()
	all := map[string]compare.Print{}
	objects, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if !o.Data {
			continue
		}
		p, err := s.Prints(t.Context(), o.Name, 1)
		if err != nil {
			t.Fatal(err)
		}
		all[o.Name] = p[0]
	}
	return all
}

// TestSides: after a copy both sides are equal in every object and row,
// whatever the settings of the two servers; then each change is seen.
func TestSides(t *testing.T) {
	from, to := pair(t)
	c := copyOf(t, from, to)
	if _, err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := sideOf(t, from, SideOptions{Owners: true}), sideOf(t, to, SideOptions{Owners: true, Sessions: 1})
	oa, err := a.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ob, err := b.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, some := range [][]compare.Object{oa, ob} {
		for i := range some {
			some[i].Bytes = 0
		}
		slices.SortFunc(some, func(a, b compare.Object) int { return cmpObject(a, b) })
	}
	if diff := cmp.Diff(oa, ob); diff != "" {
		t.Errorf("objects -from +to:\n%s", diff)
	}
	kinds := map[string]int{}
	names := map[string]bool{}
	for _, o := range oa {
		kinds[o.Kind]++
		if names[o.Kind+" "+o.Name] {
			t.Errorf("twice: %s %s", o.Kind, o.Name)
		}
		names[o.Kind+" "+o.Name] = true
	}
	for _, k := range []string{"table", "view", "materialized view", "index", "constraint", "trigger", "rule", "policy", "function", "type",
		"statistics", "owner and grants", "sequence", "definition of sequence", "extension", "publication", "setting", "role", "large objects"} {
		if kinds[k] == 0 {
			t.Errorf("no %s is listed: %v", k, kinds)
		}
	}
	pa := prints(t, a)
	if diff := cmp.Diff(pa, prints(t, b)); diff != "" {
		t.Errorf("prints -from +to:\n%s", diff)
	}
	if p := pa["public.nokey"]; p.Rows != 4 {
		t.Errorf("nokey: %v", p)
	}
	b.Close() // it holds on to what is altered now
	testSequences(t, from, to)
	testChanges(t, to, pa)
}

// testSequences: one that counts in another way is a difference, also where it
// is ahead, which a sequence may be; and that of an identity column.
func testSequences(t *testing.T, from, to *remotetest.Postgres) {
	t.Helper()
	for _, sql := range []string{
		"alter sequence lone cache 20", "alter sequence untouched as integer maxvalue 99 cycle; select nextval('untouched')",
		"alter table users alter column id set increment by 7 set start with 5; select nextval(pg_get_serial_sequence('users', 'id'))",
	} {
		to.Exec("shop", sql)
	}
	r := compare.Run(t.Context(), []compare.Pair{{Name: "shop", What: "postgres", Old: sideOf(t, from, SideOptions{}), New: sideOf(t, to, SideOptions{})}}, compare.Options{})
	const big, end = "bigint, begins at ", ", ends there"
	want := []compare.Differs{
		{How: compare.Different, Kind: "definition of sequence", Object: "public.lone", Old: big + "-1, steps of -3, from -1000 to -1, cache 1" + end, New: big + "-1, steps of -3, from -1000 to -1, cache 20" + end},
		{How: compare.Different, Kind: "definition of sequence", Object: "public.untouched",
			Old: big + "42, steps of 1, from 1 to 9223372036854775807, cache 1" + end, New: "integer, begins at 42, steps of 1, from 1 to 99, cache 1, begins again at the end"},
		{How: compare.Different, Kind: "definition of sequence", Object: "public.users_id_seq",
			Old: big + "1, steps of 1, from 1 to 9223372036854775807, cache 1" + end, New: big + "5, steps of 7, from 1 to 9223372036854775807, cache 1" + end},
	}
	if diff := cmp.Diff(want, r.Pairs[0].Differs); diff != "" || len(r.Pairs[0].Errs) > 0 {
		t.Errorf("%q -want +got:\n%s", r.Pairs[0].Errs, diff)
	}
}

func cmpObject(a, b compare.Object) int {
	if a.Kind+a.Name < b.Kind+b.Name {
		return -1
	}
	return 1
}

// testChanges: a row changed, missing, twice, and a value that only looks the
// same are each found, in their bucket, by name.
func testChanges(t *testing.T, to *remotetest.Postgres, was map[string]compare.Print) {
	for _, c := range []struct{ table, sql, key string }{
		{"public.many", "update many set pad = 'x' || pad where id = 777", "id=777"},
		{"public.many", "delete from many where id = 778", "id=778"},
		{"public.nokey", "insert into nokey values (1, 'dup')", "(1,dup)"},
		{"public.types", "update types set t = '00:00', mn = '$1.00' where k = 1", "k=1"},
		{"public.users", "update users set big = 1.000 where id = 2", "id=2"},
		{"large objects", "select lo_put(4242, 0, 'x')", "oid=4242"},
		{`public."Mixed ""Case"" ' table; --\"`, `update "Mixed ""Case"" ' table; --\" set "ünï" = '' where "select" = 2`, "select=2"},
	} {
		before := sideOf(t, to, SideOptions{})
		to.Exec("shop", c.sql)
		after := sideOf(t, to, SideOptions{})
		if p, err := before.Prints(t.Context(), c.table, 1); err != nil || c.table != "public.many" && c.table != "public.users" && p[0] != was[c.table] {
			t.Errorf("%s: the snapshot sees what came later (%v)", c.table, err)
		}
		const buckets = 64
		pb, err1 := before.Prints(t.Context(), c.table, buckets)
		pa, err2 := after.Prints(t.Context(), c.table, buckets)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		var differ []int
		for i := range pb {
			if pb[i] != pa[i] {
				differ = append(differ, i)
			}
		}
		if len(differ) == 0 {
			t.Errorf("%s: not seen", c.sql)
			continue
		}
		seen := map[compare.Row]int{}
		for side, by := range map[*Side]int{before: -1, after: 1} {
			if err := side.Rows(t.Context(), c.table, buckets, differ, func(r compare.Row) error { seen[r] += by; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		keys := map[string]bool{}
		for r, n := range seen {
			if n != 0 {
				keys[r.Key] = true
			}
		}
		if len(keys) != 1 || !keys[c.key] {
			t.Errorf("%s: differing keys %v, want %s", c.sql, keys, c.key)
		}
		before.Close()
		after.Close()
	}
}
