# The other end of rsync, its client: brings files in the directory $1 up to
# date. stdin begins with $2 bytes of names, each ended by NUL; from there on,
# stdin and stdout are the connection with the first end. stdout begins with a
# line: the options that the first end must be given. stderr tells how many
# bytes are done (rsync's progress2), and last what went wrong.
# $3: letters of options. $4: where former versions of the files are, or empty.
# $5: directory for files under way, or empty. $6: "loose" lets files vanish.
set -u
LC_ALL=C
export LC_ALL
unset RSYNC_RSH RSYNC_PROTECT_ARGS RSYNC_OLD_ARGS RSYNC_PARTIAL_DIR RSYNC_COMPRESS_LIST RSYNC_CHECKSUM_LIST RSYNC_MAX_ALLOC RSYNC_ICONV
exec 3<&0 4>&1 5>&2
cd -P -- "$1" || exit 1
size=$2 letters=$3 basis=$4 temp=$5 loose=$6
set -- "-$letters" --no-s --numeric-ids --no-implied-dirs --partial --info=progress2 --no-h --blocking-io
[ ! -d "$basis" ] || set -- "$@" "--copy-dest=$basis"
if [ -n "$temp" ]; then
	(umask 077; mkdir -p -- "$temp") || exit 1
	set -- "$@" "--temp-dir=$temp"
fi
[ -z "$loose" ] || set -- "$@" --ignore-missing-args
list=$(umask 077; mktemp) || exit 1
head -c "$size" >"$list"
exec 7<"$list"
rm -f "$list"
# In place of a remote shell: hands the connection to rsync. It ends when the
# first end does, as ssh would.
BELAY_RSH='for a do case $a in -*e*.*) printf "%s\n" "$a" >&4; break ;; esac; done
exec 6<&0
cat <&6 >&4 2>/dev/null 3<&- 5>&- 7<&- &
exec cat <&3 2>/dev/null 4>&- 5>&- 6<&- 7<&-'
export BELAY_RSH
said=$(rsync "$@" --from0 --files-from=- -e "sh -c 'eval \"\$BELAY_RSH\"' belay" belay:./ ./ 2>&1 >&5 <&7)
status=$?
[ -z "$said" ] || printf '\n%s\n' "$said" | head -n 20 >&2
exit $status
