# What would be archived: $1 the archive, $2 the program that packs it (zstd,
# gzip or none), then patterns to leave out, "--", and the paths. Answers:
#   gnu 0|1, need BYTES, free BYTES, there INODE:TIME:SIZE | there -, sum SHA256|-
set -u
out=$1 pack=$2
shift 2
say() { echo "$*" >&2; exit 1; }
command -v tar >/dev/null || say "tar is not installed on this host"
[ "$pack" = none ] || command -v "$pack" >/dev/null || say "$pack is not installed on this host; install it, or name the archive .tar.gz or .tar"
gnu=0
if tar --version 2>/dev/null | grep -q GNU; then gnu=1; fi
echo "gnu $gnu"
total=0
skip=
n=$#
while [ "$n" -gt 0 ] && [ "$1" != -- ]; do
	set -- "$@" "$1"
	skip=1
	shift
	n=$((n - 1))
done
shift
n=$((n - 1))
# What is left: n paths, then the patterns as --exclude=…
[ -z "$skip" ] || [ $gnu = 1 ] || say "this host's tar cannot leave anything out (exclude): install GNU tar"
i=0
while [ $i -lt $n ]; do
	p=$1
	shift
	i=$((i + 1))
	[ -e "$p" ] || say "$p is not there"
	[ -r "$p" ] || say "$p cannot be read"
	k=$(du -sk "$@" "$p/." 2>/dev/null || du -sk "$p/." 2>/dev/null || du -sk "$p" 2>/dev/null)
	k=$(echo "$k" | awk 'END { print $1 + 0 }')
	total=$((total + k))
done
echo "need $((total * 1024))"
dir=${out%/*}
dir=${dir:-/}
while [ ! -d "$dir" ]; do
	dir=${dir%/*}
	dir=${dir:-/}
done
free=$(df -Pk "$dir" | awk 'NR == 2 { print $4 }')
echo "free $((${free:-0} * 1024))"
if [ -e "$out" ]; then
	echo "there $(stat -c %i:%Y:%s "$out")"
else
	echo "there -"
fi
if [ -e "$out.sha256" ]; then
	read -r sum rest <"$out.sha256"
	echo "sum ${sum:--}"
else
	echo "sum -"
fi
