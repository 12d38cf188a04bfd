package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestManual(t *testing.T) {
	got, err := Manual(fakeKinds(), "run")
	if err != nil {
		t.Fatal(err)
	}
	want := `run (step)
  Runs a script.

  Parameters
    script  text, required
        what the shell runs
    secrets  list, each the name of a secret
        names of secrets
    again  true or false
        may be repeated

  Short form: ` + "`run: …`" + ` gives "script" alone.

  Runs on    the hosts of ` + "`on`" + `
  Way back   none by itself; the plan may give one with ` + "`undo:`" + `
  Repeated   with ` + "`retry:`" + `, where its parameters allow it

  Example
    - step: Build
      on: chat
      run: make
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	every, err := Manual(fakeKinds(), "step")
	if err != nil || !strings.Contains(every, "hints  list of") || strings.Contains(every, "Short form") {
		t.Errorf("what every step may say: %v\n%s", err, every)
	}
	if _, err := Manual(fakeKinds(), "prot"); err == nil || !strings.HasSuffix(err.Error(), `did you mean "port"?`) {
		t.Errorf("unknown kind: %v", err)
	}
	table := MarkdownTable(fakeKinds())
	if !strings.Contains(table, "| `files.copy` | Copies a file. | yes |\n| `manual` | Asks a person. | — |\n") {
		t.Errorf("table:\n%s", table)
	}
	for line := range strings.SplitSeq(got+every+Index(All()), "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("too wide for 80 columns: %s", line)
		}
	}
}
