package mysql

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	const text = "-- a comment; with ;\nCREATE TABLE `a;b` (x int) /* ; */;\n# no\nINSERT INTO t VALUES ('it''s; \\'', \"--\"); /*!40101 SET x = 1 */;\n" +
		"DELIMITER $$\nCREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END$$\ndelimiter ;\nSELECT 5--3;\n;;\nSELECT 9"
	got, err := Split(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []Statement{
		{"CREATE TABLE `a;b` (x int)", 2}, {"INSERT INTO t VALUES ('it''s; \\'', \"--\")", 4}, {"/*!40101 SET x = 1 */", 4},
		{"CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END", 6}, {"SELECT 5--3", 8}, {"SELECT 9", 10},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, bad := range []string{"SELECT 'a", "SELECT 1 /* b", "SELECT `", `SELECT "`} {
		if got, err := Split(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("SELECT 1; DELIMITER //\nSELECT 'a' //")
	f.Fuzz(func(t *testing.T, s string) {
		all, err := Split(s)
		if err != nil {
			return
		}
		for _, st := range all {
			if st.Text == "" || st.Line < 1 {
				t.Errorf("%q: %v", s, st)
			}
			_ = st.Session() // must not break
		}
	})
}
