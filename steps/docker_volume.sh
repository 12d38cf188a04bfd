# What docker.volume does in a volume's directory: $1 verb, $2 the directory
# with the volume's data (…/NAME/_data), $3 the id of the step, then what the
# verb takes. Runs as root, with GNU tar.
set -u
LC_ALL=C
export LC_ALL
verb=$1 data=$2 id=$3
shift 3
home=${data%/*}
new=$home/_belay-new-$id before=$home/_belay-before-$id after=$home/_belay-after-$id back=$home/_belay-back-$id
say() { echo "$*" >&2; exit 1; }
empty() { [ -z "$(ls -A "$1")" ]; }
# archive DIR OPTION... writes all that is in DIR always in the same bytes:
# names, kinds, modes, owners, times, links, contents, extended attributes,
# access lists.
archive() (
	dir=$1
	shift
	tar "$@" --sort=name --numeric-owner --format=posix --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime \
		--xattrs --xattrs-exclude=security.selinux --acls -C "$dir" -cf - .
)
# digest PROGRAM is one word for stdin. A sum tells by itself what made it.
digest() {
	case $1 in
	b2sum) s=$(b2sum -l 256) && echo "b2:${s%% *}" ;;
	*) s=$(sha256sum) && echo "${s%% *}" ;;
	esac
}
maker() {
	case $1 in
	b2:*) echo b2sum ;;
	*) echo sha256sum ;;
	esac
}
# sum DIR PROGRAM is one number for all that archive writes.
sum() {
	(
		mark=$(mktemp) || exit 1
		trap 'rm -f "$mark"' EXIT
		s=$({ archive "$1" || echo bad >"$mark"; } | digest "$2") || exit 1
		[ ! -s "$mark" ] || say "$1 could not be read"
		echo "$s"
	)
}
# dense DIR: no file has a hole, so that archive writes the same with --sparse
# and without. (GNU tar looks for holes by the same comparison.)
dense() {
	{ find "$1" -type f -printf '%s %b\n' 2>/dev/null && echo end; } |
		awk '$1 == "end" { whole = 1; next } $2 * 512 < $1 + 0 { thin = 1; exit } END { exit !(whole && !thin) }'
}
# send HOW PROGRAM: what goes to the other host, and its sum on stderr,
# "belay-sum SUM": "-" when what went over cannot tell, because files have holes
# or somebody wrote to them meanwhile. Without PROGRAM nobody asks for it, and
# files may change.
send() {
	dir=$(mktemp -d) || exit 1
	trap 'rm -rf "$dir"' EXIT
	trap 'exit 1' HUP INT TERM PIPE
	: >"$dir/since"
	# The clock of file times goes by steps of up to 10 ms.
	sleep 0.02 2>/dev/null || sleep 1
	# On file systems that know whole seconds only (ext3, ext4 with inodes of 128
	# bytes) a change is as old as the second that it is in.
	[ -z "$2" ] || [ -n "$(find "$data" -maxdepth 1 -printf '%C@\n' 2>/dev/null | grep -v '\.0*$' | head -n 1)" ] || sleep 1
	set -- "$1" "$2" --sparse --checkpoint=500 --checkpoint-action=echo=belay_%u
	how=$1 by=$2
	shift 2
	if [ -z "$by" ]; then
		# 1: a file changed while it was read.
		{ archive "$data" "$@" || [ $? = 1 ] || : >"$dir/bad"; } | offer "$how" "$dir" || exit 1
		[ ! -e "$dir/bad" ]
		exit
	fi
	tells=
	! dense "$data" || tells=1
	mkfifo "$dir/all" || exit 1
	digest "$by" <"$dir/all" >"$dir/sum" &
	sums=$!
	{ archive "$data" "$@" || : >"$dir/bad"; } | tee "$dir/all" | offer "$how" "$dir" || exit 1
	[ ! -e "$dir/bad" ] || exit 1
	wait "$sums" || exit 1
	[ -z "$(find "$data" -cnewer "$dir/since" 2>&1 | head -n 1)" ] || tells=
	s=-
	[ -z "$tells" ] || read -r s <"$dir/sum"
	echo "belay-sum $s" >&2
}
case $verb in
look)
	# Answers: need BYTES, free BYTES, state absent|empty|full, half 0|1
	[ "$(id -u)" = 0 ] || say "the data of a volume is root's: say sudo: true for this host"
	need=0 state=absent
	if [ -d "$data" ]; then
		need=$(du -sk "$data" | awk '{ print $1 + 0 }')
		state=full
		if empty "$data"; then state=empty; fi
	fi
	p=$home
	while [ ! -d "$p" ]; do p=${p%/*} p=${p:-/}; done
	echo "need $((need * 1024))"
	echo "free $(($(df -Pk "$p" | awk 'NR == 2 { print $4 + 0 }') * 1024))"
	echo "state $state"
	;;
send) send "$1" "$2" ;;
take)
	# From stdin, or from the file $2, which $1 has packed.
	rm -rf "$new" || exit 1
	mkdir "$new" || exit 1
	if [ -n "${2-}" ]; then
		how=$1
		exec <"$2" || exit 1
	else
		accept || exit 1
	fi
	extract() { tar --numeric-owner --same-owner -p --xattrs --xattrs-include='*' --acls --delay-directory-restore -C "$new" -xf -; }
	case $how in
	none) extract || exit 1 ;;
	*)
		# tar is content with a stream that ends between two files.
		all=$({ { unpack "$how"; echo "$?" >&3; } | extract; echo "$?" >&3; } 3>&1)
		[ "$all" = "0
0" ] || say "what came could not be unpacked whole"
		;;
	esac
	;;
sum) sum "$data" "$1" ;;
sumnew)
	# What came goes to the disk while it is read again. An error is real when
	# sync knows -f at all.
	{ sync -f "$new" 2>/dev/null || { ! sync -f / 2>/dev/null && sync; }; } &
	sum "$new" "$1" || exit 1
	wait "$!" || say "$new could not be written to the disk"
	;;
place)
	# Each move only if it was not done yet: a link that breaks between them
	# leaves a state from which this goes on.
	if [ -d "$new" ]; then
		if [ ! -e "$before" ]; then mv "$data" "$before" || exit 1; fi
		[ ! -e "$data" ] || say "$data is there, though it was moved to $before: somebody else works here"
		mv "$new" "$data" || exit 1
	fi
	[ -d "$data" ] && [ -d "$before" ] || say "$data or $before is not there"
	;;
unplace)
	# $1: the sum of what was placed; $2: placed, when it was put over what others
	# had. Says "kept PATH" when it was written to since, which is kept.
	rm -rf "$new" || exit 1
	if [ ! -d "$before" ]; then
		[ "${2-}" != placed ] || [ -e "$back" ] ||
			say "what was in it before this step was kept in $before, and somebody has removed that, so it cannot be put back. What this step brought was left in it. Restore the volume from a backup, then skip this"
		[ -d "$data" ] || mkdir "$data"
		exit
	fi
	if [ -e "$data" ]; then
		if [ "$(sum "$data" "$(maker "$1")")" = "$1" ]; then
			mv "$data" "$new" || exit 1
		else
			[ ! -e "$after" ] || say "$after is there already, from a rollback before: move it away, and retry"
			mv "$data" "$after" || exit 1
			echo "kept $after"
		fi
	fi
	: >"$back" || exit 1
	mv "$before" "$data" || exit 1
	rm -rf "$new"
	;;
backdone) rm -f "$back" ;;
names)
	cd "$data" || exit 1
	find . -printf '%y %m %U:%G %s %n %T@ %l\t%p\0'
	;;
esac
