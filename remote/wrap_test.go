package remote

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"belay/remote/secret"
)

func TestReadOnlyRefusesWhatMayChange(t *testing.T) {
	h := ReadOnly(Local("here"))
	if err := h.Run(context.Background(), Cmd{Argv: []string{"true"}}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("impure command: %v, want ErrReadOnly", err)
	}
	if err := h.Run(context.Background(), Cmd{Argv: []string{"true"}, Pure: true}); err != nil {
		t.Errorf("pure command: %v", err)
	}
	if _, err := ReadFile(context.Background(), h, "/etc/passwd"); err != nil {
		t.Errorf("ReadFile: %v", err)
	}
	if err := WriteFile(context.Background(), h, t.TempDir()+"/x", nil, 0); !errors.Is(err, ErrReadOnly) {
		t.Errorf("WriteFile: %v, want ErrReadOnly", err)
	}
}

func TestRedactCleansErrorsAndKeepsOutput(t *testing.T) {
	var red secret.Redactor
	red.Add(secret.New("hunter22"))
	r := Redact(Local("here"), &red)
	var out, errs bytes.Buffer
	c := Sh("echo hunter22; echo oops hunter22 >&2; exit 3", "hunter22")
	c.Stdout, c.Stderr = &out, &errs
	err := r.Run(context.Background(), c)
	exit, ok := errors.AsType[*ExitError](err)
	if !ok || exit.Status != 3 {
		t.Fatalf("error %v", err)
	}
	if s := exit.Stderr + exit.Error() + strings.Join(exit.Argv, " "); strings.Contains(s, "hunter22") {
		t.Errorf("the error tells the secret: %s", s)
	}
	if out.String() != "hunter22\n" || errs.String() != "oops hunter22\n" {
		t.Errorf("output was changed: %q, %q", &out, &errs)
	}
	lost := Redact(failing{&LostError{Host: "h", Err: errors.New("hunter22 said no")}}, &red).Run(context.Background(), c)
	if _, ok := errors.AsType[*LostError](lost); !ok || strings.Contains(lost.Error(), "hunter22") {
		t.Errorf("error %T %v", lost, lost)
	}
}

type failing struct{ err error }

func (f failing) Run(context.Context, Cmd) error { return f.err }

func TestRecordTellsBeginAndEnd(t *testing.T) {
	var ran []Ran
	r := Record(Local("here"), func(x Ran) { ran = append(ran, x) })
	err := r.Run(context.Background(), Sh("exit 2"))
	if len(ran) != 2 || ran[0].Ended || !ran[1].Ended || ran[1].Err != err || err == nil {
		t.Errorf("told %+v", ran)
	}
}
