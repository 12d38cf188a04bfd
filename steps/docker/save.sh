# Writes image $1 to stdout as `docker save` does, without the first $2 bytes,
# packed by $3. Says "belay-sum SHA256" of all of it, and on stderr.
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM PIPE
mkfifo "$dir/all" || exit 1
sha256sum <"$dir/all" >"$dir/sum" &
sums=$!
pack() {
	case $1 in
	zstd) zstd -q -1 -c ;;
	gzip) gzip -1 -c ;;
	*) cat ;;
	esac
}
{ docker save "$1" || : >"$dir/bad"; } | tee "$dir/all" | tail -c "+$(($2 + 1))" | pack "$3" || exit 1
[ ! -e "$dir/bad" ] || exit 1
wait "$sums" || exit 1
read -r sum rest <"$dir/sum"
echo "belay-sum $sum" >&2
