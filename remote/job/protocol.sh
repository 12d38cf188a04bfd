# The far half of package job: POSIX sh, nothing installed. doc.go tells the
# whole story; comments and indentation are taken off before it is sent.
#
# $1 verb, $2 job id (for run and exec: the job's directory), then what the
# verb takes. Kept to what dash, busybox ash and bash share. No fork where a
# read of /proc will do: follow runs on busy servers for hours.
set -f
V=$1 J= K= B= T= E= G=

fail() { set -- $*; echo "X $*"; exit 74; } # on one line, whatever it was

# --- where a job lives -----------------------------------------------------
mine() { [ ! -L "$1" ] && [ -d "$1" ] && [ -O "$1" ]; }
usable() { # could a directory of ours be made at $1, in one that is ours now?
	d=$1
	while [ -n "$d" ] && [ ! -e "$d" ]; do d=${d%/*}; done
	[ -n "$d" ] && [ -d "$d" ] && [ -w "$d" ] && [ -O "$d" ]
}
make() { # directory $1/$2, ours and private
	e=$(LC_ALL=C mkdir -p "$1/$2" 2>&1) || return 1
	mine "$1" && mine "$1/$2" || fail "refused $1/$2 is a link or belongs to someone else"
	chmod 700 "$1" "$1/$2"
}
at() { # J: directory $1/$2, if it is there
	J=$1/$2
	[ -e "$J" ] || [ -L "$J" ] || return 1
	mine "$1" && mine "$J" || fail "refused $J is a link or belongs to someone else"
}
place() { # sets J for job $1. Both places are looked at before one is made, so
	# that a home which turned unwritable (or back) never hides a claim.
	h=${HOME:-/nonexistent}/.local/state
	case ${XDG_STATE_HOME:-} in /*) h=$XDG_STATE_HOME ;; esac
	case $h in /*) ;; *) h=/nonexistent ;; esac
	h=$h/belay/jobs
	at "$h" "$1" && return
	w=/var/tmp/belay-$(id -u)
	at "$w" "$1" && return
	J=$h/$1
	[ "$2" = make ] || return
	if usable "$h"; then
		make "$h" "$1" && return
		case $e in *[Rr]ead-only*) ;; *) fail io "$e" ;; esac
	fi
	J=$w/$1
	make "$w" "$1" || fail io "$e"
}

# --- who is who: a process is its pid, its start time and the boot ----------
boot() {
	[ -n "$K" ] || { read -r K </proc/sys/kernel/random/boot_id; } 2>/dev/null ||
		K=$({ sysctl -n kern.bootsessionuuid || sysctl -n kern.boottime; } 2>/dev/null | tr -c 'A-Za-z0-9\n-' _)
}
born() { # B: start time of pid $1; false when it is gone or a zombie
	B=
	if [ -r /proc/self/stat ]; then
		{ read -r s <"/proc/$1/stat"; } 2>/dev/null || return 1
		s=${s##*") "}
		set -- $s
		[ "$1" = Z ] || [ "$1" = X ] || B=${20}
	else
		B=$(LC_ALL=C ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' _)
	fi
	[ -n "$B" ]
}
me() { boot; born $$; M="$$ $K $B"; }
person() { # p k b from file $1; false unless it names one process
	{ read -r p k b <"$J/$1"; } 2>/dev/null || return 1
	case $p in '' | *[!0-9]*) return 1 ;; esac
}
group() { # p: the command's process group; false when only zombies are left
	boot
	person pid && [ "$p" -gt 1 ] && [ "$k" = "$K" ] || return 1
	if born "$p"; then [ "$B" = "$b" ] && G=1; return; fi
	sig 0 "$p" || return 1
	[ -r /proc/self/stat ] || return 0
	set +f
	for f in /proc/[0-9]*/stat; do
		{ read -r s <"$f"; } 2>/dev/null || continue
		s=${s##*") "}
		set -- $s
		[ "$3" = "$p" ] && [ "$1" != Z ] || continue
		# The leader is gone: its number may have been given out again. Seen
		# alive before by this very call, or marked as ours, it was not.
		[ -n "$G" ] || tr '\0' '\n' 2>/dev/null <"${f%/stat}/environ" | grep -qxF "BELAY_JOB=$J" || continue
		set -f
		return 0
	done
	set -f
	return 1
}
sig() { # signal $1 to group $2; never 0 or 1, and never the form that an
	# external kill(1) can read as "-1", everybody
	case $2 in '' | 0 | 1 | *[!0-9]*) return 1 ;; esac
	case $(command -v kill) in
	/*) kill -s "$1" -- "-$2" ;;
	*) kill "-$1" "-$2" ;;
	esac 2>/dev/null
}

# --- what survives a power cut ----------------------------------------------
flush() { # files; an error is real when sync understands arguments at all
	sync "$@" 2>/dev/null || { ! sync / 2>/dev/null && sync; }
}
flushdir() { sync "$@" 2>/dev/null || sync; } # some file systems refuse it for directories
take() { # the one fence: claim, written whole, comes to be by a hard link; files
	# $2 … are made durable before it
	m=$1
	shift
	e=$({ printf '%s\n' "$m" >"$J/.k.$$" && flush "$J/.k.$$" "$@" && ln "$J/.k.$$" "$J/claim" && flushdir "$J" "${J%/*}"; } 2>&1)
	set -- $?
	rm -f "$J/.k.$$"
	return "$1"
}

# --- how it stands ----------------------------------------------------------
ended() { { read -r r <"$J/rc"; } 2>/dev/null && T="done $r"; }
state() { # T: state and exit status
	ended && return
	[ -f "$J/claim" ] || { [ -f "$J/cmd" ] && T='ready -' || T='none -'; return; }
	boot
	person claim && [ "$k" = "$K" ] && born "$p" && [ "$B" = "$b" ] && { T='running -'; return; }
	ended && return # between the two looks
	person claim
	[ "$p" = 0 ] && { T='done none'; return; }
	[ "$k" = "$K" ] || { T='rebooted -'; return; }
	group && T='orphaned -' || T='lost -'
}
size() { n=0; [ ! -f "$J/log" ] || n=$(($(wc -c <"$J/log"))); }
tell() { # S state status log-size flags
	f=
	[ -f "$J/cancel" ] && f=" cancelled"
	[ -f "$J/claim" ] && [ ! -f "$J/cmd" ] && f="$f reaped"
	size
	echo "S $T $n$f"
}
apart() { # a session of its own, so that neither a hang-up nor our end reaches it
	command -v setsid >/dev/null && exec setsid "$@"
	exec perl -MPOSIX=setsid -e 'setsid; exec @ARGV' "$@"
}
nap() { sleep "$1" 2>/dev/null || { sleep 1; i=$((i + 9)); }; }

# --- the log from byte $1 on --------------------------------------------------
send() { # bytes o up to n, as frames "D offset length" + bytes
	while [ "$o" -lt "$n" ]; do
		a=$((o % 65536)) l=$((n - o))
		if [ "$l" -le 1024 ]; then
			echo "D $o $l" && dd if="$J/log" ibs=1 obs=65536 skip="$o" count="$l"
		elif [ $a = 0 ] && [ "$l" -ge 65536 ]; then
			l=$((l / 65536))
			[ $l -le 16 ] || l=16
			echo "D $o $((l * 65536))" && dd if="$J/log" bs=65536 skip=$((o / 65536)) count=$l
			l=$((l * 65536))
		else
			[ $l -le $((65536 - a)) ] || l=$((65536 - a))
			echo "D $o $l" && dd if="$J/log" bs=65536 skip=$((o / 65536)) count=1 | tail -c "+$((a + 1))" | head -c $l
		fi 2>/dev/null || exit 74
		o=$((o + l))
	done
}
follow() { # quick while it writes; then ever slower, with a heartbeat
	o=$1 c=0
	while :; do
		state
		size
		if [ "$n" -lt "$o" ] && [ -f "$J/cmd" ]; then echo "T $n"; exit 74; fi
		if [ "$o" -lt "$n" ]; then send; c=2; fi
		case $T in running*) ;; *) tell; exit ;; esac
		case $c in 0) nap .02 ;; 1) nap .05 ;; 2 | 3) nap .1 ;; ? | 1[0-5]) nap .2 ;; 1? | 2?) nap .5 ;; *) nap 1 ;; esac
		c=$((c + 1))
		[ $((c % 5)) != 0 ] || echo "H $n" || exit 74
	done
}

# --- the verbs ---------------------------------------------------------------
same() { # conflict unless it is the command whose hash is $1
	{ read -r s <"$J/sum"; } 2>/dev/null || return 0 # cancelled before any start
	[ "$s" = "$1" ] || { rm -f "$J/.c.$$" "$J/.s.$$"; fail conflict; }
}
start() { # CMDLEN SECRETLEN SUM; stdin: the command, the secret as printf %b takes it
	command -v setsid >/dev/null || command -v perl >/dev/null || fail 'lacking setsid(1), and perl as well'
	[ "$2" = 0 ] || case $(command -v printf) in /*) fail 'lacking a shell with its own printf: a secret would show on a command line' ;; esac
	if [ -f "$J/claim" ]; then # attach, which must work on a full disk, too
		dd ibs=1 obs=65536 count=$(($1 + $2)) >/dev/null 2>&1
		same "$3"
		echo A
		return
	fi
	e=$(dd ibs=1 obs=65536 count="$1" 2>&1 >"$J/.c.$$") || { rm -f "$J/.c.$$"; fail io $e; }
	S=
	[ "$2" = 0 ] || S=$(dd ibs=1 obs=65536 count="$2" 2>/dev/null)
	if [ "$(wc -c <"$J/.c.$$")" -ne "$1" ] || [ ${#S} -ne "$2" ]; then rm -f "$J/.c.$$"; fail cut; fi
	e=$({ printf '%s\n' "$3" >"$J/.s.$$" && { [ -f "$J/sum" ] || ln "$J/.s.$$" "$J/sum" || [ -f "$J/sum" ]; }; } 2>&1) || { rm -f "$J/.c.$$" "$J/.s.$$"; fail io $e; }
	same "$3"
	e=$({ mv -f "$J/.c.$$" "$J/cmd" && printf '%s\n' "$RB" >"$J/.rb.$$" && mv -f "$J/.rb.$$" "$J/rb" && rm -f "$J/.s.$$"; } 2>&1) || fail io $e
	# Waits for the end of file on the pipe, which is the minder closing its 3.
	E=$(printf %s "$S" | apart sh "$J/rb" run "$J" "$2" "$U" 3>&1 >/dev/null 2>&1 &)
	S=
	state
	case $T in ready*) fail io "${E:-the minder did not come up}" ;; esac
}
run() { # the minder: SECRETLEN UMASK; 3 tells the starter, by its end, that all is claimed
	S=
	[ "$1" = 0 ] || S=$(cat)
	[ ${#S} -eq "$1" ] || exit 75 # the starter died on the way: nothing claimed
	me
	# Room for what must be written at the end, even on a disk that is full by then.
	e=$({ printf '%127s\n' '' >"$J/.pid.$$" && printf '%127s\n' '' >"$J/.rc.$$"; } 2>&1) && take "$M" "$J/cmd" "$J/sum" "$J/.rc.$$" || {
		rm -f "$J/.pid.$$" "$J/.rc.$$"
		[ -f "$J/claim" ] || echo $e >&3
		exit 0
	}
	exec 3>&-
	printf %b "$S" | apart sh "$J/rb" exec "$J" $$ "$2" >>"$J/log" 2>&1 &
	S=
	cd /
	wait $!
	r=$?
	[ $r -le 255 ] || r=$((128 + r % 128))
	[ -f "$J/pid" ] || r=none
	until printf '%s\n' "$r" 1<>"$J/.rc.$$" && flush "$J/.rc.$$" && mv -f "$J/.rc.$$" "$J/rc"; do
		[ -d "$J" ] || exit
		sleep 5
	done
	flushdir "$J"
	rm -f "$J/.pid.$$"
}
begin() { # MINDER UMASK; becomes the command
	me
	printf '%s\n' "$M" 1<>"$J/.pid.$1" && mv -f "$J/.pid.$1" "$J/pid" || exit 71
	[ ! -f "$J/cancel" ] || { rm -f "$J/pid"; exit 143; }
	umask "$2"
	export BELAY_JOB="$J"
	exec sh "$J/cmd"
}
cancel() { # GRACE in tenths of a second
	ended && [ ! -f "$J/cancel" ] && return
	: >"$J/cancel" # before the look at claim and pid; begin looks the other way round
	if take '0 - -'; then
		printf 'none\n' >"$J/.rc.$$" && flush "$J/.rc.$$" && mv -f "$J/.rc.$$" "$J/rc" && flushdir "$J"
		return
	fi
	[ -f "$J/claim" ] || fail io $e
	for g in TERM KILL; do
		i=0
		group && sig $g "$p"
		while group && [ $i -lt "$1" ]; do still; done
	done
	i=0
	state
	while [ "$T" = 'running -' ] && [ $i -lt 50 ]; do still; state; done
}
still() { nap .1; i=$((i + 1)); [ $((i % 10)) != 0 ] || echo 'H 0'; }
reap() { # claim, sum, rc and cancel stay: a late start still finds the fence
	case $T in done* | lost* | rebooted*) ;; *) return ;; esac
	set +f
	rm -f "$J/log" "$J/cmd" "$J/rb" "$J/pid" "$J"/.[a-z]*
	set -f
}

case $V in
run) umask 077; J=$2; run "$3" "$4"; exit ;;
exec) umask 077; J=$2; begin "$3" "$4" ;;
esac
U=$(umask)
umask 077
echo belay-job 1
case $V in
start)
	place "$2" make
	start "$3" "$4" "$5"
	[ -z "$6" ] || follow "$6"
	;;
state) place "$2" ;;
follow) place "$2"; follow "$3" ;;
cancel) place "$2" make; cancel "$3" ;;
reap) place "$2"; state; reap ;;
esac
state
tell
