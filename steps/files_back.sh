# Puts path $1 back to what it was, if it has the SHA-256 $2 (or is absent).
# $3 SHA-256 of the copy $4 ("absent": there was no file), $5 mode, $6 uid:gid,
# $7 temporary file; then the directories made on the way, innermost first.
set -u
path=$1 now=$2 old=$3 copy=$4 mode=$5 owner=$6 temp=$7
shift 7
say() { echo "$*" >&2; exit 1; }
sum() {
	s=$(sha256sum <"$1") || exit 1
	echo "${s%% *}"
}
is=absent
[ -e "$path" ] && { is=$(sum "$path") || exit 1; }
[ "$is" = "$now" ] || exit 43
if [ "$is" != "$old" ]; then
	if [ "$old" = absent ]; then
		rm -f "$path" || exit 1
	else
		[ -e "$copy" ] || say "the copy $copy is gone; the file was left as it is"
		[ "$(sum "$copy")" = "$old" ] || say "the copy $copy is not what was put there; the file was left as it is"
		mv -f "$copy" "$path" || exit 1
	fi
fi
if [ "$old" != absent ]; then
	[ "$(stat -c %u:%g "$path")" = "$owner" ] || chown "$owner" "$path" || exit 1
	[ "$(stat -c %a "$path")" = "$mode" ] || chmod "$mode" "$path" || exit 1
	rm -f "$copy"
fi
rm -f "$temp" "$temp.copy"
for d; do
	[ ! -d "$d" ] || rmdir "$d" 2>/dev/null || break
done
sync "${path%/*}/" 2>/dev/null || sync
