set -u
path=$1 mode=$2 size=$3
say() { echo "$*" >&2; exit 1; }
case $path in '' | */) say "not a file name" ;; /*) ;; *) path=./$path ;; esac

links=0
while [ -L "$path" ]; do
	links=$((links + 1))
	[ $links -le 40 ] || say "too many levels of symbolic links"
	# The x keeps newlines at the end of a link's target.
	to=$(readlink "$path" && echo x) || say "the symbolic link cannot be read"
	to=${to%??}
	case $to in
	/*) path=$to ;;
	*) path=${path%/*}/$to ;;
	esac
done
if [ -e "$path" ]; then
	[ -f "$path" ] || say "it is not a regular file"
	owner=$(stat -c %u:%g "$path") || exit 1
	[ -n "$mode" ] || mode=$(stat -c %a "$path") || exit 1
else
	owner=
	[ -n "$mode" ] || mode=0644
fi

dir=${path%/*}
temp=$(mktemp "${dir:-/}/.belay.XXXXXX") || exit 1
trap 'rm -f "$temp"' EXIT
trap 'exit 1' HUP INT TERM
cat >"$temp" || exit 1
got=$(wc -c <"$temp") || exit 1
[ "$got" -eq "$size" ] || say "only $got of $size bytes arrived; the file was left as it was"
if [ -n "$owner" ] && [ "$(stat -c %u:%g "$temp")" != "$owner" ]; then
	chown "$owner" "$temp" || say "owner and group $owner cannot be kept; the file was left as it was"
fi
chmod "$mode" "$temp" || exit 1
if [ -n "$owner" ] && command -v chcon >/dev/null 2>&1; then
	# Without SELinux this cannot work and need not.
	chcon --reference="$path" "$temp" 2>/dev/null
fi
# Old tools know only the sync of everything.
sync "$temp" 2>/dev/null || sync
mv -f "$temp" "$path" || exit 1
trap - EXIT
sync "${dir:-/}" 2>/dev/null || sync
