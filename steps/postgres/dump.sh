# Writes a dump, or reads one. $1 is dump or restore, $2 the dump's directory,
# $3 the least major version of the client program, $4 the connection, $5 how
# many tables at once, $6 the container or nothing; the rest are arguments of
# the program. $tool is tool.sh, $belay_pass a line of a password file, or
# nothing.
set -u
line=${belay_pass:-}
verb=$1 at=$2 least=$3 to=$4 jobs=$5 box=$6
shift 6
run() {
	if [ -n "$box" ]; then
		docker exec -i "$box" sh -c "$tool" belay "$@"
	else
		sh -c "$tool" belay "$@"
	fi
}
say() {
	echo "$*" >&2
	exit 1
}
case $verb in
dump)
	part=$at.partial
	[ ! -e "$at" ] || say "$at is there already"
	rm -rf -- "$part"
	umask 077
	mkdir -p -- "$part" || exit 1
	trap 'rm -rf -- "$part"' EXIT
	trap 'exit 143' HUP INT TERM
	if [ -n "$box" ]; then
		printf '%s\n' "$line" | run pg_dump "$least" "$to" --format=custom --verbose "$@" >"$part/dump" || exit 1
	else
		printf '%s\n' "$line" | run pg_dump "$least" "$to" --format=directory --jobs="$jobs" --verbose --file="$part/dump" "$@" || exit 1
	fi
	# Without a connection: the archive says which program wrote it.
	if [ -n "$box" ]; then
		list() { { echo && cat -- "$part/dump"; } | run pg_restore "$least" "$to" --list; }
	else
		list() { echo | run pg_restore "$least" "$to" --list "$part/dump"; }
	fi
	client=$(list 2>/dev/null | sed -n 's/^; *Dumped by pg_dump version: \([0-9]*\).*/\1/p')
	{
		echo "client $client"
		echo "made $(date -u +%Y-%m-%dT%H:%M:%SZ)"
	} >"$part/about" || exit 1
	(cd -- "$part" && find dump -type f -exec sha256sum {} + | sort -k2 >SHA256SUMS) || exit 1
	sync
	mv -- "$part" "$at" || exit 1
	trap - EXIT
	sync
	;;
restore)
	[ -f "$at/SHA256SUMS" ] || say "$at is not a dump that belay wrote, or not a whole one"
	(cd -- "$at" && sha256sum -c SHA256SUMS >/dev/null) || say "$at is damaged: its files are not what was written; nothing was restored"
	if [ -n "$box" ]; then
		[ -f "$at/dump" ] || say "$at is a dump of many files, which cannot be brought into a container by a pipe"
		{ printf '%s\n' "$line"; cat -- "$at/dump"; } | run pg_restore "$least" "$to" --verbose --exit-on-error "$@" || exit 1
	else
		printf '%s\n' "$line" | run pg_restore "$least" "$to" --verbose --exit-on-error --jobs="$jobs" "$@" "$at/dump" || exit 1
	fi
	;;
esac
