package postgres

import "testing"

// TestUnprefixed holds what PostgreSQL 15 wrote against what 17 wrote of the
// same views, and leaves alone what both write.
func TestUnprefixed(t *testing.T) {
	for old, now := range map[string]string{
		" SELECT t.id,\n    upper(t.x) AS u\n   FROM s.t\n  WHERE ((t.n > (1)::numeric) AND (EXISTS ( SELECT\n           FROM s.t t2\n          WHERE (t2.id = t.id))))\n  ORDER BY t.id;": " SELECT id,\n    upper(x) AS u\n   FROM s.t\n  WHERE ((n > (1)::numeric) AND (EXISTS ( SELECT\n           FROM s.t t2\n          WHERE (t2.id = t.id))))\n  ORDER BY id;",
		` SELECT "o'd".a, '"o''d".a' AS b, E'\'"o''d".' FROM s."o'd";`:   ` SELECT a, '"o''d".a' AS b, E'\'"o''d".' FROM s."o'd";`,
		" SELECT g.g\n   FROM generate_series(1, 3) g(g);":               " SELECT g\n   FROM generate_series(1, 3) g(g);",
		" SELECT z.k FROM ( SELECT t.id AS k FROM s.t, s.u) z;":          " SELECT k FROM ( SELECT t.id AS k FROM s.t, s.u) z;",
		" WITH q AS ( SELECT t.a FROM s.t, s.u ) SELECT q.a FROM q;":     " WITH q AS ( SELECT t.a FROM s.t, s.u ) SELECT a FROM q;",
		" SELECT (t.c).f, t.* FROM ONLY s.t TABLESAMPLE bernoulli (10);": " SELECT (c).f, * FROM ONLY s.t TABLESAMPLE bernoulli (10);",
	} {
		if a, b := unprefixed(old), unprefixed(now); a != b {
			t.Errorf("%s\nis not\n%s", a, b)
		}
	}
	for _, same := range []string{
		" SELECT a.id, b.x FROM (s.t a JOIN s.u b USING (id)) LEFT JOIN s.w ON true;", " SELECT a.id, b.x FROM s.t a, s.u b;",
		" SELECT t.id FROM s.t UNION ALL SELECT (t.id + 1) FROM s.t;", " SELECT 1 AS a UNION SELECT t.id FROM s.t;", " SELECT 1 AS one;", "not populated: ",
	} {
		if got := unprefixed(same); got != same {
			t.Errorf("%s\nbecame\n%s", same, got)
		}
	}
	if unprefixed(" SELECT t.a FROM s.t;") == unprefixed(" SELECT t.b FROM s.t;") {
		t.Error("a changed view is not seen")
	}
}
