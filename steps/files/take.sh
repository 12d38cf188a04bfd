# Unpacks an archive on stdin into the directory $1. $2: "rich", "gnu" or "busy"
# as in send.sh, for this side's tar.
set -u
LC_ALL=C
export LC_ALL
cd -P -- "$1" || exit 1
case $2 in
rich)
	all=
	[ "$(id -u)" != 0 ] || all='--xattrs-include=*'
	exec tar --numeric-owner --xattrs --acls $all -xpf - ;;
gnu) exec tar --numeric-owner -xpf - ;;
busy) exec tar --numeric-owner -xpf - ;;
esac
