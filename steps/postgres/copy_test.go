package postgres

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
)

// pair is a source with the nasty data in database shop, and a target with an
// empty database of that name and the roles.
func pair(t *testing.T) (from, to *remotetest.Postgres) {
	t.Helper()
	from = remotetest.StartPostgres(t, remotetest.PostgresOptions{Password: "from:pw\\'"})
	to = remotetest.StartPostgres(t, remotetest.PostgresOptions{Password: "to pw", Settings: []string{"datestyle = 'german'", "timezone = 'Asia/Kathmandu'", "lc_monetary = 'C'"}})
	sql, err := os.ReadFile("testdata/nasty.sql")
	if err != nil {
		t.Fatal(err)
	}
	from.Exec("postgres", "create database shop")
	from.Exec("shop", string(sql))
	to.Exec("postgres", "create database shop")
	for line := range strings.Lines(string(sql)) {
		if strings.HasPrefix(line, "create role") {
			to.Exec("postgres", line)
		}
	}
	return from, to
}

func copyOf(t *testing.T, from, to *remotetest.Postgres) Copy {
	return Copy{
		From: serverOf(from, "shop"), To: serverOf(to, "shop"), ID: "run-1", Jobs: 3, Split: 1 << 20, Owners: true,
		Log: func(format string, args ...any) { t.Logf(format, args...) }, Say: func(Progress) {},
	}
}

// everyRow is a fingerprint of all tables made by psql's way, not belay's: the
// text of every row, sorted.
func everyRow(p *remotetest.Postgres) map[string][]string {
	all := map[string][]string{}
	for _, t := range p.Ask("shop", `select quote_ident(nspname) || '.' || quote_ident(relname) from pg_class c join pg_namespace n on n.oid = relnamespace
		where relkind in ('r', 'm') and relispopulated and nspname !~ '^pg_' and nspname <> 'information_schema'`) {
		all[t] = p.Ask("shop", "set datestyle = iso; set timezone = 'UTC'; select \"the row\"::text from only "+t+" \"the row\" order by 1")
	}
	for _, s := range p.Ask("shop", `select c.oid::regclass::text from pg_class c where relkind = 'S'`) {
		all["sequence "+s] = p.Ask("shop", "select last_value || ' ' || is_called from "+s)
	}
	all["large"] = p.Ask("shop", `select m.oid || ' ' || md5(lo_get(m.oid)) || pg_get_userbyid(lomowner) || coalesce(lomacl::text, '') || coalesce(obj_description(m.oid, 'pg_largeobject'), '') from pg_largeobject_metadata m order by 1`)
	return all
}

func schemaOf(t *testing.T, p *remotetest.Postgres) string {
	t.Helper()
	var out, said strings.Builder
	err := serverOf(p, "shop").Run(t.Context(), Tool{Name: "pg_dump", Args: []string{"--schema-only"}, Stdout: &out, Stderr: &said})
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	lines := strings.Split(out.String(), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, `\restrict`) || strings.HasPrefix(l, `\unrestrict`)
	}), "\n")
}

func TestCopy(t *testing.T) {
	from, to := pair(t)
	before := everyRow(from)
	for _, text := range []bool{false, true} {
		c := copyOf(t, from, to)
		c.Text = text
		got, err := c.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got.Large != 3 || got.Rows < 20000 || got.Bytes < 5<<20 {
			t.Errorf("rows %d, bytes %d, large objects %d", got.Rows, got.Bytes, got.Large)
		}
		if diff := cmp.Diff(before, everyRow(to)); diff != "" {
			t.Errorf("rows (text %v) -from +to:\n%s", text, diff)
		}
		if diff := cmp.Diff(schemaOf(t, from), schemaOf(t, to)); diff != "" {
			t.Errorf("schema -from +to:\n%s", diff)
		}
		if bad := to.Ask("shop", "select indexrelid::regclass from pg_index where not indisvalid"); len(bad) > 0 {
			t.Errorf("invalid indexes: %q", bad)
		}
		to.Exec("postgres", "drop database shop")
		to.Exec("postgres", "create database shop")
	}

	c := copyOf(t, from, to)
	c.Bare = true
	got, err := c.Run(t.Context())
	if err == nil {
		err = c.Finish(t.Context())
	}
	if err != nil || got.Rows != 0 || got.Bytes != 0 || got.Large != 0 {
		t.Errorf("the definitions alone: %+v, %v", got, err)
	}
	if diff := cmp.Diff(schemaOf(t, from), schemaOf(t, to)); diff != "" {
		t.Errorf("definitions alone -from +to:\n%s", diff)
	}
	for name, rows := range everyRow(to) {
		if _, data := before[name]; data && len(rows) > 0 && !strings.HasPrefix(name, "sequence ") {
			t.Errorf("%s has %d rows", name, len(rows))
		}
	}
}
