package engine

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// mended is a blind put that leaves it to Verify after a person's word.
type mended struct {
	Name string `yaml:"name" scalar:"" doc:"what to put"`
}

func (m *mended) put() *put { return &put{Name: m.Name, Blind: true} }

func (m *mended) Pending(ctx context.Context, e steps.Env) ([]steps.Change, error) {
	return m.put().Pending(ctx, e)
}
func (m *mended) Apply(ctx context.Context, e steps.Env) error               { return m.put().Apply(ctx, e) }
func (m *mended) Verify(ctx context.Context, e steps.Env) error              { return m.put().Verify(ctx, e) }
func (m *mended) Recheck(context.Context, steps.Env) ([]steps.Change, error) { return nil, nil }

func TestRecheckSeesWhatAPersonMended(t *testing.T) {
	for _, by := range []string{"hand", "nobody"} {
		w := newWorld()
		w.hook = func(_, _, host string) error {
			if by == "hand" {
				w.put[host+":one"]++
			}
			return errors.New("no")
		}
		kinds := fakeKinds()
		kinds.Steps["mended"] = steps.Kind{Name: "mended", New: func() steps.Step { return &mended{} }}
		p, err := plan.Load("test.yaml", []byte("belay: 1\nname: x\nhosts: {a: {}}\nprepare:\n  - step: one\n    on: a\n    mended: {name: one}\n"), kinds)
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t, p, filepath.Join(t.TempDir(), "j"), "findings=go", "failed/one=recheck", "failed/one=skip", "close=close")
		if _, err := b.Walk(context.Background()); err != nil {
			t.Fatal(err)
		}
		want := map[string]journal.Status{"hand": journal.PassedStatus, "nobody": journal.Skipped}[by]
		if st := b.log.State().Step("one"); st.Status != want {
			t.Errorf("fixed by %s: %+v", by, st)
		}
	}
}
