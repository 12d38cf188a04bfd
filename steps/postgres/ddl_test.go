package postgres

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someDump = `--
-- PostgreSQL database dump
--

\restrict abc

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: me
--

CREATE FUNCTION public.f() RETURNS text LANGUAGE plpgsql AS $_$
--
-- Name: not; Type: TABLE; Schema: public; Owner: me
--
\connect evil
$$ ' $_$;


--
-- Name: t; Type: TABLE; Schema: public; Owner: me
--

CREATE TABLE public.t (a text DEFAULT E'\'
-- Name: nor; Type: TABLE; Schema: public; Owner: me
', "b""
-- Name: nor; Type: TABLE; Schema: public; Owner: me
" int DEFAULT '\', /* /* ' */
-- Name: nor; Type: TABLE; Schema: public; Owner: me
*/ c$d$ int); -- '

--
-- Name: t t_u_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE public.t ADD x;

\unrestrict abc
`

func TestParseDump(t *testing.T) {
	d := parseDump(someDump)
	var got []string
	for _, e := range d.entries {
		got = append(got, e.key())
		if strings.Contains(e.SQL, "restrict") {
			t.Errorf("%s holds a command of psql", e)
		}
	}
	want := []string{"entry 0 function public.f()", "entry 1 table public.t", "entry 2 fk constraint public.t t_u_fkey"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"SET statement_timeout = 0;", "SELECT pg_catalog.set_config('search_path', '', false);"}, d.head); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(d.entries[0].SQL, "\\connect evil") || !strings.Contains(d.entries[0].SQL, "Name: not;") {
		t.Errorf("the function's body was cut: %s", d.entries[0].SQL)
	}
}

// FuzzParseDump: whatever a dump holds, no text of it gets lost but commands of
// psql, and within quotes nothing is cut.
func FuzzParseDump(f *testing.F) {
	nasty, err := os.ReadFile("testdata/nasty.sql")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(someDump)
	f.Add(string(nasty))
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		for _, e := range parseDump(text).entries {
			n += len(e.SQL)
		}
		if n > len(text) {
			t.Errorf("%d bytes became %d", len(text), n)
		}
		body := "$belay$" + strings.ReplaceAll(text, "$belay$", "") + "$belay$;\n"
		const head = "--\n-- Name: x; Type: FUNCTION; Schema: s; Owner: o\n--\n\nAS "
		d := parseDump(head + body)
		if len(d.entries) != 1 || !strings.HasSuffix(d.entries[0].SQL, body) {
			t.Errorf("a quoted body was cut: %q", d.entries)
		}
	})
}

func TestSetting(t *testing.T) {
	for in, want := range map[string]string{
		`work_mem=7MB`:                      `"work_mem" to '7MB'`,
		`search_path=s, "$user", "odd ""x"`: `"search_path" to 's', '$user', 'odd "x'`,
		`search_path=`:                      `"search_path" to ''`,
		`search_path="open`:                 ``,
		`app.x=it's`:                        `"app"."x" to 'it''s'`,
		`default_transaction_read_only=on`:  ``,
	} {
		if got := setting(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
