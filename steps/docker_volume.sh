# What docker.volume does in a volume's directory: $1 verb, $2 the directory
# with the volume's data (…/NAME/_data), $3 the id of the step, then what the
# verb takes. Runs as root, with GNU tar.
set -u
LC_ALL=C
export LC_ALL
verb=$1 data=$2 id=$3
shift 3
home=${data%/*}
new=$home/_belay-new-$id before=$home/_belay-before-$id after=$home/_belay-after-$id
say() { echo "$*" >&2; exit 1; }
empty() { [ -z "$(ls -A "$1")" ]; }
unpack() {
	case $1 in
	zstd) zstd -q -dc ;;
	gzip) gzip -dc ;;
	*) cat ;;
	esac
}
pack() {
	case $1 in
	zstd) zstd -q -1 -c ;;
	gzip) gzip -1 -c ;;
	*) cat ;;
	esac
}
# sum is one number for all that is below: names, kinds, modes, owners, times,
# links, contents, extended attributes, access lists.
sum() {
	(
		mark=$(mktemp) || exit 1
		trap 'rm -f "$mark"' EXIT
		s=$({ tar --sort=name --numeric-owner --format=posix --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime \
			--xattrs --xattrs-exclude=security.selinux --acls -C "$1" -cf - . || echo bad >"$mark"; } | sha256sum) || exit 1
		[ ! -s "$mark" ] || say "$1 could not be read"
		echo "${s%% *}"
	)
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
send)
	tar --numeric-owner --format=posix --sparse --xattrs --xattrs-exclude=security.selinux --acls \
		--checkpoint=500 --checkpoint-action=echo=belay_%u -C "$data" -cf - . | {
		pack "$1"
	}
	;;
take)
	# From stdin, or from the file $2.
	rm -rf "$new" || exit 1
	mkdir "$new" || exit 1
	if [ -n "${2-}" ]; then exec <"$2" || exit 1; fi
	unpack "$1" | tar --numeric-owner --same-owner -p --xattrs --xattrs-include='*' --acls --delay-directory-restore -C "$new" -xf - || exit 1
	sync -f "$new" 2>/dev/null || sync
	;;
sum) sum "$data" ;;
sumnew) sum "$new" ;;
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
	# $1: the sum of what was placed. Says "kept PATH" when it was written to
	# since, which is kept.
	rm -rf "$new" || exit 1
	[ -d "$before" ] || { [ -d "$data" ] || mkdir "$data"; exit; }
	if [ -e "$data" ]; then
		if [ "$(sum "$data")" = "$1" ]; then
			mv "$data" "$new" || exit 1
		else
			[ ! -e "$after" ] || say "$after is there already"
			mv "$data" "$after" || exit 1
			echo "kept $after"
		fi
	fi
	mv "$before" "$data" || exit 1
	rm -rf "$new"
	;;
names)
	cd "$data" || exit 1
	find . -printf '%y %m %U:%G %s %n %T@ %l\t%p\0'
	;;
esac
