# What is at path $1? The step's id is $2. Answers, one a line: the path with
# links followed; its kind; for a file its SHA-256; mode, uid, gid, size, owner
# and group; the copy that the step keeps there (absent, or its SHA-256);
# then directories on the way that do not exist, outermost first.
set -u
say() { echo "$*" >&2; exit 1; }
path=$1
links=0
while [ -L "$path" ]; do
	links=$((links + 1))
	[ $links -le 40 ] || say "too many levels of symbolic links"
	to=$(readlink "$path") || say "the symbolic link cannot be read"
	case $to in
	/*) path=$to ;;
	*) path=${path%/*}/$to ;;
	esac
done
sum() {
	s=$(sha256sum <"$1") || exit 1
	echo "${s%% *}"
}
echo "$path"
dir=${path%/*}
up=${dir:-/}
made=
while [ ! -e "$up" ] && [ ! -L "$up" ]; do
	made="$up
$made"
	up=${up%/*}
	up=${up:-/}
done
[ -d "$up" ] || say "$up is not a directory"
[ -x "$up" ] || say "permission denied on $up"
if [ -f "$path" ]; then
	echo file
	sum "$path"
elif [ -d "$path" ]; then
	echo directory
	echo -
elif [ -e "$path" ]; then
	echo other
	echo -
else
	echo absent
	echo absent
fi
if [ -e "$path" ]; then
	stat -c '%a %u %g %s %U %G' "$path" || exit 1
else
	echo '- - - 0 - -'
fi
copy="$dir/.${path##*/}.belay-$2"
if [ -f "$copy" ]; then
	sum "$copy"
else
	echo absent
fi
printf %s "$made"
