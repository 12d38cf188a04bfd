package report

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestGolden(t *testing.T) {
	p := thePlan(t)
	p.Hash = "5e1f"
	for name, tell := range stories {
		for ext, got := range map[string][]byte{
			".md": Markdown(p, tell(), optionsOf(name)), ".json": mustJSON(t, Build(p, tell(), optionsOf(name))),
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
