# Makes the directory $2 what $1 is: what is at $1 goes to $3, $2 becomes $1.
# $4: inode number of $2, so that a second call sees that all is done.
set -u
to=$1 stage=$2 aside=$3 inode=$4
say() { echo "$*" >&2; exit 1; }
there() { [ -e "$1" ] || [ -L "$1" ]; }
[ "$(stat -c %i "$to" 2>/dev/null)" = "$inode" ] && exit 0
there "$stage" || say "$stage is gone; $to was left as it was"
if there "$to"; then
	there "$aside" && say "$aside exists already: look at it and move it away; $to was left as it was"
	mv "$to" "$aside" || exit 1
fi
mv "$stage" "$to" || exit 1
sync "${to%/*}/" 2>/dev/null || sync
