package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

func TestSecondStart(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		s := Spec{ID: "twice", Script: "echo x >>$HOME/ran; echo hello; exit 4", Stdin: secret.New("in")}
		for i := range 2 {
			var log bytes.Buffer
			res, err := Run(t.Context(), m, s, Options{Log: &log})
			var exit *remote.ExitError
			if !errors.As(err, &exit) || exit.Status != 4 || log.String() != "hello\n" || res.Attached != (i == 1) {
				t.Errorf("run %d: %v %q %+v", i, err, log.String(), res)
			}
		}
		other := s
		other.Env = map[string]string{"A": "b"}
		var conflict *ConflictError
		if _, err := Run(t.Context(), m, other, Options{}); !errors.As(err, &conflict) {
			t.Errorf("other command: %v", err)
		}
		if n := lines(m.home + "/ran"); n != 1 {
			t.Errorf("ran %d times", n)
		}
	})
}

func TestStartsAtOnce(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		s := Spec{ID: "many", Script: "echo x >>$HOME/ran; cat >>$HOME/in; sleep .2; echo hello", Stdin: secret.New("in\n")}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				var log bytes.Buffer
				if _, err := Run(t.Context(), m, s, Options{Log: &log}); err != nil || log.String() != "hello\n" {
					t.Errorf("%v %q", err, log.String())
				}
			})
		}
		all.Wait()
		if n, in := lines(m.home+"/ran"), read(t, m.home+"/in"); n != 1 || in != "in\n" {
			t.Errorf("ran %d times, input %q", n, in)
		}
		if left, _ := filepath.Glob(m.dir("many/.[ckps]*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// Of two commands under one ID that start at once, one runs, and whoever asked
// for the other is told.
func TestRivalsAtOnce(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		var all sync.WaitGroup
		var mu sync.Mutex
		won := map[int]int{}
		for i := range 12 {
			all.Go(func() {
				_, err := Run(t.Context(), m, Spec{ID: "rivals", Script: fmt.Sprintf("echo %d >>$HOME/ran", i%2)}, Options{})
				var conflict *ConflictError
				if err != nil && !errors.As(err, &conflict) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					won[i%2]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		ran := read(t, m.home+"/ran")
		if len(won) != 1 || len(ran) != 2 || won[int(ran[0]-'0')] != 6 {
			t.Errorf("won: %v, ran: %q", won, ran)
		}
	})
}

// cutStdin lets only the first n bytes of stdin through.
type cutStdin struct {
	remote.Runner
	n int64
}

func (c cutStdin) Run(ctx context.Context, cmd remote.Cmd) error {
	cmd.Stdin = io.LimitReader(cmd.Stdin, c.n)
	return c.Runner.Run(ctx, cmd)
}

// The protocol's own bytes are tried in strides, all others one by one.
func TestStartCutAtEveryByte(t *testing.T) {
	points := 0
	var mu sync.Mutex
	t.Cleanup(func() { t.Logf("%d points tried", points) })
	shells(t, func(t *testing.T, m *machine) {
		s := Spec{ID: "cut", Script: "echo x >>$HOME/ran; cat", Stdin: secret.New("a\nb")}
		whole := int64(len(protocol) + len(s.command()) + len(encode(s.Stdin.Reveal())))
		tried := 0
		for n := int64(0); n < whole; n++ {
			if n < int64(len(protocol))-3 {
				n = min(n+203, int64(len(protocol))-3)
			}
			tried++
			if rep, err := Start(t.Context(), cutStdin{m, n}, s); err == nil || !broken(err) {
				t.Fatalf("cut after %d of %d: %+v %v", n, whole, rep, err)
			}
			if exists(m.dir("cut/claim")) || exists(m.dir("cut/cmd")) || exists(m.home+"/ran") {
				t.Fatalf("cut after %d of %d: something was claimed", n, whole)
			}
		}
		var log bytes.Buffer
		if _, err := Run(t.Context(), m, s, Options{Log: &log}); err != nil || log.String() != "a\nb" || lines(m.home+"/ran") != 1 {
			t.Errorf("after the cuts: %v %q", err, log.String())
		}
		if left, _ := filepath.Glob(m.dir("cut/.[ckps]*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		mu.Lock()
		points += tried
		mu.Unlock()
	})
}

// Kills one process of the start path at successive system calls (all but
// read: shells read single bytes) and starts again: the command ran once, or,
// if not known to have ended well, once at most, and then it is called unknown.
func TestKilledAtSystemCalls(t *testing.T) {
	remotetest.Need(t, "strace", "setsid")
	for _, who := range []string{"start", "run", "exec"} {
		for _, kind := range []string{"dash", "bash"} {
			t.Run(who+"/"+kind, func(t *testing.T) {
				t.Parallel()
				killAtSystemCalls(t, who, kind)
			})
		}
	}
}

func killAtSystemCalls(t *testing.T, who, kind string) {
	m := newMachine(t, kind)
	good := m.path
	shim := t.TempDir()
	stride := 1
	if kind == "bash" {
		stride = 3 // its own start-up is long and tells nothing
	}
	if os.Getenv("BELAY_TEST_ALL") != "1" {
		stride *= 5
	}
	tally := map[string]int{}
	n := 1
	for ; n < 2000; n += stride {
		id := fmt.Sprintf("k%d", n)
		ran := filepath.Join(m.home, id)
		s := Spec{ID: id, Script: "echo x >>" + ran, Stdin: secret.New("in")}
		strace := fmt.Sprintf("strace -qq -o %s/trace -e trace=!read -e inject=!read:signal=KILL:when=%d", m.home, n)
		m.path, m.pre = good, nil
		if who == "start" {
			m.pre = strings.Fields(strace)
		} else {
			script := fmt.Sprintf("#!/bin/sh\n[ \"$3\" = %s ] && exec /usr/bin/setsid %s \"$@\"\nexec /usr/bin/setsid \"$@\"\n", who, strace)
			if err := os.WriteFile(shim+"/setsid", []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			m.path = shim + ":" + good
		}
		_, first := Start(t.Context(), m, s)
		claimed := exists(m.dir(id) + "/claim")
		m.path, m.pre = good, nil
		_, err := Run(t.Context(), m, s, Options{})
		settled(t, m, id)
		times := lines(ran)
		var unknown *UnknownError
		var refused *RefusedError
		switch {
		case err == nil && times == 1:
			tally["ran once"]++
		case errors.As(err, &unknown) && claimed && times <= 1:
			tally[fmt.Sprintf("unknown, ran %d", times)]++
		case errors.As(err, &refused) && claimed && times == 0:
			tally["known not to have begun"]++
		case killed(err) && claimed && who == "exec" && times <= 1:
			tally[fmt.Sprintf("status 137, ran %d", times)]++
		default:
			t.Fatalf("killed at call %d: claimed %v, ran %d times, first %v, then %v", n, claimed, times, first, err)
		}
		if !strings.Contains(read(t, m.home+"/trace"), "killed by SIGKILL") {
			break // it got to its end
		}
	}
	points := 0
	for _, k := range tally {
		points += k
	}
	t.Logf("%d points tried, up to call %d: %v", points, n, tally)
	if points < 4 {
		t.Error("that is too few to tell anything")
	}
}

func killed(err error) bool {
	var exit *remote.ExitError
	return errors.As(err, &exit) && exit.Status == 137
}

// settled waits until nothing of a job runs any more, whatever became of it.
func settled(t *testing.T, m *machine, id string) {
	until(t, id+" has settled", func() bool {
		rep, err := Look(t.Context(), m, id)
		return err == nil && rep.State != Running && rep.State != Orphaned
	})
}
