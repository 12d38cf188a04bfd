package postgres

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
)

// inForm are types and a value of each: those whose binary form means the same
// on every server of a version, and those whose form carries what is known to
// one server only, such as the number of a type.
var inForm = map[bool][][2]string{
	true: {
		{"int2", "-32768"}, {"int8", "9223372036854775807"}, {"numeric", "NaN"}, {"numeric", "1.00"}, {"numeric(12,4)", "-0.0001"}, {"numeric", "Infinity"},
		{"float4", "1.17549435e-38"}, {"float8", "-0"}, {"float8", "NaN"}, {"money", "-1234.56"}, {"bool", "t"}, {`"char"`, `\001`},
		{"text", "Zoë 🦊\n\t\\N"}, {"text", ""}, {"varchar(3)", "äö"}, {"char(10)", "pad"}, {"bpchar", "blanks   "}, {"name", "nm"}, {"bytea", `\x00ff5c`},
		{"json", `{"a" : 1,  "a":2}`}, {"jsonb", `{"b": [1, null, "é"]}`}, {"jsonpath", "$.a[*]"}, {"uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"inet", "192.168.0.1/24"}, {"cidr", "10.0.0.0/8"}, {"macaddr", "08:00:2b:01:02:03"}, {"macaddr8", "08:00:2b:01:02:03:04:05"},
		{"bit(5)", "10110"}, {"varbit", "1"}, {"tsvector", "'cat':2 'fat':1A"}, {"tsquery", "'fat' & !'cat'"},
		{"date", "infinity"}, {"date", "0044-03-15 BC"}, {"time", "24:00:00"}, {"timetz", "12:00:00+05:45"}, {"timestamp", "-infinity"},
		{"timestamptz", "2024-02-29 12:00:00.123456+05:45"}, {"interval", "1 mon -30 days 04:05:06.789"},
		{"point", "(1.1,2.2)"}, {"box", "(3,4),(1,2)"}, {"circle", "<(1,2),3>"}, {"path", "[(0,0),(1,1)]"}, {"polygon", "((0,0),(1,1),(1,0))"}, {"lseg", "[(0,0),(1,1)]"}, {"line", "{1,2,3}"},
		{"int4range", "[1,5)"}, {"int4multirange", "{[1,3),[5,)}"}, {"tstzrange", "[2024-01-01,)"}, {"oid", "4294967295"}, {"pg_lsn", "16/B374D848"}, {"tid", "(3,4)"},
		{"int[]", "{1,NULL,3}"}, {"text[]", `[0:1][5:6]={{a,"b,c"},{"",NULL}}`}, {"numeric[]", "{NaN,1.0}"}, {"jsonb[]", `{"{\"a\": 1}"}`}, {"int4range[]", `{"[1,5)"}`},
		{"mood", `it's "ok"`}, {"posint", "7"}, {"words", "{a,b}"},
	},
	false: {
		{"mood[]", `{sad,"it's \"ok\""}`}, {"pair", `(1,"x,""y""")`}, {"pair[]", `{"(1,a)","(,)"}`}, {"floatrange", "[1.5,2.5]"}, {"hstore", `"k,1"=>"v\"", "n"=>NULL`}, {"hstore[]", `{"\"a\"=>\"1\""}`},
		{"posint2", "3"}, {"moods", "{sad}"}, {"ofmood", "sad"}, {"posint[]", "{1,2}"}, {"xml", "<a>ü</a>"}, {"xml[]", "{<a/>}"},
		{"regclass", "aimed_at"}, {"regtype", "mood"}, {"regclass[]", "{aimed_at}"}, {"classes", "{aimed_at}"}, {"regproc", "hash_of"}, {"txid_snapshot", "10:20:10,14,15"}, {"pg_snapshot", "10:20:10,14,15"},
	},
}

// TestCopyForms: each type arrives as it was, in the form that is safe for it,
// where everything that was made has another number on the other side.
func TestCopyForms(t *testing.T) {
	t.Parallel()
	from := remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	to := remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	to.Exec("postgres", "create database shop")
	from.Exec("postgres", "create database shop")
	to.Exec("shop", `do $$ begin for i in 1..50 loop execute 'create type gone as enum (''a'')'; execute 'drop type gone'; end loop; end $$`)
	from.Exec("shop", `create extension hstore;
		create type mood as enum ('sad', 'it''s "ok"'); create domain posint as int check (value > 0); create domain posint2 as posint; create domain words as text[];
		create domain moods as mood[]; create domain ofmood as mood; create domain classes as regclass[]; create type pair as (a int, b text); create type floatrange as range (subtype = float8);
		create table aimed_at (a int); create function hash_of() returns int language sql as 'select 1'`)
	want := map[string]bool{}
	for form, all := range inForm {
		for i, one := range all {
			name := fmt.Sprintf("%v_%02d", form, i)
			want[name] = form
			from.Exec("shop", fmt.Sprintf(`create table %s (k int, v %s, g int generated always as (k + 1) stored); insert into %[1]s values (1, %[3]s), (2, null)`, name, one[0], literal(one[1])))
		}
	}
	c := copyOf(t, from, to)
	c.Log = func(string, ...any) {}
	snap, err := Hold(t.Context(), c.From)
	if err != nil {
		t.Fatal(err)
	}
	all, err := tables(t.Context(), snap, Scope{})
	snap.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if form, ok := want[a.Name]; ok && form != a.binary {
			t.Errorf("%s: binary %v", from.Ask("shop", "select atttypid::regtype from pg_attribute where attname = 'v' and attrelid = '"+a.Name+"'::regclass"), a.binary)
		}
	}
	if _, err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(everyRow(from), everyRow(to)); diff != "" {
		t.Errorf("rows -from +to:\n%s", diff)
	}
	const number = "select 'mood'::regtype::oid"
	if a, z := from.Ask("shop", number), to.Ask("shop", number); a[0] == z[0] {
		t.Errorf("the enum has number %s on both sides, so this proves nothing", a[0])
	}
}

// TestCopyBlanks: blanks that a type fills up are not sent, and are there again;
// all others are sent.
func TestCopyBlanks(t *testing.T) {
	t.Parallel()
	from := remotetest.StartPostgres(t, remotetest.PostgresOptions{Encoding: "LATIN1"})
	to := remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	from.Exec("postgres", "create database shop")
	from.Exec("shop", `create domain code as char(90);
		create table padded (id int primary key, "Fi ""ll" char(120), free bpchar, d code, two char(2), full_ char(40), g int generated always as (id + 1) stored);
		insert into padded select g, (array['', null, '  leading', 'in ner', 'Zo' || chr(235), repeat('x', 120), E'tab\t', 'nbsp' || chr(160), E'\n', repeat(chr(252), 119) || 'e'])[1 + g % 10],
			'free   ', 'domain', 'x', md5(g::text) || '12345678' from generate_series(1, 60000) g; analyze padded`)
	ask := `select count(*), sum(hashtextextended(concat_ws('|', id, convert_to("Fi ""ll"::text, 'UTF8'), octet_length(free), free || '.', d || '.', char_length(d), octet_length(two), full_, g,
		octet_length(convert_to(format('%s', "Fi ""ll"), 'UTF8'))), 0)::numeric) from padded`
	for _, c := range []struct {
		split int64
		text  bool
	}{{split: 0}, {split: 4 << 20}, {text: true}} {
		to.Exec("postgres", "create database shop")
		cp := copyOf(t, from, to)
		cp.Split, cp.Text = c.split, c.text
		got, err := cp.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(from.Ask("shop", ask), to.Ask("shop", ask)); diff != "" {
			t.Errorf("%+v: rows -from +to:\n%s", c, diff)
		}
		// 120 of the first, 90 of the domain, 40 of what is full, and a few.
		if less := got.Bytes < 60000*250; less == c.text || got.Rows != 60000 {
			t.Errorf("%+v: %d rows in %d bytes", c, got.Rows, got.Bytes)
		}
		if err := cp.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		to.Exec("postgres", "drop database shop with (force)")
	}
}

// TestSplit: parts are as many as all jobs have to do, and leave no page out.
func TestSplit(t *testing.T) {
	for _, c := range []struct {
		pages, most   int64
		jobs, version int
		want          int
	}{
		{1000, 0, 2, 150000, 1}, {1000, 1000 << 13, 2, 150000, 1}, {1000, 999 << 13, 2, 150000, 2}, {1000, 400 << 13, 2, 150000, 4}, {1000, 400 << 13, 1, 150000, 1},
		{1000, 400 << 13, 8, 150000, 8}, {3, 1, 2, 150000, 3}, {100000, 1, 3, 150000, 1024}, {1000, 400 << 13, 2, 130000, 1},
	} {
		parts := split([]Table{{Schema: "s", Name: "t", Bytes: c.pages << 13, pages: c.pages, heap: true}}, c.most, c.jobs, c.version)
		if len(parts) != c.want {
			t.Errorf("%+v: %d parts", c, len(parts))
		}
		next := int64(0)
		for _, p := range parts {
			if p.from != next || p.to <= p.from {
				t.Errorf("%+v: a part from %d to %d after page %d", c, p.from, p.to, next)
			}
			next = p.to
		}
	}
}

// TestSplitAround: what is done is kept, and no page comes twice or never,
// however the table would be cut now.
func TestSplitAround(t *testing.T) {
	for was := 1; was <= 7; was++ {
		for now := 1; now <= 7; now++ {
			for some := range 1 << was {
				cut := func(jobs int, pages int64) []part {
					return split([]Table{{Schema: "s", Name: "t", Bytes: 1 << 30, pages: pages, heap: true}, {Schema: "s", Name: "u"}}, int64(1<<30)/int64(jobs)+1, jobs, 150000)
				}
				done := map[string]int64{`table "s"."t2" pages 0 to 5`: 1}
				parts := cut(was, 1000)
				for i, p := range parts[:len(parts)-1] {
					if some>>i&1 == 1 {
						done[p.key()] = 1
					}
				}
				next, left := int64(0), len(done)-1
				got := around(cut(now, 1100), done)
				for _, p := range got[:len(got)-1] {
					if p.from != next || p.to <= p.from || p.n != len(got)-1 {
						t.Fatalf("%d then %d, %v done: a part from %d to %d after page %d", was, now, done, p.from, p.to, next)
					}
					if next = p.to; done[p.key()] == 1 {
						left--
					}
				}
				if next != lastPage || left != 0 || got[len(got)-1].key() != `table "s"."u"` {
					t.Fatalf("%d then %d, %v done: %v", was, now, done, got)
				}
			}
		}
	}
}

// TestYardOrder: the longest way is begun first, and before it what is short
// and has a long way wait for it; whatever the jobs, each is done once and after
// all it comes after.
func TestYardOrder(t *testing.T) {
	big, small, middle, tiny := &job{what: "big", weight: 700}, &job{what: "small", weight: 1}, &job{what: "middle", weight: 300}, &job{what: "tiny", weight: 2}
	key := &job{what: "key", weight: 200, build: true, after: []*job{big}}
	foreign := &job{what: "foreign", weight: 100, build: true, after: []*job{key, small}}
	y := newYard([]*job{middle, tiny, small, big, key, foreign})
	var got []string
	for j, _ := y.take(false); j != nil; j, _ = y.take(false) {
		got = append(got, j.what)
		y.done(j, nil)
	}
	if order := strings.Join(got, " "); order != "small big middle tiny key foreign" {
		t.Errorf("order: %s", order)
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		var jobs []*job
		for i := range 60 {
			j := &job{what: fmt.Sprint(i), weight: r.Int64N(100), build: i > 30}
			for range r.IntN(3) {
				if i > 0 {
					j.after = append(j.after, jobs[r.IntN(i)])
				}
			}
			jobs = append(jobs, j)
		}
		y, done := newYard(jobs), map[*job]bool{}
		for j, _ := y.take(false); j != nil; j, _ = y.take(false) {
			for _, a := range j.after {
				if !done[a] {
					t.Fatalf("seed %d: %s before %s", seed, j.what, a.what)
				}
			}
			if done[j] {
				t.Fatalf("seed %d: %s twice", seed, j.what)
			}
			done[j] = true
			y.done(j, nil)
		}
		if len(done) != len(jobs) {
			t.Errorf("seed %d: %d of %d done", seed, len(done), len(jobs))
		}
	}
}
