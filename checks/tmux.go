package checks

import (
	"strconv"
	"strings"
)

func init() {
	addFact(fact{name: "tmux", limit: 64 << 10, parse: parseTmux, script: `
me=$(id -u)
for d in /tmp/tmux-[0-9]* "${TMUX_TMPDIR:-/nonexistent}"/tmux-[0-9]*; do
	[ -d "$d" ] && [ ! -L "$d" ] || continue
	set -- $(ls -ldn "$d")
	owner=$3
	[ "$owner" = "${d##*/tmux-}" ] || continue
	for s in "$d"/*; do
		[ -S "$s" ] || continue
		has tmux || { miss "there are tmux sockets but no tmux program"; return; }
		# Whoever serves a socket can make the client that connects to it write
		# files and run commands (MSG_EXEC, MSG_WRITE_OPEN). So as root we go to
		# a user's socket as that user, or not at all.
		if [ "$owner" = "$me" ]; then
			set -- tmux
		elif [ "$me" = 0 ] && has setpriv; then
			set -- setpriv --reuid "$owner" --regid "$owner" --clear-groups tmux
		else
			note "user $owner" "no setpriv to look as that user"
			continue
		fi
		printf '=%s\n' "$owner"
		lim 2 "$@" -u -S "$s" list-panes -a -F '#{session_windows} #{session_attached} #{pane_pid} #{session_name}'
	done
done
true`})
}

// parseTmux expects "=UID" before each server's panes, one a line: "windows
// attached pid name of the session".
func parseTmux(section []byte, f *Facts) error {
	user := ""
	byName := map[string]int{}
	for line := range lines(section) {
		if uid, ok := strings.CutPrefix(line, "="); ok {
			user = "#" + OneLine(uid, 10)
			byName = map[string]int{}
			continue
		}
		w := strings.SplitN(line, " ", 4)
		if len(w) != 4 || user == "" {
			continue
		}
		windows, err1 := strconv.Atoi(w[0])
		attached, err2 := strconv.Atoi(w[1])
		pid, err3 := strconv.Atoi(w[2])
		if err1 != nil || err2 != nil || err3 != nil {
			continue
		}
		i, known := byName[w[3]]
		if !known {
			i = len(f.Tmux)
			byName[w[3]] = i
			f.Tmux = append(f.Tmux, TmuxSession{User: user, Name: w[3], Windows: windows, Attached: attached > 0})
		}
		f.Tmux[i].PIDs = append(f.Tmux[i].PIDs, pid)
	}
	return nil
}
