package report

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/steps/journal"
	"belay/steps/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestGolden(t *testing.T) {
	p := thePlan(t)
	p.Hash = "5e1f"
	for name, tell := range stories {
		for ext, got := range map[string][]byte{
			".md": Markdown(p, tell(), optionsOf(name)), ".json": mustJSON(t, Build(p, tell(), optionsOf(name))),
			".html": mustHTML(t, p, tell(), optionsOf(name)),
		} {
			t.Run(name+ext, func(t *testing.T) {
				path := filepath.Join("testdata", name+ext)
				if *update {
					if err := os.WriteFile(path, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), string(got)); d != "" {
					t.Errorf("not as in %s (go test -update writes it anew):\n%s", path, d)
				}
			})
		}
	}
}

func mustJSON(t testing.TB, r *Report) []byte {
	t.Helper()
	b, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustHTML(t testing.TB, p *plan.Plan, events []journal.Event, o Options) []byte {
	t.Helper()
	b, err := HTML(p, events, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A journal that was really written: its first and last checksum are those of
// its lines, and are told.
func TestChecksums(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range forward() {
		if err := j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	lines := readLines(t, path)
	events, err := journal.Read(path)
	r := Build(thePlan(t), events, Options{Verified: err == nil})
	for what, want := range map[string]string{r.Record.First: lines[0], r.Record.Last: lines[len(lines)-1]} {
		if what == "" || !strings.HasSuffix(want, `"sum":"`+what+`"}`) {
			t.Errorf("checksum %s is not that of %s", what, want)
		}
	}
	has(t, string(r.Markdown()), "hash chain of the journal was checked from its first line to its last, and holds", r.Record.Last)
	if r.Plan.Other == "" {
		t.Error("the plan at hand is another than the run's, and nothing says so")
	}
}

// What stands before the damage is reported, and the damage with it.
func TestDamagedEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range back() {
		if err := j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	lines := readLines(t, path)
	lines[30] = strings.Replace(lines[30], "2", "3", 1)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := journal.Read(path)
	var damage *journal.DamageError
	if !errors.As(err, &damage) || len(events) != 30 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	r := Build(thePlan(t), events, Options{Verified: true, Damage: err.Error()})
	if r.Record.Verified || r.Outcome.Ended {
		t.Errorf("a damaged journal is told as verified %v, ended %v", r.Record.Verified, r.Outcome.Ended)
	}
	has(t, string(r.Markdown()), "30 events, then DAMAGED", "journal:31: journal damaged")
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// Without a plan the events speak for themselves.
func TestNoPlan(t *testing.T) {
	r := Build(nil, back(), Options{})
	sound(t, r)
	has(t, string(r.Markdown()), "# Migration report: chat-to-new", "stop-the-old-chat", "not undone yet: new: connection refused")
	empty := Build(nil, nil, Options{})
	sound(t, empty)
	has(t, string(empty.Markdown()), "Nothing is recorded of this run.")
}

func TestInline(t *testing.T) {
	for in, want := range map[string]string{
		"files.edit take_a_copy ~/x 0.3.1":   "files.edit take_a_copy ~/x 0.3.1",
		"_em_ *b* `c` [l](u) ~~s~~":          `\_em\_ \*b\* \` + "`c\\`" + ` \[l\](u) \~\~s\~\~`,
		"# head":                             `\# head`,
		"- item":                             `\- item`,
		"1. one":                             `1\. one`,
		"a | b \\ c":                         `a \| b \\ c`,
		"<b>&lt;&#60; A & B":                 "&lt;b&gt;&amp;lt;&amp;#60; A & B",
		"\x1b[31mred\x1b[0m\nblue\u202e\x00": "red blue",
		"bad \xff byte":                      "bad \uFFFD byte",
		"$a$ and $":                          `\$a\$ and \$`,
	} {
		if got := inline(in); got != want {
			t.Errorf("inline(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestExact(t *testing.T) {
	if got, want := exact("a\tb\n\x1b[0m\u202e é\xff"), "a       b\n\\x1b[0m\\u{202e} é\uFFFD"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func ExampleJSON() {
	at := time.Date(2026, 12, 1, 22, 0, 0, 0, time.UTC)
	events := []journal.Event{
		{Seq: 1, Time: at, Type: journal.RunOpened, Data: json.RawMessage(`{"run":"r1","plan":"chat","plan_hash":"5e1f","version":"0.3.1","hosts":["old"],"by":{"name":"Ana Ng","login":"ana"}}`)},
		{Seq: 2, Time: at.Add(time.Second), Type: journal.StageEntered, Key: "assess"},
		{Seq: 3, Time: at.Add(3 * time.Second), Type: journal.RunEnded, Key: "stopped"},
	}
	out, err := JSON(nil, events, Options{Verified: true})
	if err != nil {
		fmt.Println(err)
	}
	os.Stdout.Write(out)
	// Output:
	// {
	//   "format": 1,
	//   "outcome": {
	//     "status": "stopped",
	//     "text": "Stopped in assess, as somebody asked. It can be resumed.",
	//     "ended": true
	//   },
	//   "run": "r1",
	//   "plan": {
	//     "name": "chat",
	//     "hash": "5e1f"
	//   },
	//   "belay_version": "0.3.1",
	//   "hosts": [
	//     "old"
	//   ],
	//   "by": {
	//     "name": "Ana Ng",
	//     "login": "ana"
	//   },
	//   "span": {
	//     "begin": "2026-12-01T22:00:00Z",
	//     "end": "2026-12-01T22:00:03Z",
	//     "seconds": 3
	//   },
	//   "sessions": [
	//     {
	//       "time": "2026-12-01T22:00:00Z",
	//       "by": {
	//         "name": "Ana Ng",
	//         "login": "ana"
	//       }
	//     }
	//   ],
	//   "stages": [
	//     {
	//       "stage": "assess",
	//       "span": {
	//         "begin": "2026-12-01T22:00:01Z",
	//         "end": "2026-12-01T22:00:03Z",
	//         "seconds": 2
	//       },
	//       "done": false
	//     }
	//   ],
	//   "steps": [],
	//   "questions": [],
	//   "soak": [],
	//   "debts": [],
	//   "notes": [],
	//   "record": {
	//     "events": 3,
	//     "verified": true,
	//     "first_checksum": "73ca60bfe81cc687833ada9e20c54c623faac3481a7aa0658e258e974d090d5e",
	//     "last_checksum": "80116b650795acd191d5a2a52655fda46804b14f810820e330ddf805f477d0ec"
	//   }
	// }
}
