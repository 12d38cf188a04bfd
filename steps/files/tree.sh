# Tells of every entry of the directory $1. $2: "sums" with the SHA-256 of every
# file. $3: "loose" lets entries vanish meanwhile. Then patterns to leave out:
# with a slash in it from the top, else any name. Answers in sections, each a
# letter and a number on a line, so many names ended by NUL, then
#   L  so many targets of links ended by NUL
#   H  a line each of sha256sum, - for what cannot be read
#   S  a line each of stat, - for what is gone
# First "belay-tree SECONDS PATH" (the host's clock; the path ended by NUL), last
# a line "end".
set -u
LC_ALL=C
export LC_ALL
top=$1 sums=$2 loose=$3
shift 3
{ [ -e "$top" ] || [ -L "$top" ]; } || exit 44
cd -P -- "$top" || exit 1
printf 'belay-tree %s %s\0' "$(date +%s)" "$(pwd -P)"
n=$#
while [ "$n" -gt 0 ]; do
	p=$1
	shift
	n=$((n - 1))
	case $p in
	*/*) set -- "$@" -o -path "./${p#/}" ;;
	*) set -- "$@" -o -name "$p" ;;
	esac
done
if [ $# -gt 0 ]; then
	shift
	set -- \( "$@" \) -prune -o
fi
each='
tell() { [ $# = 0 ] || printf "%s\0" "$@"; }
'
stat_them="$each"'
fmt="%f %u %g %s %Y %Z %h %d:%i %t:%T %y"
printf "S%s\n" $#
tell "$@"
if all=$(stat -c "$fmt" "$@" 2>/dev/null); then
	printf "%s\n" "$all"
else
	for f do stat -c "$fmt" "$f" 2>/dev/null || echo -; done
fi'
sum_them="$each"'
nl="
"
printf "H%s\n" $#
tell "$@"
case $* in
*"$nl"*) ;;
*) if all=$(sha256sum "$@" 2>/dev/null); then printf "%s\n" "$all"; exit; fi ;;
esac
for f do s=$(sha256sum 2>/dev/null <"$f") && echo "$s" || echo -; done'
link_them="$each"'
printf "L%s\n" $#
tell "$@"
for f do readlink -n "$f"; printf "\0"; done'
bad() { [ -n "$loose" ] || exit 1; }
# The stat comes last, so that what changes meanwhile has the time of that.
find . "$@" -type l -exec sh -c "$link_them" sh {} + || bad
[ -z "$sums" ] || find . "$@" -type f -exec sh -c "$sum_them" sh {} + || bad
find . "$@" -exec sh -c "$stat_them" sh {} + || bad
echo end
