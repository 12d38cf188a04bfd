package checks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// fact is one reading: a section of the script that Gather sends, and the
// parser of what it prints. Adding one is adding a file that calls addFact.
type fact struct {
	name   string // also the name of the section and of its lines in Missing
	limit  int    // bytes of output that are taken; more is cut on the host
	script string // the body of a shell function; its stdin is empty, its stderr dropped
	// parse is pure and takes any bytes. It gets only what the script printed
	// before its end or the limit, cleaned by clean.
	parse func(section []byte, f *Facts) error
}

var factList []fact

func addFact(f fact) { factList = append(factList, f) }

// systemPath is searched after the login's own PATH, because a non-interactive
// login often lacks the sbin directories.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// prelude is POSIX sh, and needs no program: a host without head, cat or sleep
// gets poorer facts, not an error. What sections may use:
//
//	has PROGRAM          is it installed?
//	lim SECONDS CMD …    run a program (not a function), killed after so long
//	miss TEXT            this reading cannot be taken
//	note PART TEXT       a part of it cannot
//
// timeout(1) is not used: busybox's leaves a watcher behind that holds the
// output open. lim's own watcher and its sleep end with the program, and write
// nowhere. It kills only a child that was not waited for yet, so never a
// stranger under a reused pid. (Until the watcher has started its sleep, $! is
// still what the shell around it started last; and only KILL is not lost on a
// child that is a shell yet, about to become sleep.)
const prelude = `LC_ALL=C; export LC_ALL
nl='
'
has() { command -v "$1" >/dev/null 2>&1; }
miss() { printf '!: %s\n' "$*"; }
note() { note_part=$1; shift; printf '!%s: %s\n' "$note_part" "$*"; }
lim() {
	lim_s=$1; shift
	"$@" &
	lim_p=$!
	{
		trap '[ "$!" = "$lim_p" ] || kill -9 "$!"; exit' TERM
		sleep "$lim_s" &
		wait "$!" && kill -9 "$lim_p"
	} >/dev/null 2>&1 &
	lim_w=$!
	wait "$lim_p"
	lim_r=$?
	kill "$lim_w"
	wait "$lim_w"
	return "$lim_r"
}
pass() {
	if has cat; then cat "$@"; return; fi
	[ $# -gt 0 ] || set -- -
	for pass_f; do
		[ "$pass_f" = - ] || exec <"$pass_f" || return
		while IFS= read -r pass_l; do printf '%s\n' "$pass_l"; done
	done
}
keep() { if has head; then head -c "$1"; else pass; fi; }
sec() {
	printf '\n%s +%s\n' "$mark" "$1"
	"f_$1" </dev/null 2>/dev/null | keep "$2"
	printf '\n%s -%s\n' "$mark" "$1"
}
`

// buildScript writes the whole script. It is one compound command, so that the
// shell has read all of it before anything runs: a script cut by a lost
// connection does nothing.
//
// Clock comes first and alone, to be answered at once. The other sections run
// at the same time, each a stage of one pipeline that prints its own and then
// passes on what comes from before: at the same time, yet never mixed, and
// without a temporary file. mark is known to this script and its shell only
// (printf is a builtin), so that nothing on the host can forge the beginning
// or the end of a section.
func buildScript(facts []fact, mark, path string) string {
	facts = slices.Clone(facts)
	slices.SortStableFunc(facts, func(a, b fact) int { return cmp.Compare(a.name, b.name) })
	var b, chain strings.Builder
	fmt.Fprintf(&b, "{\nmark=%s\nPATH=%s; export PATH\n%s", mark, path, prelude)
	for _, f := range facts {
		fmt.Fprintf(&b, "f_%s() {\n:\n%s\n}\n", f.name, strings.Trim(f.script, "\n"))
		if f.name == clockFact {
			continue
		}
		if chain.Len() > 0 {
			fmt.Fprintf(&chain, " |\n{ sec %s %d; pass; }", f.name, f.limit)
		} else {
			fmt.Fprintf(&chain, "sec %s %d", f.name, f.limit)
		}
	}
	fmt.Fprintf(&b, "sec %s 200\n%s\nexit 0\n} 2>/dev/null\n", clockFact, chain.String())
	return b.String()
}
