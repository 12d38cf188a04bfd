package steps

import (
	"context"
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"belay/remote"
)

// stopProc is one process of the host. Its pid and start time (clock ticks
// since boot) together are its identity.
type stopProc struct {
	PID, PPID, UID int
	Start          string
	State          string // one letter of proc(5): R, S, D, Z, …
	Argv           []string
}

func (p stopProc) args() string { return strings.Join(p.Argv, " ") }

// stopSession is one tmux session.
type stopSession struct {
	Socket, ID, Name string
	User             string
	Created          string
	panes            []int
}

// stopLook is one reading of the host.
type stopLook struct {
	self     int
	want     int // uid of `user`; -1: any
	users    map[int]string
	procs    map[int]stopProc
	sessions []stopSession
	listens  bool  // somebody listens on the port
	holders  []int // as far as we may see them
}

//go:embed process_stop_look.sh
var stopLookScript string

// look reads processes, tmux sessions and the holders of the port, in one
// round trip.
func (s *processStop) look(ctx context.Context, e Env) (*stopLook, error) {
	port := ""
	if s.FreePort != 0 {
		port = fmt.Sprintf("%04X", s.FreePort)
	}
	c := remote.Sh(stopLookScript, s.User, port)
	c.Pure = true
	out, err := remote.Output(ctx, e.Host, c)
	if err != nil {
		return nil, fmt.Errorf("list the processes of %s: %w", e.Host.Name, err)
	}
	return parseStopLook(string(out))
}

// parseStopLook reads what process_stop_look.sh prints. Lines that make no
// sense are an error: what is to be killed is not guessed.
func parseStopLook(out string) (*stopLook, error) {
	l := &stopLook{want: -1, users: map[int]string{}, procs: map[int]stopProc{}}
	seen := map[string]int{} // session → its index
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		var nums []int
		for _, w := range f {
			n, err := strconv.Atoi(w)
			if err != nil {
				n = -1
			}
			nums = append(nums, n)
		}
		switch {
		case f[0] == "self" && len(f) == 3:
			l.self, l.want = nums[1], nums[2]
		case f[0] == "user" && len(f) == 3:
			if _, known := l.users[nums[1]]; !known {
				l.users[nums[1]] = f[2]
			}
		case f[0] == "proc" && len(f) == 7 && nums[1] > 0:
			l.procs[nums[1]] = stopProc{PID: nums[1], PPID: nums[2], UID: nums[3], Start: f[4], State: f[5],
				Argv: strings.Split(strings.TrimSuffix(f[6], "\x01"), "\x01")}
		case f[0] == "tmux" && len(f) >= 5:
			key := f[1] + "\t" + f[2]
			if _, twice := seen[key]; !twice {
				seen[key] = len(l.sessions)
				l.sessions = append(l.sessions, stopSession{Socket: f[1], ID: f[2], Created: f[3], Name: strings.Join(f[4:], "\t")})
			}
		case f[0] == "pane" && len(f) == 4:
			if i, ok := seen[f[1]+"\t"+f[2]]; ok {
				l.sessions[i].panes = append(l.sessions[i].panes, nums[3])
			}
		case f[0] == "port" && len(f) == 3:
			l.listens = true
		case f[0] == "hold" && len(f) == 2:
			l.holders = append(l.holders, nums[1])
		default:
			return nil, fmt.Errorf("list of processes: line %.80q is not understood", line)
		}
	}
	if l.self <= 0 {
		return nil, fmt.Errorf("list of processes: it was cut short")
	}
	for i := range l.sessions {
		l.sessions[i].User = l.socketUser(l.sessions[i].Socket)
	}
	slices.Sort(l.holders)
	l.holders = slices.Compact(l.holders)
	return l, nil
}

// socketUser reads the owner from the directory's name, tmux-UID.
func (l *stopLook) socketUser(socket string) string {
	_, id, _ := strings.Cut(path.Base(path.Dir(socket)), "tmux-")
	uid, err := strconv.Atoi(id)
	if err != nil {
		return "?"
	}
	return l.userName(uid)
}

func (l *stopLook) userName(uid int) string {
	if name := l.users[uid]; name != "" {
		return name
	}
	return fmt.Sprint("uid ", uid)
}

// belayJob is where package job keeps a running job's scripts.
var belayJob = regexp.MustCompile(`/belay(-\d+|/jobs)/.*/(rb|cmd)$`)

// ours tells whether p is belay, or the shell of a command that belay runs:
// remote.Sh names its shells "belay", a job's scripts lie in a place of ours.
func (p stopProc) ours() bool {
	if path.Base(p.Argv[0]) == "belay" {
		return true
	}
	if i := slices.Index(p.Argv, "-c"); i > 0 && len(p.Argv) > i+2 && p.Argv[i+2] == "belay" {
		return true
	}
	return len(p.Argv) > 1 && strings.HasSuffix(path.Base(p.Argv[0]), "sh") && slices.ContainsFunc(p.Argv[1:], belayJob.MatchString)
}

// protected are the processes that are never matched, as if they were not
// there: the commands that belay runs now with all that they started, and
// everything that these hang on (the SSH session, PID 1; belay itself, on this
// machine); and tmux servers, which end with their last session.
func (l *stopLook) protected() map[int]bool {
	safe := map[int]bool{}
	var roots []int
	for pid, p := range l.procs {
		if pid == l.self || p.ours() {
			roots = append(roots, pid)
		}
		if path.Base(p.Argv[0]) == "tmux" {
			safe[pid] = true
		}
	}
	for _, pid := range roots {
		// belay's own children are protected only as its commands: a pretend
		// server inside belay starts real processes that may be stopped.
		if path.Base(l.procs[pid].Argv[0]) != "belay" {
			for _, child := range l.family([]int{pid}, nil) {
				safe[child] = true
			}
		}
		for _, up := range l.above(pid) {
			safe[up] = true
		}
	}
	return safe
}

// above is pid and all that it descends from. Processes that came and went
// while the list was read may make a ring of it.
func (l *stopLook) above(pid int) []int {
	var all []int
	for up := pid; up > 0 && !slices.Contains(all, up); up = l.procs[up].PPID {
		all = append(all, up)
	}
	return all
}

// family is the given processes and all that descend from them, parents
// before children, without and not through those of not.
func (l *stopLook) family(roots []int, not map[int]bool) []int {
	children := map[int][]int{}
	for pid, p := range l.procs {
		children[p.PPID] = append(children[p.PPID], pid)
	}
	in := map[int]bool{}
	var all []int
	add := func(pid int) {
		if !in[pid] && !not[pid] {
			in[pid] = true
			all = append(all, pid)
		}
	}
	for _, pid := range roots {
		add(pid)
	}
	for i := 0; i < len(all); i++ {
		slices.Sort(children[all[i]])
		for _, c := range children[all[i]] {
			add(c)
		}
	}
	return all
}
