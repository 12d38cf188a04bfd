# Writes image $1 to stdout as `docker save` does, without the first $2 bytes,
# packed as $3 says (see offer). Where $4 is a program that sums up, it says
# "belay-sum SUM" of all of it on stderr. What follows are files to be left out.
set -u
image=$1 have=$2 how=$3 by=$4
shift 4
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM PIPE
whole() { docker save "$image" || : >"$dir/bad"; }
if [ $# -gt 0 ] && tar --version 2>/dev/null | grep -q 'GNU tar'; then
	# tar is not content with files that are not there. If anything else was
	# wrong, it does not load.
	saved() { whole | tar --delete -f - "$@" 2>/dev/null; }
else
	saved() { whole; }
fi
rest() {
	case $have in
	0) cat ;;
	*) tail -c "+$((have + 1))" ;;
	esac
}
if [ -z "$by" ]; then
	saved "$@" | offer "$how" "$dir" || exit 1
	[ ! -e "$dir/bad" ]
	exit
fi
mkfifo "$dir/all" || exit 1
"$by" <"$dir/all" >"$dir/sum" &
sums=$!
saved "$@" | tee "$dir/all" | rest | offer "$how" "$dir" || exit 1
[ ! -e "$dir/bad" ] || exit 1
wait "$sums" || exit 1
read -r sum rest <"$dir/sum"
echo "belay-sum $sum" >&2
