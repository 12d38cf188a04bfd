package steps

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func lookOf(lines ...string) string {
	return strings.ReplaceAll(strings.Join(append([]string{"self\t50\t"}, lines...), "\n"), "|", "\x01") + "\n"
}

func TestProcessStopChoose(t *testing.T) {
	base := []string{
		"user\t0\troot", "user\t33\twww",
		"proc\t1\t0\t0\t1\tS\t/sbin/init|", "proc\t10\t1\t0\t5\tS\tsshd: /usr/sbin/sshd -D [listener]|",
		"proc\t40\t10\t0\t7\tS\tsshd: root@notty|", "proc\t50\t40\t0\t9\tS\tsh|-c|look|belay|chat|",
		"proc\t51\t50\t0\t9\tR\ttr|chat|",
		"proc\t60\t1\t33\t9\tS\tchat-events|", "proc\t61\t60\t33\t9\tS\tsleep|1|", "proc\t62\t60\t33\t9\tZ\tchat-gone|",
		"proc\t70\t1\t0\t9\tS\ttmux|new|-d|-s|chat|", "proc\t71\t70\t0\t9\tS\t-bash|",
		"proc\t80\t1\t0\t9\tS\tchat-proxy|",
		"proc\t90\t1\t0\t9\tS\tsh|/root/.local/state/belay/jobs/move.chat.1/rb|run|", "proc\t91\t90\t0\t9\tS\tchat-migrate|",
		"proc\t95\t1\t0\t9\tS\t/usr/local/bin/belay|run|chat.yaml|", "proc\t96\t95\t0\t9\tS\tchat-lab|",
	}
	many := base
	for i := range 60 {
		many = append(many, fmt.Sprintf("proc\t%d\t1\t0\t9\tS\tworker %d|", 1000+i, i))
	}
	for name, c := range map[string]struct {
		step  processStop
		lines []string
		want  string // pids, or the beginning of the error
	}{
		"name":           {processStop{Match: "chat"}, base, "60 80 96"},
		"with children":  {processStop{Match: "chat", Children: true}, base, "60 80 96 61"},
		"of a user":      {processStop{Match: "chat", User: "www"}, append([]string{"self\t50\t33"}, base...), "60"},
		"own shell only": {processStop{Match: "look"}, base, ""},
		"everything":     {processStop{Match: "."}, base, `match "." also matches PID 1 (/sbin/init)`},
		"sshd":           {processStop{Match: "[s]shd"}, append(base, "proc\t41\t10\t0\t7\tS\tsshd: bob [priv]|"), `match "[s]shd" takes in pid 41 (root): sshd: bob [priv], which belay never stops`},
		"too many":       {processStop{Match: "^worker"}, many, `match "^worker" takes in 60 processes, more than the 50`},
	} {
		l, err := parseStopLook(lookOf(c.lines...))
		if err != nil {
			t.Fatal(err)
		}
		procs, _, err := c.step.choose(l)
		var got []string
		for _, p := range procs {
			got = append(got, strconv.Itoa(p.PID))
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if err == nil && text != c.want || err != nil && (c.want == "" || !strings.HasPrefix(text, c.want)) {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

func TestProcessStopOwnSession(t *testing.T) {
	l, err := parseStopLook(lookOf("proc\t1\t0\t0\t1\tS\tinit|", "proc\t20\t1\t0\t1\tS\ttmux|", "proc\t30\t20\t0\t1\tS\t-bash|",
		"proc\t50\t30\t0\t1\tS\tsh|", "user\t1000\tbob",
		"tmux\t/tmp/tmux-0/default\t$1\t99\twork", "pane\t/tmp/tmux-0/default\t$1\t30",
		"tmux\t/tmp/tmux-1000/default\t$1\t98\twork", "tmux\t/tmp/tmux-1000/default\t$1\t98\twork"))
	if err != nil {
		t.Fatal(err)
	}
	s := processStop{Tmux: "wor*"}
	if _, _, err := s.choose(l); err == nil || !strings.HasPrefix(err.Error(), `tmux session "work" is the one that belay itself runs in`) {
		t.Errorf("choose: %v", err)
	}
	want := []stopSession{
		{Socket: "/tmp/tmux-0/default", ID: "$1", Name: "work", User: "uid 0", Created: "99"},
		{Socket: "/tmp/tmux-1000/default", ID: "$1", Name: "work", User: "bob", Created: "98"},
	}
	for i := range l.sessions {
		l.sessions[i].panes = nil
	}
	if diff := cmp.Diff(want, l.sessions, cmp.AllowUnexported(stopSession{})); diff != "" {
		t.Error(diff)
	}
}

func TestProcessStopValidate(t *testing.T) {
	for want, s := range map[string]processStop{
		"match: one of match and tmux is needed": {FreePort: 80},
		`match: "x*" matches every process`:      {Match: "x*"},
		"match: error parsing regexp":            {Match: "("},
		`tmux: "[a" is not a pattern`:            {Tmux: "[a"},
		"free_port: 70000 is not a port":         {Match: "x", FreePort: 70000},
	} {
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzStopLook(f *testing.F) {
	f.Add(lookOf("proc\t1\t0\t0\t1\tS\tinit|", "tmux\t/tmp/tmux-0/default\t$1\t99\twork", "port\t77\t0", "hold\t1"))
	f.Add(lookOf("proc\t1\t1\t0\t1\tS\t", "proc\t50\t50\t0\t1\tS\tsh|-c|x|belay"))
	f.Fuzz(func(t *testing.T, out string) {
		l, err := parseStopLook(out)
		if err != nil {
			return
		}
		s := processStop{Match: "a", Tmux: "*", Children: true}
		procs, _, err := s.choose(l)
		if err != nil {
			return
		}
		for _, p := range procs {
			if p.PID <= 1 || p.PID == l.self || len(procs) > stopAtMost {
				t.Fatalf("would stop %+v", p)
			}
		}
	})
}
