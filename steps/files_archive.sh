# Writes the archive $1 by way of the temporary file $2, packed by $3. $4 is
# where an archive that is there already goes, if it is the one that $5 says
# (inode:time:size). Then --exclude=… patterns, "--", and the paths.
# The last line of stdout: done SHA256 ENTRIES BYTES STATUS-OF-TAR.
set -u
LC_ALL=C
export LC_ALL
out=$1 temp=$2 pack=$3 aside=$4 former=$5
shift 5
say() { echo "$*" >&2; exit 1; }
clean() { rm -f "$temp" "$temp.names" "$temp.status" "$temp.sum"; }
trap clean EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "${out%/*}/" || exit 1
umask 077
gnu=
if tar --version 2>/dev/null | grep -q GNU; then gnu=1; fi
# Excludes to the front, paths (made names) behind them.
n=$#
seen=
paths=0
single=
while [ "$n" -gt 0 ]; do
	a=$1
	shift
	n=$((n - 1))
	if [ -n "$seen" ]; then
		paths=$((paths + 1))
		single=$a
		set -- "$@" ".$a"
	elif [ "$a" = -- ]; then
		seen=1
	else
		set -- "$@" "$a"
	fi
done
from=/
if [ $paths = 1 ]; then
	# The one name is the last word: take it off, and name it from nearer by.
	n=$(($# - 1))
	while [ "$n" -gt 0 ]; do
		set -- "$@" "$1"
		shift
		n=$((n - 1))
	done
	shift
	if [ -d "$single" ]; then
		from=$single
		set -- "$@" .
	else
		from=${single%/*}
		from=${from:-/}
		set -- "$@" "./${single##*/}"
	fi
fi
if [ -n "$gnu" ]; then
	set -- --format=posix --numeric-owner --sparse --xattrs --acls -v --index-file="$temp.names" \
		--checkpoint=500 --checkpoint-action=echo=belay_%u -C "$from" -cf - "$@"
else
	set -- -C "$from" -cvf - "$@"
fi
run() {
	if [ -n "$gnu" ]; then
		tar "$@"
	else
		tar "$@" 2>"$temp.names"
	fi
	echo $? >"$temp.status"
}
case $pack in
zstd) run "$@" | zstd -q -c >"$temp" ;;
gzip) run "$@" | gzip -c >"$temp" ;;
*) run "$@" >"$temp" ;;
esac || say "the archive could not be written"
status=$(cat "$temp.status") || exit 1
if [ "$status" != 0 ] && { [ -z "$gnu" ] || [ "$status" != 1 ]; }; then
	[ -n "$gnu" ] || tail -n 5 "$temp.names" >&2
	say "tar ended with status $status"
fi
sum=$(sha256sum <"$temp") || exit 1
sum=${sum%% *}
count=$(wc -l <"$temp.names")
printf '%s  %s\n' "$sum" "${out##*/}" >"$temp.sum" || exit 1
# An error is real when sync understands arguments at all.
sync "$temp" 2>/dev/null || { ! sync / 2>/dev/null && sync; } || say "$temp could not be written to the disk"
if [ -e "$out" ] && [ "$(stat -c %i:%Y:%s "$out")" = "$former" ]; then
	mv "$out" "$aside" || exit 1
	[ ! -e "$out.sha256" ] || mv "$out.sha256" "$aside.sha256" || exit 1
fi
mv -f "$temp" "$out" || exit 1
mv -f "$temp.sum" "$out.sha256" || exit 1
sync "${out%/*}/" 2>/dev/null || sync
echo "done $sum $((count)) $(wc -c <"$out" | tr -d ' ') $status"
