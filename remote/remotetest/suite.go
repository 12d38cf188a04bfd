package remotetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
)

// patience bounds what must happen soon, on the slowest test machine.
const patience = 60 * time.Second

// TestRunner checks that a Host keeps the contracts of remote.Runner and
// remote.Dialer. The host is this machine, by whatever road, so that the suite
// can listen for what is dialled. open is called once for each part.
func TestRunner(t *testing.T, open func(t *testing.T) remote.Host) {
	for _, part := range []struct {
		name string
		f    func(*testing.T, context.Context, remote.Host)
	}{
		{"status", suiteStatus}, {"signal", suiteSignal}, {"stderr tail", suiteTail}, {"argv", suiteArgv},
		{"refused argv", suiteRefusedArgv}, {"stdin", suiteStdin}, {"stdin that never ends", suiteEndlessStdin},
		{"big output", suiteBigOutput}, {"both ways", suiteBothWays}, {"one writer for both", suiteOneWriter},
		{"failing writer", suiteFailingWriter}, {"cancel", suiteCancel}, {"cancelled before", suiteCancelledBefore},
		{"at once", suiteAtOnce}, {"files", suiteFiles},
		{"dial", suiteDial}, {"dial refused", suiteDialRefused}, {"dial half close", suiteHalfClose}, {"deadlines", suiteDeadlines},
	} {
		t.Run(part.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			part.f(t, ctx, open(t))
		})
	}
}

func suiteStatus(t *testing.T, ctx context.Context, h remote.Host) {
	for _, status := range []int{0, 1, 2, 77, 255} {
		err := h.Run(ctx, remote.Sh(fmt.Sprintf("exit %d", status)))
		if status == 0 {
			if err != nil {
				t.Errorf("status 0: %v", err)
			}
			continue
		}
		exit, ok := errors.AsType[*remote.ExitError](err)
		if !ok || exit.Status != status || exit.Signal != "" {
			t.Errorf("status %d: %#v", status, err)
		}
	}
	c := remote.Cmd{Argv: []string{"belay-no-such-program", "x"}}
	exit, ok := errors.AsType[*remote.ExitError](h.Run(ctx, c))
	if !ok || exit.Status != 127 {
		t.Fatalf("no such program: %#v, want status 127", exit)
	}
	if diff := cmp.Diff(c.Argv, exit.Argv); diff != "" {
		t.Errorf("argv of the error (-want +got):\n%s", diff)
	}
}

func suiteSignal(t *testing.T, ctx context.Context, h remote.Host) {
	for _, name := range []string{"KILL", "TERM"} {
		exit, ok := errors.AsType[*remote.ExitError](h.Run(ctx, remote.Sh("kill -s "+name+" $$; sleep 100")))
		if !ok || exit.Status != -1 || exit.Signal != name {
			t.Errorf("SIG%s: %#v", name, exit)
		}
	}
}

func suiteTail(t *testing.T, ctx context.Context, h remote.Host) {
	var all bytes.Buffer
	c := remote.Sh(`i=0; while [ $i -lt 1000 ]; do echo "line $i of this"; i=$((i+1)); done >&2; exit 9`)
	c.Stderr = &all
	exit, ok := errors.AsType[*remote.ExitError](h.Run(ctx, c))
	if !ok || exit.Status != 9 {
		t.Fatalf("error %#v", exit)
	}
	if n := len(exit.Stderr); n < 3<<10 || n > 4<<10 || !strings.HasSuffix(exit.Stderr, "line 999 of this\n") {
		t.Errorf("tail of %d bytes: …%q", n, exit.Stderr[max(0, n-40):])
	}
	if n := strings.Count(all.String(), "\n"); n != 1000 {
		t.Errorf("%d lines on stderr, want 1000", n)
	}
}

func suiteArgv(t *testing.T, ctx context.Context, h remote.Host) {
	argv := []string{"", " ", "a b", "it's", `"`, `\`, "$HOME", "`id`", "$(id)", "*", "~", "line\nbreak\n", "-n", "ünï", "\xff\x01", "!x", "a=b", ";", "&"}
	for b := 1; b < 256; b++ {
		argv = append(argv, string([]byte{byte(b)}))
	}
	out, err := remote.Output(ctx, h, remote.Cmd{Argv: append([]string{"printf", `%s\0`}, argv...)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(argv, strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")); diff != "" {
		t.Errorf("argv as it arrived (-want +got):\n%s", diff)
	}
}

func suiteRefusedArgv(t *testing.T, ctx context.Context, h remote.Host) {
	for _, argv := range [][]string{nil, {""}, {"echo", "a\x00b"}} {
		err := h.Run(ctx, remote.Cmd{Argv: argv})
		if _, ran := errors.AsType[*remote.ExitError](err); err == nil || ran {
			t.Errorf("%q: %v, want a refusal", argv, err)
		}
	}
}

func suiteStdin(t *testing.T, ctx context.Context, h remote.Host) {
	if out, err := remote.Output(ctx, h, remote.Cmd{Argv: []string{"cat"}}); err != nil || len(out) > 0 {
		t.Errorf("no stdin: %q, %v", out, err)
	}
	for _, in := range []string{"", "x", "a\nb", "\x00\xff\r\n\x03\x04\x1a"} {
		out, err := remote.Output(ctx, h, remote.Cmd{Argv: []string{"cat"}, Stdin: strings.NewReader(in)})
		if err != nil || string(out) != in {
			t.Errorf("stdin %q came back as %q, %v", in, out, err)
		}
	}
	// A command that does not read must neither hang nor fail.
	if err := h.Run(ctx, remote.Cmd{Argv: []string{"true"}, Stdin: io.LimitReader(zeros{}, 8<<20)}); err != nil {
		t.Errorf("unread stdin: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func suiteEndlessStdin(t *testing.T, ctx context.Context, h remote.Host) {
	r, w := io.Pipe()
	defer w.Close()
	if err := h.Run(ctx, remote.Cmd{Argv: []string{"true"}, Stdin: r}); err != nil {
		t.Errorf("command ended before its stdin: %v", err)
	}
}

const big = 12 << 20

func suiteBigOutput(t *testing.T, ctx context.Context, h remote.Host) {
	sum := sha256.New()
	n := int64(0)
	c := remote.Sh(fmt.Sprintf("head -c %d /dev/zero; head -c %d /dev/zero >&2", big, big))
	c.Stdout, c.Stderr = io.MultiWriter(sum, counter{&n}), io.Discard
	if err := h.Run(ctx, c); err != nil {
		t.Fatal(err)
	}
	want := sha256.New()
	_, _ = io.CopyN(want, zeros{}, big)
	if n != big || !bytes.Equal(sum.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d bytes came of %d, or other ones", n, big)
	}
}

type counter struct{ n *int64 }

func (c counter) Write(p []byte) (int, error) { *c.n += int64(len(p)); return len(p), nil }

func suiteBothWays(t *testing.T, ctx context.Context, h remote.Host) {
	in := bytes.Repeat([]byte("0123456789abcde\n"), big/16)
	sum := sha256.New()
	if err := h.Run(ctx, remote.Cmd{Argv: []string{"cat"}, Stdin: bytes.NewReader(in), Stdout: sum}); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(in); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("what came back is not what was sent")
	}
}

func suiteOneWriter(t *testing.T, ctx context.Context, h remote.Host) {
	var both bytes.Buffer // the race detector watches
	c := remote.Sh("i=0; while [ $i -lt 200 ]; do echo out; echo err >&2; i=$((i+1)); done")
	c.Stdout, c.Stderr = &both, &both
	if err := h.Run(ctx, c); err != nil {
		t.Fatal(err)
	}
	if n := both.Len(); n != 1600 {
		t.Errorf("%d bytes, want 1600", n)
	}
}

var errFull = errors.New("log is full")

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, errFull }

func suiteFailingWriter(t *testing.T, ctx context.Context, h remote.Host) {
	c := remote.Sh("while echo more; do :; done")
	c.Stdout = fullWriter{}
	if err := h.Run(ctx, c); !errors.Is(err, errFull) {
		t.Errorf("error %v, want that of the writer", err)
	}
}

// firstLine passes the first line on and drops the rest.
type firstLine struct {
	mu   sync.Mutex
	buf  []byte
	line chan string
}

func (f *firstLine) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf = append(f.buf, p...)
	if line, _, found := bytes.Cut(f.buf, []byte("\n")); found && f.line != nil {
		f.line <- string(line)
		f.line = nil
	}
	return len(p), nil
}

func suiteCancel(t *testing.T, ctx context.Context, h remote.Host) {
	stop := errors.New("operator stopped it")
	for _, script := range []string{
		"echo $$; exec sleep 1000",         // by itself
		"echo $$; sleep 1000",              // with a child
		"trap '' HUP; echo $$; sleep 1000", // not ended by a hangup
	} {
		run, cancel := context.WithCancelCause(ctx)
		first := &firstLine{line: make(chan string, 1)}
		pids := first.line
		c := remote.Sh(script)
		c.Stdout = first
		ended := make(chan error, 1)
		go func() { ended <- h.Run(run, c) }()
		var pid string
		select {
		case pid = <-pids:
		case err := <-ended:
			t.Fatalf("%s: ended: %v", script, err)
		}
		cancel(stop)
		if err := <-ended; !errors.Is(err, stop) {
			t.Errorf("%s: error %v, want the cause of the context", script, err)
		}
		for h.Run(ctx, remote.Cmd{Argv: []string{"kill", "-0", pid}}) == nil {
			time.Sleep(20 * time.Millisecond) // until it is gone, or ctx ends
		}
		if ctx.Err() != nil {
			t.Errorf("%s: process %s still runs", script, pid)
		}
	}
}

func suiteCancelledBefore(t *testing.T, ctx context.Context, h remote.Host) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	marker := t.TempDir() + "/ran"
	if err := h.Run(ctx, remote.Cmd{Argv: []string{"touch", marker}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the command was run all the same")
	}
}

func suiteAtOnce(t *testing.T, ctx context.Context, h remote.Host) {
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			want := strings.Repeat(fmt.Sprintf("%d,", i), 1000)
			out, err := remote.Output(ctx, h, remote.Cmd{Argv: []string{"cat"}, Stdin: strings.NewReader(want)})
			if err != nil || string(out) != want {
				t.Errorf("command %d: %d bytes, %v", i, len(out), err)
			}
		})
	}
	all.Wait()
}

func suiteFiles(t *testing.T, ctx context.Context, h remote.Host) {
	path := t.TempDir() + "/a file"
	data := bytes.Repeat([]byte("\x00\xffé\r\n"), 50_000)
	if err := remote.WriteFile(ctx, h, path, data, 0o640); err != nil {
		t.Fatal(err)
	}
	got, err := remote.ReadFile(ctx, h, path)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("read back %d of %d bytes, %v", len(got), len(data), err)
	}
}
