# Appends stdin, which is as offer made it, to the file $1 in the directory of
# parts, which must have $2 bytes. Says "belay-have BYTES" on stderr now and then.
# $3: "load" lets the engine load it while it comes; $4 is then the program that
# sums it up, or empty: "belay-got SUM".
set -u
part=$(belay_part "$1") || exit 1
umask 077
[ -e "$part" ] || : >"$part" || exit 1
have=$(wc -c <"$part") || exit 1
[ "$((have))" = "$2" ] || { echo "$part has $have bytes, and $2 were expected: does somebody else write it?" >&2; exit 1; }
accept || exit 1
while sleep 1; do echo "belay-have $(wc -c <"$part")" >&2; done &
tick=$!
dir=
trap 'kill "$tick" 2>/dev/null; [ -z "$dir" ] || rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM PIPE
if [ "$3" != load ]; then
	unpack "$how" >>"$part"
	exit
fi
copied() {
	case $how in
	none) tee -a "$part" "$@" ;;
	*) unpack "$how" | tee -a "$part" "$@" ;;
	esac
}
if [ -z "$4" ]; then
	copied | docker load
	exit
fi
dir=$(mktemp -d) || exit 1
mkfifo "$dir/all" || exit 1
"$4" <"$dir/all" >"$dir/sum" &
sums=$!
copied "$dir/all" | docker load || exit 1
wait "$sums" || exit 1
read -r sum rest <"$dir/sum"
echo "belay-got $sum" >&2
