package run

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
	"belay/steps/journal"
	"belay/steps/plan"
)

// yes answers every question at once, without a screen.
type yes struct{}

func (yes) Ask(_ context.Context, q journal.Question) (journal.Answer, error) {
	a := journal.Answer{Question: q.ID, Choice: q.Options[0].Choice, Text: q.Options[0].Type, Reason: "bench"}
	a.By.Name = "Bench"
	return a, nil
}

// benchWalk walks a plan of trivial steps to closed, journal and logs included.
func benchWalk(b *testing.B, i int, text, attached string) {
	b.Helper()
	p, err := plan.Load("plan.yaml", []byte(strings.ReplaceAll(text, "ATTACHED", attached)), plan.All())
	if err != nil {
		b.Fatal(err)
	}
	r, err := Create(b.TempDir(), fmt.Sprintf("bench-%s-%d-%d", attached, b.N, i), p, &secret.Redactor{}, journal.Author{Login: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	e := r.Engine(Spec{Version: "bench", Hosts: remote.Hosts{"here": remote.Local("here")}, Secret: noSecrets})
	e.Operator = yes{}
	e.Judging = func(context.Context, []checks.Check) []checks.Finding { return nil }
	if status, err := e.Walk(b.Context()); err != nil || status != journal.Closed {
		b.Fatal(status, err)
	}
}

// BenchmarkTrivialStep is what belay adds to a command that does nothing: a
// plan of steps against the bare command.
func BenchmarkTrivialStep(b *testing.B) {
	const steps = 10
	text := "belay: 1\nname: bench\nhosts: {here: {local: true}}\nprepare:\n"
	for i := range steps {
		text += fmt.Sprintf("  - {step: S%d, on: here, run: {script: 'true', attached: ATTACHED}}\n", i)
	}
	b.Setenv("HOME", b.TempDir())
	for name, attached := range map[string]string{"job": "false", "attached": "true"} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				benchWalk(b, i, text, attached)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*steps), "ms/step")
		})
	}
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			if err := remote.Local("here").Run(b.Context(), remote.Sh("true")); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/step")
	})
}
