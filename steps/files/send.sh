# Writes an archive of what stdin names (each ended by NUL) in the directory $1.
# $2: "rich" with sparse files, attributes and ACLs (both sides are GNU tar),
# "gnu" or "busy". $3: "loose" lets files vanish meanwhile.
set -u
LC_ALL=C
export LC_ALL
cd -P -- "$1" || exit 1
kind=$2 loose=$3
set -- --no-recursion --numeric-owner
case $kind in
rich) set -- "$@" --format=posix --pax-option=delete=atime,delete=ctime --sparse --xattrs --acls ;;
gnu) set -- "$@" --format=gnu ;;
busy) exec xargs -0 tar "$@" -cf - ;;
esac
[ -z "$loose" ] || set -- "$@" --ignore-failed-read --warning=no-file-changed
exec 3>&1
said=$(tar "$@" --null -T - -cf - 2>&1 >&3)
status=$?
[ $status = 0 ] || printf '%s\n' "$said" | head -n 1 >&2
# 1: a file changed while it was read. The proof that follows decides.
[ $status = 1 ] && exit 0
exit $status
