package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"belay/remote/secret"
)

// SudoError says that sudo refused: nothing was run as root.
type SudoError struct {
	WrongPassword bool   // a password was given, and sudo asked again
	Stderr        string // what sudo said, 4 KiB at most
}

func (e *SudoError) Error() string {
	why := lastLine(e.Stderr)
	switch {
	case e.WrongPassword:
		why = "the password was not accepted"
	case why == "":
		why = "it gave no reason"
	}
	return "sudo refused, nothing was run: " + why
}

// Sudo runs every command of r as root. With a zero password it is
// `sudo -n -- argv`, for accounts that need none. With a password, sudo reads
// it from stdin and is asked once: no second attempt is made, so that a wrong
// password cannot lock an account. Whether sudo takes the password or needs
// none today (NOPASSWD, a fresh ticket), the command's own stdin begins after
// it. The password never stands in an argv. When sudo refuses, Run returns a
// *SudoError.
func Sudo(r Runner, password secret.Value) Runner {
	if password.IsZero() {
		return &sudoPlain{r: r}
	}
	return &sudoPassword{r: r, password: password}
}

type sudoPlain struct {
	r      Runner
	worked atomic.Bool
}

func (s *sudoPlain) Run(ctx context.Context, c Cmd) error {
	if err := c.Check(); err != nil {
		return err
	}
	argv := c.Argv
	c.Argv = append([]string{"sudo", "-n", "--"}, argv...)
	err := s.r.Run(ctx, c)
	exit, ok := err.(*ExitError)
	if !ok || exit.Status != 1 {
		s.worked.Store(s.worked.Load() || err == nil)
		return withArgv(err, argv)
	}
	// Status 1 is sudo's no, or the command's own. Once sudo let something
	// pass and does not speak up, take it for the command's; else ask.
	if s.worked.Load() && !strings.Contains(exit.Stderr, "sudo") {
		return withArgv(err, argv)
	}
	if s.says(ctx, Sh(`PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; command -v "$1" >/dev/null`, argv[0])) > 0 {
		return &ExitError{Argv: argv, Status: 127, Stderr: exit.Stderr}
	}
	if s.says(ctx, Cmd{Argv: append([]string{"sudo", "-n", "-l", "--"}, argv...)}) == 1 {
		return &SudoError{Stderr: exit.Stderr}
	}
	return withArgv(err, argv)
}

// says returns the status of a question; -1 when there was no answer.
func (s *sudoPlain) says(ctx context.Context, c Cmd) int {
	c.Pure = true
	switch e := s.r.Run(ctx, c).(type) {
	case nil:
		return 0
	case *ExitError:
		return e.Status
	}
	return -1
}

func withArgv(err error, argv []string) error {
	if exit, ok := err.(*ExitError); ok {
		e := *exit
		e.Argv = argv
		return &e
	}
	return err
}

type sudoPassword struct {
	r        Runner
	password secret.Value
}

// sudoInner runs as root. It says that it began and as which process, drops what sudo left of the
// password (read takes single bytes from a pipe, so nothing more is eaten),
// and becomes the command.
const sudoInner = `mark=$1; shift; printf %s%s. "$mark" $$ >&2; while IFS= read -r l; do [ "$l" = "$mark" ] && break; done; unset l mark; exec "$@"`

func (s *sudoPassword) Run(ctx context.Context, c Cmd) error {
	if err := c.Check(); err != nil {
		return err
	}
	if strings.ContainsAny(s.password.Reveal(), "\n\x00") {
		return errors.New("sudo password holds a line break or a NUL byte, which sudo cannot be given")
	}
	if same(c.Stdout, c.Stderr) { // after this they look different
		w := &locked{w: c.Stdout}
		c.Stdout, c.Stderr = w, w
	}
	talk := newSudoTalk(s.password, c.Stdin, c.Stderr)
	defer talk.end()
	// Whoever carries the command may not be allowed to end root's processes.
	stop := context.AfterFunc(ctx, func() { s.kill(talk.process()) })
	defer stop()
	inner := Cmd{
		Argv: append([]string{"sudo", "-S", "-p", talk.prompt, "--", "sh", "-c", sudoInner, "sh", talk.mark}, c.Argv...),
		// stderr is told first, stdin follows from it
		Stdin: talk, Stdout: c.Stdout, Stderr: talkStderr{talk}, Pure: c.Pure,
	}
	err := s.r.Run(ctx, inner)
	if flushErr := talk.flush(); err == nil {
		err = flushErr
	}
	exit, ok := err.(*ExitError)
	if !ok {
		return err
	}
	e := *exit
	e.Argv, e.Stderr = c.Argv, talk.clean(exit.Stderr)
	began, asked := talk.state()
	if !began {
		if e.Status == 127 && asked == 0 {
			return &e // there is no sudo
		}
		return &SudoError{WrongPassword: asked > 1, Stderr: e.Stderr}
	}
	return &e
}

// sudoKill ends the group of process $1, wherever sudo has put it.
const sudoKill = `g=$(ps -o pgid= -p "$1" 2>/dev/null | tr -d ' '); g=${g:-$1}
[ "$g" -gt 1 ] || exit 1
kill -s TERM -- "-$g"
i=0; while [ $i -lt 30 ] && kill -0 "$1" 2>/dev/null; do sleep 0.1; i=$((i+1)); done
kill -0 "$1" 2>/dev/null && kill -s KILL -- "-$g"`

func (s *sudoPassword) kill(pid int) {
	if pid == 0 {
		return // not begun, or over
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = s.Run(ctx, Sh(sudoKill, strconv.Itoa(pid))) // gone already is as good
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// sudoTalk is the conversation with sudo and the inner script. Read gives them
// the password first; once the inner script said that it began, the mark and
// then the command's own stdin; when sudo asks a second time, the end.
type sudoTalk struct {
	prompt, mark string
	spoken       string // the mark as it was said, with the process
	stdin        io.Reader
	stderr       io.Writer

	mu      sync.Mutex
	changed *sync.Cond
	pending []byte // still to be read, before stdin
	held    []byte // stderr before the beginning
	began   bool
	pid     int // of the command, from the other side: 0 or more than 1
	over    bool
	asked   int
}

func newSudoTalk(password secret.Value, stdin io.Reader, stderr io.Writer) *sudoTalk {
	t := &sudoTalk{
		prompt: fmt.Sprintf("[belay asks %s]", rand.Text()),
		mark:   fmt.Sprintf("[belay began %s]", rand.Text()),
		stdin:  stdin, stderr: stderr,
		pending: append([]byte(password.Reveal()), '\n'),
	}
	t.changed = sync.NewCond(&t.mu)
	return t
}

func (t *sudoTalk) Read(p []byte) (int, error) {
	t.mu.Lock()
	for len(t.pending) == 0 && !t.began && !t.over {
		t.changed.Wait()
	}
	if len(t.pending) > 0 {
		n := copy(p, t.pending)
		clear(t.pending[:n])
		t.pending = t.pending[n:]
		t.mu.Unlock()
		return n, nil
	}
	began := t.began
	t.mu.Unlock()
	if !began || t.stdin == nil {
		return 0, io.EOF
	}
	return t.stdin.Read(p)
}

type talkStderr struct{ t *sudoTalk }

func (w talkStderr) Write(p []byte) (int, error) { return len(p), w.t.hear(p) }

// hear takes a piece of stderr. Until the command began it is held, to look
// for the two marks across the borders of pieces.
func (t *sudoTalk) hear(p []byte) error {
	t.mu.Lock()
	if t.began {
		t.mu.Unlock()
		return t.pass(p)
	}
	t.held = append(t.held, p...)
	var out []byte
	before, after, _ := bytes.Cut(t.held, []byte(t.mark))
	if pid, rest, found := bytes.Cut(after, []byte(".")); found {
		t.began = true
		if n, err := strconv.Atoi(string(pid)); err == nil && n > 1 {
			t.pid = n
		}
		t.spoken = t.mark + string(pid) + "."
		t.pending = append(t.pending, t.mark+"\n"...)
		out = append([]byte(t.clean(string(before))), rest...)
		t.held = nil
	} else if t.asked = bytes.Count(t.held, []byte(t.prompt)); t.asked > 1 || len(t.held) > 1<<20 {
		t.over = true
	}
	t.changed.Broadcast()
	t.mu.Unlock()
	return t.pass(out)
}

func (t *sudoTalk) pass(p []byte) error {
	if t.stderr == nil || len(p) == 0 {
		return nil
	}
	_, err := t.stderr.Write(p)
	return err
}

func (t *sudoTalk) clean(s string) string {
	for _, ours := range []string{t.prompt, t.spoken, t.mark} {
		if ours != "" {
			s = strings.ReplaceAll(s, ours, "")
		}
	}
	return s
}

func (t *sudoTalk) flush() error {
	t.mu.Lock()
	held := t.clean(string(t.held))
	t.held = nil
	t.mu.Unlock()
	return t.pass([]byte(held))
}

func (t *sudoTalk) state() (began bool, asked int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.began, t.asked
}

// process returns the command's process id while it runs, else 0.
func (t *sudoTalk) process() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return 0
	}
	return t.pid
}

// end frees a Read that still waits for sudo.
func (t *sudoTalk) end() {
	t.mu.Lock()
	t.over = true
	t.changed.Broadcast()
	t.mu.Unlock()
}
