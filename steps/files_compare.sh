# Compares the directory $3 with the archive $1, packed by $2, which has $4
# entries ($5: one of them is the directory itself).
set -u
LC_ALL=C
export LC_ALL
open() {
	case $1 in
	zstd) zstd -q -dc ;;
	gzip) gzip -dc ;;
	*) cat ;;
	esac
}
if tar --version 2>/dev/null | grep -q GNU; then
	open "$2" <"$1" | tar --numeric-owner -df - -C "$3" >&2
	exit
fi
have=$(find "$3" ! -path "$3" | wc -l) || exit 1
[ -z "$5" ] || have=$((have + 1))
[ "$have" -eq "$4" ] || { echo "$have entries are there, and $4 in the archive" >&2; exit 1; }
