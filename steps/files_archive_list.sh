# Lists the archive $1, packed by $2, as tar -tv does. First a line with its
# SHA-256 and the one that is beside it (or -), last one with "end" when both
# programs were content.
set -u
LC_ALL=C
export LC_ALL
say() { echo "$*" >&2; exit 1; }
[ -f "$1" ] || say "$1 is not there"
[ "$2" = none ] || command -v "$2" >/dev/null || say "$2 is not installed on this host"
command -v tar >/dev/null || say "tar is not installed on this host"
sum=$(sha256sum <"$1") || exit 1
beside=-
[ ! -e "$1.sha256" ] || read -r beside rest <"$1.sha256"
echo "sum ${sum%% *} ${beside:--}"
open() {
	case $1 in
	zstd) zstd -q -dc ;;
	gzip) gzip -dc ;;
	*) cat ;;
	esac
}
exec 4>&1
all=$({ { open "$2" <"$1"; echo $? >&3; } | tar --numeric-owner -tvf - >&4; echo $? >&3; } 3>&1)
case $all in
"0
0") echo end ;;
*) say "the archive is damaged" ;;
esac
