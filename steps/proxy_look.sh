# Who listens on a TCP port: $1 the port as four hex digits. Fields are parted by
# tabs: listen ADDRESS INODE, then owner INODE PID JOB ARGUMENTS. Linux only.
[ -r /proc/net/tcp ] || { echo 'this host has no /proc/net/tcp, so who listens cannot be told' >&2; exit 3; }
inodes=' '
for f in /proc/net/tcp /proc/net/tcp6; do
	[ -r "$f" ] || continue
	while read -r _ local _ st _ _ _ _ _ inode _; do
		[ "$st" = 0A ] && [ "${local##*:}" = "$1" ] || continue
		printf 'listen\t%s\t%s\n' "${local%:*}" "$inode"
		inodes="$inodes$inode "
	done <"$f"
done
[ "$inodes" != ' ' ] || exit 0
pid=
# A process may end while we look: that is no error.
ls -l /proc/[0-9]*/fd 2>/dev/null | while read -r a b c d f g h i j k l; do
	case $a in /proc/*) pid=${a#/proc/}; pid=${pid%/fd:}; continue ;; esac
	case "$k$l" in *'socket:['*) ;; *) continue ;; esac
	n=${k}${l}
	n=${n##*'['}
	n=${n%']'}
	case $inodes in *" $n "*) ;; *) continue ;; esac
	job=$(tr '\000\n' '\n ' 2>/dev/null <"/proc/$pid/environ" | while IFS= read -r v; do case $v in BELAY_JOB=*) printf '%s' "${v#BELAY_JOB=}"; break ;; esac; done)
	args=$(tr '\000-\037\177' ' ' 2>/dev/null <"/proc/$pid/cmdline")
	printf 'owner\t%s\t%s\t%s\t%.300s\n' "$n" "$pid" "$job" "$args"
done
true
