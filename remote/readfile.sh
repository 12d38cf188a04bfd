cat <"$1" && exit 0
status=$?
# Missing, or hidden behind a directory that we may not search? The nearest
# ancestor that we do see tells.
p=$1
while [ ! -e "$p" ] && [ ! -L "$p" ]; do
	case $p in
	/*/*) p=${p%/*} ;;
	/*) p=/ ;;
	*/*) p=${p%/*} ;;
	*) p=. ;;
	esac
done
[ "$p" != "$1" ] && [ -d "$p" ] && [ -x "$p" ] && exit 44
exit $status
