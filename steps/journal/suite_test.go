package journal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/steps/journal"
	"belay/steps/journal/journaltest"
)

// The file passes the suite that every place for a journal passes.
func TestFileConformance(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) journaltest.Place {
		path := filepath.Join(t.TempDir(), "journal")
		return journaltest.Place{
			Create: func() (journaltest.Journal, error) { return orNil(journal.Create(path)) },
			Open:   func() (journaltest.Journal, error) { return orNil(journal.Open(path)) },
			Read:   func() ([]journal.Event, error) { return journal.Read(path) },
			Tail:   func(*testing.T) journaltest.Tail { return journal.NewTail(path) },
			Lines: func(t *testing.T) []string {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
			},
			Put: func(t *testing.T, lines []string) {
				if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			CutAppend: func(t *testing.T, j journaltest.Journal, e journal.Event) {
				if err := j.Append(e); err != nil {
					t.Fatal(err)
				}
				j.Close()
				st, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				// The head is written after the line: it is as it was before.
				n := len(j.Events(0))
				if err := os.Truncate(path, st.Size()-9); err != nil {
					t.Fatal(err)
				}
				before := j.Events(0)[n-1].Prev
				if err := os.WriteFile(path+".head", []byte(strings.Repeat("0", 19)+string(rune('0'+n-1))+" "+before+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func orNil(j *journal.Journal, err error) (journaltest.Journal, error) {
	if err != nil {
		return nil, err
	}
	return j, nil
}
