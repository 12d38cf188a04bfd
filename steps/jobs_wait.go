package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"belay/remote"
)

// jobWait waits for jobs that cron or a timer has started already: what they
// write must be written before a last copy is taken.
type jobWait struct {
	whose string
	look  func(ctx context.Context) (running []string, err error) // each in words
}

// jobPace is the time between two looks; tests shorten it.
var jobPace = time.Second

// until ends when two looks in a row have seen no job: cron may be starting one
// just as its table goes. It ends no job.
func (w jobWait) until(ctx context.Context, e Env, bound time.Duration) error {
	if bound == 0 {
		return nil
	}
	begun := time.Now()
	told := ""
	for quiet := 0; ; {
		running, err := w.look(ctx)
		if err != nil {
			return err
		}
		list := strings.Join(running, ", ")
		if quiet++; list != "" {
			quiet = 0
		}
		if list == "" && quiet >= 2 {
			if told != "" {
				fmt.Fprintf(e.Log, "all jobs of %s have ended, after %v\n", w.whose, time.Since(begun).Round(time.Second))
			}
			return nil
		}
		if list != "" && list != told {
			fmt.Fprintf(e.Log, "waiting, up to %v, for what %s has started: %s\n", bound, w.whose, list)
			told = list
		}
		if list != "" && time.Since(begun) >= bound {
			return fmt.Errorf("%s starts no more jobs on %s, but after %v one still runs: %s. It was not ended, and may still write. Retry to wait as long again; end it by hand and retry; or skip this step, if it does no harm",
				w.whose, e.Host.Name, bound, list)
		}
		if list != "" && e.Say != nil {
			e.Say(Progress{Text: "waiting for " + list})
		}
		if err := pause(ctx, jobPace); err != nil {
			return err
		}
	}
}

// cronJob is how a job that cron has started is known again.
type cronJob struct {
	User  string   `json:"user"`            // who it runs as
	Words []string `json:"words,omitempty"` // programs that it calls, any of them; none: whatever the user runs
}

// cronJobs are those of an entry with this text. Only names of programs are
// taken from it: the rest may hold secrets.
func (x cronEntry) jobs(text string) (all []cronJob) {
	switch {
	case x.user != "":
		return []cronJob{{User: x.user}}
	case path.Dir(x.file) != "/etc/cron.d":
		return []cronJob{{Words: []string{x.file}}}
	}
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		at := 5
		if len(w) > 0 && strings.HasPrefix(w[0], "@") {
			at = 1
		}
		if len(w) <= at+1 || !strings.ContainsAny(w[0][:1], "0123456789*@") {
			continue // a comment, a variable
		}
		all = append(all, cronJob{User: w[at], Words: calledBy(w[at+1:])})
	}
	return all
}

// wrappers run the command that follows them; of each the options whose value is
// a word of its own, as in nice -n 19.
var wrappers = map[string]string{"exec": "a", "nice": "n", "ionice": "cnp", "env": "uC", "sudo": "ugCDhprRtTU", "time": "fo", "nohup": "", "chronic": "",
	"setsid": "", "stdbuf": "ioe"}

// calledBy are the programs at the beginning of the parts of a command.
func calledBy(command []string) (all []string) {
	first, wrapper, value := true, "", false
	for _, w := range command {
		if value { // of an option
			value = false
			continue
		}
		if _, known := wrappers[wrapper]; known && first && strings.HasPrefix(w, "-") {
			value = len(w) == 2 && strings.Contains(wrappers[wrapper], w[1:])
			continue
		}
		switch {
		case slices.Contains([]string{"&&", "||", ";", "|", "&", "(", "{"}, w):
			first, wrapper = true, ""
			continue
		case !first, strings.Contains(w, "="):
			continue
		case w == "cd" || w == "test" || w == "[":
			first = false
			continue
		}
		if _, known := wrappers[path.Base(w)]; known {
			wrapper = path.Base(w)
			continue
		}
		first, wrapper = strings.HasSuffix(w, ";"), ""
		if w = path.Base(strings.Trim(w, `"';(){}`)); w != "" && w != "." && w != "/" {
			all = append(all, w)
		}
	}
	return all
}

// ps is one process.
type cronProc struct {
	pid, ppid int
	age, user string
	args      []string
}

// daemon tells cron itself, and what it forks for each job.
func (p cronProc) daemon() bool {
	return len(p.args) > 0 && slices.Contains([]string{"cron", "crond", "cronie", "anacron", "fcron"}, strings.ToLower(path.Base(p.args[0])))
}

// cronProcs reads the table of processes.
func cronProcs(ctx context.Context, h remote.Host) (map[int]cronProc, error) {
	c := remote.Sh(`ps -ww -eo pid=,ppid=,etime=,user:64=,args= 2>/dev/null || ps -o pid,ppid,etime,user,args`)
	c.Pure = true
	out, err := remote.Output(ctx, h, c)
	if err != nil {
		return nil, fmt.Errorf("processes of %s: %w", h.Name, err)
	}
	all := map[int]cronProc{}
	for line := range strings.Lines(string(out)) {
		w := strings.Fields(line)
		if len(w) < 5 {
			continue
		}
		pid, err := strconv.Atoi(w[0])
		ppid, err2 := strconv.Atoi(w[1])
		if err == nil && err2 == nil {
			all[pid] = cronProc{pid, ppid, w[2], w[3], w[4:]}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("processes of " + h.Name + ": ps listed none")
	}
	return all, nil
}

// runningJobs are the jobs below cron that are one of those, in words.
func runningJobs(procs map[int]cronProc, jobs []cronJob) (running []string) {
	var pids []int
	for pid, p := range procs {
		// The topmost process of a job: cron, or its fork, is right above.
		if !p.daemon() && procs[p.ppid].daemon() {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	for _, pid := range pids {
		if slices.ContainsFunc(jobs, func(j cronJob) bool { return below(procs, pid, j, 0) }) {
			p := procs[pid]
			running = append(running, fmt.Sprintf("%s (pid %d, for %s)", harmless(p.words()), pid, harmless(p.age)))
		}
	}
	return running
}

// words is the program alone: what follows it may hold secrets.
func (p cronProc) words() string {
	for _, w := range p.args {
		if base := path.Base(w); !slices.Contains([]string{"sh", "bash", "dash", "perl", "python", "python3", "php", "-c"}, base) {
			return base
		}
	}
	return path.Base(p.args[0])
}

func harmless(s string) string {
	s = strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r
		}
		return '?'
	}, s)
	return s[:min(len(s), 40)]
}

// below tells whether a process, or one that it started, is that job.
func below(procs map[int]cronProc, pid int, j cronJob, depth int) bool {
	p := procs[pid]
	if (j.User == "" || p.user == j.User) && (len(j.Words) == 0 || slices.ContainsFunc(p.args, func(w string) bool {
		w = strings.Trim(w, `"';(){}`)
		return slices.Contains(j.Words, w) || slices.Contains(j.Words, path.Base(w))
	})) {
		return true
	}
	for child, c := range procs {
		if c.ppid == pid && child != pid && depth < 20 && below(procs, child, j, depth+1) {
			return true
		}
	}
	return false
}

const cronJobsKey = "jobs"

// rememberJobs keeps how the jobs of a text are known again.
func (x cronEntry) rememberJobs(e Env, text []byte) error {
	return e.Memory.Put(cronJobsKey, x.jobs(string(text)))
}

// running are the jobs, as remembered, that still run on the step's host.
func (x cronEntry) running(ctx context.Context, e Env) ([]string, error) {
	var jobs []cronJob
	if _, err := e.Memory.Get(cronJobsKey, &jobs); err != nil || len(jobs) == 0 {
		return nil, err
	}
	procs, err := cronProcs(ctx, e.Host)
	if err != nil {
		return nil, err
	}
	return runningJobs(procs, jobs), nil
}

// wait waits for them.
func (x cronEntry) wait(ctx context.Context, e Env, bound remote.Duration) error {
	w := jobWait{whose: x.called(), look: func(ctx context.Context) ([]string, error) { return x.running(ctx, e) }}
	return w.until(ctx, e, time.Duration(bound))
}
