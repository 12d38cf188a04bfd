# What files.rename_by_hash and files.remove_renamed do on a host. $1 says which part:
#   stage FROM TO STAGE HOW  stdin: pairs of a file in FROM and its new path in
#                            STAGE, each ended by NUL. Answers "SHA-256  ./NAME"
#   put STAGE TO             stdin: names, from STAGE into TO, over nothing
#   drop DIR                 stdin: names in DIR to remove
#   tidy STAGE DIR…          removes STAGE, and each DIR that is empty
#   flush TO                 waits until all is on the disk
set -u
what=$1
shift
umask 077
case $what in
stage)
	from=$1 to=$2 stage=$3 how=$4
	if [ ! -d "$to" ]; then
		(umask 022 && mkdir -p -- "$to") && chown "$(stat -c %u:%g "$from/.")" "$to" && chmod "$(stat -c %a "$from/.")" "$to" || exit 1
	fi
	rm -rf -- "$stage" && mkdir -- "$stage" && cd -P -- "$from" || exit 1
	case $how in
	link) xargs -0 -n 2 ln -- ;;
	*) xargs -0 -n 2 cp -pP -- ;;
	esac || {
		rm -rf -- "$stage" # on a full disk it would be in the way
		exit 1
	}
	cd -P -- "$stage" && find . -type f -exec sha256sum {} +
	;;
put)
	stage=$1 to=$2
	cd -P -- "$stage" || exit 1
	if : >.probe && ln .probe .probe2 2>/dev/null; then
		rm -f .probe .probe2
		xargs -0 sh -c 'to=$1; shift; exec ln -- "$@" "$to/"' sh "$to" || exit 1
	else # a file system without hard links
		rm -f .probe
		xargs -0 sh -c 'to=$1; shift; exec mv -n -- "$@" "$to/"' sh "$to" || exit 1
		left=$(ls -A) && [ -z "$left" ] || { echo "somebody else made $left in $to meanwhile" >&2; exit 1; }
	fi
	cd / && rm -rf -- "$stage"
	;;
drop) cd -P -- "$1" && xargs -0 rm -f -- ;;
tidy)
	rm -rf -- "$1"
	shift
	for d do [ ! -d "$d" ] || rmdir -- "$d" 2>/dev/null || :; done
	;;
flush) sync -f "$1" 2>/dev/null || sync ;;
esac
