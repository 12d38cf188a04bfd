# Writes image $1 to stdout as `docker save` does, without the first $2 bytes,
# packed as $3 says (see offer). Where $4 is a program that sums up, it says
# "belay-sum SUM" of all of it on stderr.
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM PIPE
rest() {
	case $1 in
	0) cat ;;
	*) tail -c "+$(($1 + 1))" ;;
	esac
}
if [ -z "$4" ]; then
	{ docker save "$1" || : >"$dir/bad"; } | offer "$3" "$dir" || exit 1
	[ ! -e "$dir/bad" ]
	exit
fi
mkfifo "$dir/all" || exit 1
"$4" <"$dir/all" >"$dir/sum" &
sums=$!
{ docker save "$1" || : >"$dir/bad"; } | tee "$dir/all" | rest "$2" | offer "$3" "$dir" || exit 1
[ ! -e "$dir/bad" ] || exit 1
wait "$sums" || exit 1
read -r sum rest <"$dir/sum"
echo "belay-sum $sum" >&2
