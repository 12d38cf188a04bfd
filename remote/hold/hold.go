package hold

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"belay/remote"
)

// HeldError says that a machine is held by another run. Nothing was changed.
type HeldError struct {
	Host string
	Holder
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("host %q is held by %s. Nothing was changed. Wait for it, resume it or roll it back where it runs, or break its lock: --break-lock \"reason\"",
		e.Host, e.Holder)
}

// Look tells who holds the machine; nil when nobody does. It changes nothing.
func Look(ctx context.Context, host remote.Host) (*Holder, error) {
	a, err := call(ctx, host, true, "look", "", "-")
	if err != nil || a.word == "free" {
		return nil, err
	}
	return a.holder(host.Name)
}

// Take takes the machine for a run; fresh is false when that run had it. Each
// call is a sign of life. *HeldError when another run has it. After an error
// that leaves open what happened (*remote.LostError, the end of ctx) the lock
// may be taken or not; taking or releasing it again is right.
func Take(ctx context.Context, host remote.Host, r Record) (fresh bool, err error) {
	text, err := r.line()
	if err != nil {
		return false, err
	}
	a, err := call(ctx, host, false, "take", r.Run, rand.Text(), text)
	if err != nil {
		return false, err
	}
	switch a.word {
	case "taken", "mine":
		return a.word == "taken", nil
	case "free": // somebody released it at this very moment
		return false, fmt.Errorf("host %q: its lock changed hands while it was taken; take it again", host.Name)
	}
	return false, a.held(host.Name)
}

// Release gives the machine back if that run has it; had is false when it had
// not, which is no error.
func Release(ctx context.Context, host remote.Host, run string) (had bool, err error) {
	a, err := call(ctx, host, false, "drop", run, rand.Text())
	return a.word == "dropped", err
}

// Break takes the lock away from who holds it, as Look or a *HeldError told,
// so that run can take it; it does not take it. kept is the file on the machine
// where the old lock stays; "" when there was none to break any more. When
// somebody else holds the machine by now, their lock is left alone and is the
// *HeldError.
func Break(ctx context.Context, host remote.Host, run string, old Holder, at time.Time) (kept string, err error) {
	word := rand.Text()
	name := at.UTC().Format("20060102T150405Z") + "-" + strings.ToLower(word[:4])
	a, err := call(ctx, host, false, "break", run, word, old.is, name)
	switch {
	case err != nil:
		return "", err
	case a.word == "broken":
		return clean(a.rest, 500), nil
	case a.word == "free", a.word == "mine":
		return "", nil
	}
	return "", a.held(host.Name)
}

//go:embed lock.sh
var source string

// script is what travels: source without comment lines and indentation.
var script = func() string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}()

const greeting = "belay-lock 1\n"

// answer is what the far side said: a word, the rest of its line, and the
// first bytes of the lock.
type answer struct {
	word, rest string
	body       []byte
}

// call runs one verb. What a login prints before the greeting is not its answer.
func call(ctx context.Context, host remote.Host, pure bool, verb, run string, args ...string) (answer, error) {
	is := ""
	if verb != "look" {
		var err error
		if is, err = begin(run); err != nil {
			return answer{}, err
		}
	}
	c := remote.Sh(script, append([]string{verb, is}, args...)...)
	c.Pure = pure
	out, err := remote.Output(ctx, host.Runner, c)
	if err != nil {
		return answer{}, wrap(host.Name, err)
	}
	_, said, ok := bytes.Cut(out, []byte(greeting))
	line, body, whole := bytes.Cut(said, []byte("\n"))
	if !ok || !whole {
		return answer{}, fmt.Errorf("host %q: its lock: the answer %q cannot be understood", host.Name, clean(string(out), 80))
	}
	word, rest, _ := strings.Cut(string(line), " ")
	if word == "X" {
		return answer{}, fmt.Errorf("host %q: its lock: %s", host.Name, clean(rest, 300))
	}
	return answer{word, rest, body}, nil
}

// wrap names the host where the Runner's error does not.
func wrap(host string, err error) error {
	var gone *remote.UnreachableError
	var lost *remote.LostError
	if errors.As(err, &gone) || errors.As(err, &lost) {
		return err
	}
	return fmt.Errorf("host %q: its lock: %w", host, err)
}

// held makes the error of a lock that somebody else has.
func (a answer) held(host string) error {
	h, err := a.holder(host)
	if err != nil {
		return err
	}
	return &HeldError{host, *h}
}

// holder reads "held NOW MTIME OWNER" and what follows, or "odd".
func (a answer) holder(host string) (*Holder, error) {
	switch a.word {
	case "odd":
		return &Holder{Age: -1, Raw: "not a plain file"}, nil
	case "held":
	default:
		return nil, fmt.Errorf("host %q: its lock: the answer %q cannot be understood", host, clean(a.word, 80))
	}
	h := read(a.body)
	f := strings.Fields(a.rest)
	if len(f) < 3 {
		return &h, nil
	}
	now, err1 := strconv.ParseInt(f[0], 10, 64)
	then, err2 := strconv.ParseInt(f[1], 10, 64)
	if err1 == nil && err2 == nil && then > 0 {
		h.Age = min(max(0, time.Duration(now-then)), 1<<31) * time.Second
	}
	h.Owner = clean(f[2], 40)
	return &h, nil
}
