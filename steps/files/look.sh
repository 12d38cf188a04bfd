# What a host can do with the directory $1. $2 and $3 are where a step may keep
# what it replaces: beside the directory, and in it. Answers, one a line:
#   kind absent|empty|full|other   top PATH-ENDED-BY-NUL   free BYTES   inodes N
#   meta MODE UID:GID   tar gnu|busy|none   root 0|1   mount 0|1
#   xargs 0|1   kept beside|in|-   rsync WHAT ITS --version SAYS
set -u
LC_ALL=C
export LC_ALL
dir=$1 beside=$2 inside=$3
up=$dir
while [ ! -e "$up" ] && [ ! -L "$up" ]; do
	up=${up%/*}
	up=${up:-/}
done
kind=absent
if [ -d "$dir" ]; then
	kind=full
	[ -r "$dir" ] || { echo "$dir cannot be read" >&2; exit 1; }
	rest=$(ls -A "$dir") || exit 1
	case $rest in "" | "${inside##*/}") kind=empty ;; esac
elif [ -e "$dir" ] || [ -L "$dir" ]; then
	kind=other
fi
echo "kind $kind"
[ -d "$up" ] || up=${up%/*}
printf 'top %s\0\n' "$(cd -P -- "${up:-/}" && pwd -P)"
echo "free $(df -Pk "${up:-/}" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }')"
echo "inodes $(df -Pi "${up:-/}" 2>/dev/null | awk 'NR == 2 { print $4 }')"
meta=-
mount=0
if [ -d "$dir" ]; then
	meta=$(stat -c '%a %u:%g' "$dir")
	[ "$(stat -c %d "$dir/.")" = "$(stat -c %d "$dir/..")" ] || mount=1
fi
echo "meta $meta"
echo "mount $mount"
tar=none
if command -v tar >/dev/null; then
	tar=busy
	if tar --version 2>/dev/null | grep -q GNU; then tar=gnu; fi
fi
echo "tar $tar"
root=0
[ "$(id -u)" != 0 ] || root=1
echo "root $root"
xargs=0
if printf 'a\0' | xargs -0 true 2>/dev/null; then xargs=1; fi
echo "xargs $xargs"
kept=-
[ ! -d "$beside" ] || kept=beside
[ ! -d "$inside" ] || kept=in
echo "kept $kept"
echo "rsync $(rsync --version 2>/dev/null | head -n 30 | tr "\n" " ")"
