# Unpacks the archive $1 (packed by $2, with SHA-256 $3) into the new directory
# $4. $5 is the directory that it will replace: its mode and owner are taken
# when the archive does not hold them ($6 empty).
set -u
LC_ALL=C
export LC_ALL
say() { echo "$*" >&2; exit 1; }
sum=$(sha256sum <"$1") || exit 1
[ "${sum%% *}" = "$3" ] || say "the archive was changed since it was looked at; nothing was unpacked"
rm -rf "$4" && mkdir -p "${4%/*}/" && (umask 077; mkdir "$4") || exit 1
if [ -z "$6" ]; then
	mode=755 owner=
	if [ -d "$5" ]; then
		mode=$(stat -c %a "$5") && owner=$(stat -c %u:%g "$5") || exit 1
	fi
	[ -z "$owner" ] || chown "$owner" "$4" || exit 1
	chmod "$mode" "$4" || exit 1
fi
open() {
	case $1 in
	zstd) zstd -q -dc ;;
	gzip) gzip -dc ;;
	*) cat ;;
	esac
}
more=
if tar --version 2>/dev/null | grep -q GNU; then
	more='--xattrs --acls --checkpoint=500 --checkpoint-action=echo=belay_%u'
fi
all=$({ { open "$2" <"$1"; echo $? >&3; } | tar $more --numeric-owner -xpf - -C "$4"; echo $? >&3; } 3>&1)
case $all in
"0
0") ;;
*) say "the archive could not be unpacked whole" ;;
esac
# What is in it, too. An error is real when sync knows -f at all.
sync -f "$4" 2>/dev/null || { ! sync -f / 2>/dev/null && sync; } || say "$4 could not be written to the disk"
