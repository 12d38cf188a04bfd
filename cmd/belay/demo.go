package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"belay/remote/lab"
	"belay/steps/engine"
	"belay/steps/plan"
	"belay/steps/plan/shipped"
)

// demoAnswers are what a headless demo says: yes to everything, and a rollback
// where something was broken on purpose.
const demoAnswers = `name: Demo
answers:
  - {question: findings, choice: accept, item: "*", reason: it is only the demo, times: 99}
  - {question: findings, choice: go}
  - {question: sign-off, choice: sign, item: "*"}
  - {question: sign-off, choice: go}
  - {question: cutover, choice: go, text: old}
  - {question: failed, choice: rollback}
  - {question: soak, choice: rollback}
  - {question: rollback, choice: go, text: old, reason: the demo broke it on purpose}
  - {question: close, choice: close, text: old}
`

func newDemo() *cobra.Command {
	var f driveFlags
	var fail string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Move a chat between three pretend servers on this machine",
		Long: `Start three pretend servers on this machine and move an old chat process, with its
messages, to a new one on the same port. Nothing needs to be installed and nothing
is left behind. With --fail something breaks, so that you can practise a rollback.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return demo(cmd.Context(), f, fail) },
	}
	f.add(c)
	c.Flags().StringVar(&fail, "fail", "", "break something: `cutover` or soak")
	c.Flags().BoolVar(&f.auto, "auto", false, "on the screen, answer every question by itself after a moment: just watch")
	return c
}

// demo runs the shipped demo plan in a lab of its own and takes all down again.
func demo(ctx context.Context, f driveFlags, fail string) (err error) {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "belay-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := lab.StartDemo(ctx, filepath.Join(dir, "lab"), program, fail)
	if err != nil {
		return usageError{err}
	}
	defer func() {
		if stopped := d.Stop(); stopped != nil && err == nil {
			err = stopped
		}
	}()
	for env, value := range map[string]string{"BELAY_STATE": dir, "BELAY_SSH_CONFIG": d.SSHConfig()} {
		if err := os.Setenv(env, value); err != nil {
			return err
		}
	}
	p, err := demoPlan(d)
	if err != nil {
		return err
	}
	if (f.headless || f.auto) && f.answers == "" {
		f.answers = filepath.Join(dir, "answers.yaml")
		if err := os.WriteFile(f.answers, []byte(demoAnswers), 0o600); err != nil {
			return err
		}
	}
	if !f.json {
		fmt.Printf("The chat that will be moved: %s\n", d.URL)
	}
	err = demoRun(ctx, p, f)
	if !f.json {
		fmt.Printf("The pretend servers and all they held are gone again; nothing is left of the demo.\n")
	}
	return err
}

// demoRun drives the demo from this process: its servers end with it.
func demoRun(ctx context.Context, p *plan.Plan, f driveFlags) error {
	r, red, said, err := create(p, f)
	if err != nil {
		return err
	}
	f.why, f.gone = "run", true
	return drive(ctx, r, p, red, said, f, (*engine.Engine).Walk)
}

// demoPlan is the shipped plan with the lab's port and directories laid over.
func demoPlan(d *lab.Demo) (*plan.Plan, error) {
	src, err := shipped.Read("demo")
	if err != nil {
		return nil, err
	}
	over, err := yaml.Marshal(map[string]any{"vars": d.Vars})
	if err != nil {
		return nil, err
	}
	return plan.Load("demo.yaml", src, plan.All(), plan.File{Path: "demo-vars.yaml", Source: over})
}

// newLabChat is the chat that the demo's servers run.
func newLabChat() *cobra.Command {
	return &cobra.Command{
		Use:                "lab-chat",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return lab.ChatMain(cmd.Context(), args, cmd.OutOrStdout())
		},
	}
}
