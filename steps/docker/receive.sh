# Appends stdin, packed by $3, to the file $1 in the directory of parts, which
# must have $2 bytes. Says "belay-have BYTES" on stderr now and then.
set -u
part=$(belay_part "$1") || exit 1
umask 077
[ -e "$part" ] || : >"$part" || exit 1
have=$(wc -c <"$part") || exit 1
[ "$((have))" = "$2" ] || { echo "$part has $have bytes, and $2 were expected: does somebody else write it?" >&2; exit 1; }
unpack() {
	case $1 in
	zstd) zstd -q -dc ;;
	gzip) gzip -dc ;;
	*) cat ;;
	esac
}
while sleep 1; do echo "belay-have $(wc -c <"$part")" >&2; done &
tick=$!
unpack "$3" >>"$part"
status=$?
kill "$tick" 2>/dev/null
wait "$tick" 2>/dev/null
exit "$status"
