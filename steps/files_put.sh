# Puts stdin at path $1, if the file there still has the SHA-256 $6 ("absent":
# no file). $2 mode, $3 owner (uid:gid or names), $4 copy to keep of what was
# there (empty: none), $5 SHA-256 of stdin, $7 temporary file.
set -u
path=$1 mode=$2 owner=$3 copy=$4 new=$5 old=$6 temp=$7
say() { echo "$*" >&2; exit 1; }
sum() {
	s=$(sha256sum <"$1") || exit 1
	echo "${s%% *}"
}
flush() { sync "$1" 2>/dev/null || sync; }
like() { command -v chcon >/dev/null 2>&1 && chcon --reference="$1" "$2" 2>/dev/null; }
trap 'rm -f "$temp" "$temp.copy"' EXIT
trap 'exit 1' HUP INT TERM
dir=${path%/*}
mkdir -p "${dir:-/}" || exit 1
umask 077
cat >"$temp" || exit 1
[ "$(sum "$temp")" = "$new" ] || say "what arrived is not what was sent; the file was left as it was"
now=absent
[ -e "$path" ] && { now=$(sum "$path") || exit 1; }
[ "$now" = "$old" ] || exit 43
if [ "$now" != absent ]; then
	if [ -n "$copy" ] && [ ! -e "$copy" ]; then
		cp -p "$path" "$temp.copy" || say "no copy of the file could be kept; the file was left as it was"
		[ "$(sum "$temp.copy")" = "$old" ] || exit 43
		like "$path" "$temp.copy"
		flush "$temp.copy"
		mv -f "$temp.copy" "$copy" || exit 1
	fi
	like "$path" "$temp"
fi
if [ -n "$owner" ] && [ "$(stat -c %u:%g "$temp")" != "$owner" ]; then
	chown "$owner" "$temp" || say "the owner $owner cannot be given; the file was left as it was"
fi
chmod "$mode" "$temp" || exit 1
flush "$temp"
mv -f "$temp" "$path" || exit 1
trap - EXIT
flush "${dir:-/}"
