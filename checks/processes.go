package checks

import (
	"strconv"
	"strings"
	"time"
)

func init() {
	addFact(fact{name: "processes", limit: 2 << 20, parse: parseProcesses, script: `
printf '@%s\n' "$$"
# busybox's ps lacks these columns. Lines are cut: a Java command line has no end.
if has ps && ps -ww -o user:40= -p $$ >/dev/null; then
	lim 5 ps -ww -eo pid=,ppid=,user:40=,rss=,etime=,args= | if has cut; then cut -b1-8000; else pass; fi
	return
fi
[ -r /proc/self/stat ] || { miss "there is no ps and no /proc"; return; }
has tr || { miss "there is no ps, and no tr to read /proc with"; return; }
t=$(getconf CLK_TCK) || t=100
IFS= read -r u </proc/uptime
printf 'ticks %s %s\n' "$t" "${u%% *}"
for p in /proc/[0-9]*; do
	n= pp= uid= rss=
	while read -r k v w; do
		case $k in PPid:) pp=$v ;; Uid:) uid=$v ;; VmRSS:) rss=$v; break ;; Threads:) break ;; esac
	done <$p/status
	[ -n "$pp" ] || continue
	s=; IFS= read -r s <$p/stat
	printf 'p %s %s #%s %s %s\n' "${p#/proc/}" "$pp" "$uid" "${rss:-0}" "${s##*)}"
	printf 'a '; keep 8000 <$p/cmdline | tr '\000\n\r' '   '; printf '\n'
done`})
}

// parseProcesses expects "@PID" of our own shell, then ps lines "pid ppid user
// rss etime args" (rss in KiB), or, read from /proc, "ticks HZ UPTIME" and for
// each process "p pid ppid #uid rss rest-of-stat" and "a args". Kernel threads
// and what our own shell started are left out.
func parseProcesses(section []byte, f *Facts) error {
	var all []Process
	own, ticks, uptime := 0, 100.0, 0.0
	for line := range lines(section) {
		kind, rest, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, "@"):
			own, _ = strconv.Atoi(line[1:])
		case kind == "ticks":
			if w := strings.Fields(rest); len(w) == 2 {
				ticks, _ = strconv.ParseFloat(w[0], 64)
				uptime, _ = strconv.ParseFloat(w[1], 64)
			}
		case kind == "p":
			if p, ok := procProcess(rest, ticks, uptime); ok {
				all = append(all, p)
			}
		case kind == "a":
			if n := len(all); n > 0 && all[n-1].Args == "" {
				all[n-1].Args = strings.TrimSpace(rest)
			}
		default:
			if p, ok := psProcess(line); ok {
				all = append(all, p)
			}
		}
	}
	f.Processes = withoutOwn(all, own)
	if len(f.Processes) == 0 {
		return noReading(f, "processes")
	}
	return nil
}

func psProcess(line string) (p Process, ok bool) {
	words := make([]string, 5)
	rest := line
	for i := range words {
		rest = strings.TrimLeft(rest, " ")
		words[i], rest, ok = strings.Cut(rest, " ")
		if !ok {
			return p, false
		}
	}
	age, fine := parseEtime(words[4])
	if !fine {
		return p, false
	}
	return newProcess(words[0], words[1], words[2], words[3], age, strings.TrimSpace(rest))
}

// procProcess reads what the loop over /proc printed; the part of stat after
// the name begins with field 3, so field 22 (start, in ticks) is the 20th.
func procProcess(line string, ticks, uptime float64) (p Process, ok bool) {
	w := strings.Fields(line)
	if len(w) < 4 {
		return p, false
	}
	var age time.Duration
	if stat := w[4:]; len(stat) >= 20 && ticks > 0 {
		if start, err := strconv.ParseFloat(stat[19], 64); err == nil {
			age, _ = seconds(strconv.FormatFloat(max(0, uptime-start/ticks), 'f', 2, 64))
		}
	}
	return newProcess(w[0], w[1], w[2], w[3], age, "")
}

func newProcess(pid, ppid, user, rss string, age time.Duration, args string) (p Process, ok bool) {
	n, err1 := strconv.Atoi(pid)
	pp, err2 := strconv.Atoi(ppid)
	kib, err3 := strconv.ParseInt(rss, 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || n <= 0 || pp < 0 || kib < 0 || kib > 1<<50 {
		return p, false
	}
	return Process{PID: n, PPID: pp, User: user, RSS: kib << 10, Age: age, Args: args}, true
}

// parseEtime reads [[dd-]hh:]mm:ss (POSIX ps).
func parseEtime(s string) (time.Duration, bool) {
	days, clock, ok := strings.Cut(s, "-")
	if !ok {
		days, clock = "0", s
	}
	total, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, false
	}
	parts := strings.Split(clock, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, false
	}
	if len(parts) == 2 {
		parts = append([]string{"0"}, parts...)
	}
	for i, unit := range []uint64{24, 60, 60} {
		n, err := strconv.ParseUint(parts[i], 10, 16)
		if err != nil {
			return 0, false
		}
		total = total*unit + n
	}
	return time.Duration(total) * time.Second, true
}

// withoutOwn drops kernel threads (children of process 2, without memory) and
// the shell own with all that descends from it.
func withoutOwn(all []Process, own int) []Process {
	mine := map[int]bool{own: own > 0}
	// Children may be listed before their parents: repeat until nothing is new.
	for changed := own > 0; changed; {
		changed = false
		for _, p := range all {
			if mine[p.PPID] && !mine[p.PID] {
				mine[p.PID], changed = true, true
			}
		}
	}
	var rest []Process
	for _, p := range all {
		kernel := p.RSS == 0 && (p.PPID == 2 || p.PID == 2) && (p.Args == "" || p.Args[0] == '[')
		if !kernel && !mine[p.PID] {
			rest = append(rest, p)
		}
	}
	return rest
}
