# Takes files_swap.sh back. $1 the directory, $2 the stage, $3 what was put
# aside, $4 the inode number that the step's directory has (may be empty),
# $5 where the step's directory shall be kept ("": it is removed); then the
# directories made on the way, innermost first.
set -u
to=$1 stage=$2 aside=$3 inode=$4 keep=$5
shift 5
say() { echo "$*" >&2; exit 1; }
there() { [ -e "$1" ] || [ -L "$1" ]; }
if [ -n "$inode" ] && [ "$(stat -c %i "$to" 2>/dev/null)" = "$inode" ]; then
	if [ -n "$keep" ]; then
		there "$keep" && say "$keep exists already: move it away; $to was left as it is"
		mv "$to" "$keep" || exit 1
	else
		there "$stage" && { rm -rf "$stage" || exit 1; }
		mv "$to" "$stage" || exit 1
	fi
fi
if there "$aside"; then
	there "$to" && say "something else is at $to now, and what was there before this step is in $aside: decide which one shall stay"
	mv "$aside" "$to" || exit 1
fi
rm -rf "$stage" || exit 1
for d; do
	[ ! -d "$d" ] || rmdir "$d" 2>/dev/null || break
done
sync "${to%/*}/" 2>/dev/null || sync
