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

// TestBack: a script begins again where its transaction began, and where that
// was committed by a definition, after it.
func TestBack(t *testing.T) {
	for text, want := range map[string][]int{
		"A; B": {0, 1, 2},
		"A; START TRANSACTION; B; SET @x = 1; COMMIT; C":                             {0, 1, 1, 1, 1, 5, 6},
		"begin work; A; savepoint s; rollback to s; ROLLBACK AND NO CHAIN; B":        {0, 0, 0, 0, 0, 5, 6},
		"BEGIN; A; CREATE TABLE t (n int); B":                                        {0, 0, 0, 3, 4},
		"BEGIN; CREATE TEMPORARY TABLE t (n int); B; /*!40000 ALTER TABLE t x */; C": {0, 0, 0, 0, 4, 5},
		"BEGIN; A; COMMIT AND CHAIN; B; COMMIT":                                      {0, 0, 0, 2, 2, 5},
		"SET AUTOCOMMIT = 0; A; B; COMMIT; USE x; C; SET @@session.autocommit=ON; D": {0, 1, 1, 1, 4, 5, 5, 7, 8},
		"BEGIN; A":                     {0, 0, 0},
		"SET autocommit=off; A; BEGIN": {0, 1, 1, 2},
		"DELIMITER //\nBEGIN NOT ATOMIC INSERT INTO a VALUES (1); END//\nB//": {0, 1, 2},
	} {
		all, err := Split(text)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, Back(all)); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
}
