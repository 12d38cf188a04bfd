# What runs here: $1 a user's name or "", $2 a port as four hex digits or "".
# Fields are parted by tabs, a command's words by \001; no other control
# character of a process's making survives. Linux only, no ps, no pgrep.
[ -r /proc/self/stat ] || { echo 'this host has no /proc, so its processes cannot be told apart' >&2; exit 3; }
want=
[ -z "$1" ] || want=$(id -u "$1" 2>/dev/null) || { echo "there is no user named $1" >&2; exit 4; }
printf 'self\t%s\t%s\n' "$$" "$want"
while IFS=: read -r n _ u _; do printf 'user\t%s\t%s\n' "$u" "$n"; done </etc/passwd
for d in /proc/[0-9]*; do
	p=${d#/proc/}
	{ IFS= read -r s <"$d/stat"; } 2>/dev/null || continue
	set -f
	set -- "$1" "$2" ${s##*") "}
	# A process that has a line break in its name: take the whole file.
	[ $# -ge 22 ] || { s=$(cat "$d/stat" 2>/dev/null); set -- "$1" "$2" ${s##*") "}; }
	set +f
	[ $# -ge 22 ] || continue
	# PF_KTHREAD: the kernel's own
	[ $(($9 & 2097152)) -eq 0 ] || continue
	state=$3 parent=$4 start=${22}
	u=-
	while read -r k _ e _; do [ "$k" != Uid: ] || { u=$e; break; }; done 2>/dev/null <"$d/status" || continue
	a=$(tr '\000-\037\177' '\001 ' 2>/dev/null <"$d/cmdline") || continue
	printf 'proc\t%s\t%s\t%s\t%s\t%s\t%.4096s\n' "$p" "$parent" "$u" "$start" "$state" "$a"
done

# Every tmux server that listens here, whatever TMUX_TMPDIR its user had. Without
# -u, in the C locale that a login over SSH often has, tmux prints _ for a tab.
# Whoever serves a socket can make the client that connects to it write files
# and run commands. So root goes to a user's socket as that user, or not at all.
me=$(id -u)
at() { # SOCKET ARGUMENTS…: tmux as the socket's owner
	owner=$(ls -ldn "$1" 2>/dev/null) || return
	owner=$(set -f; set -- $owner; echo "$3")
	socket=$1
	shift
	if [ "$owner" = "$me" ]; then
		tmux -u -S "$socket" "$@" </dev/null 2>/dev/null
	elif [ "$me" = 0 ] && command -v setpriv >/dev/null; then
		setpriv --reuid "$owner" --regid "$owner" --clear-groups tmux -u -S "$socket" "$@" </dev/null 2>/dev/null
	fi
}
if command -v tmux >/dev/null; then
	while read -r _ _ _ flags _ _ _ path; do
		case $flags$path in 00010000*/tmux-[0-9]*/*) ;; *) continue ;; esac
		at "$path" list-sessions -F "tmux	$path	#{session_id}	#{session_created}	#{session_name}"
		at "$path" list-panes -a -F "pane	$path	#{session_id}	#{pane_pid}"
	done </proc/net/unix
fi

[ -n "$2" ] || exit 0
inodes=
for f in /proc/net/tcp /proc/net/tcp6; do
	[ -r "$f" ] || continue
	while read -r _ local _ st _ _ _ u _ inode _; do
		[ "$st" = 0A ] && [ "${local##*:}" = "$2" ] || continue
		printf 'port\t%s\t%s\n' "$inode" "$u"
		inodes="$inodes socket:[$inode]"
	done <"$f"
done
[ -n "$inodes" ] || exit 0
ls -l /proc/[0-9]*/fd 2>/dev/null | while read -r line; do
	case $line in
	/proc/*/fd:) p=${line#/proc/} p=${p%/fd:} ;;
	*' -> socket:['*) case "$inodes " in *" ${line##* -> } "*) printf 'hold\t%s\n' "$p" ;; esac ;;
	esac
done
exit 0
