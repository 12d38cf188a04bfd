# Unpacks an archive on stdin into the directory $1. $2: "rich", "gnu" or "busy"
# as in send.sh, for this side's tar.
set -u
LC_ALL=C
export LC_ALL
cd -P -- "$1" || exit 1
case $2 in
rich)
	set -- --numeric-owner --xattrs --acls
	[ "$(id -u)" != 0 ] || set -- "$@" '--xattrs-include=*' ;;
*) set -- --numeric-owner ;;
esac
# What went wrong first is told, not that tar gives up.
said=$(tar "$@" -xpf - 2>&1)
status=$?
[ $status = 0 ] || printf '%s\n' "$said" | head -n 1 >&2
exit $status
