# Makes the directory $1 ready for what is sent. $2: where to keep what goes, or
# empty. stdin: a letter and a path each, ended by NUL:
#   d  make the directory         c  will be made where nothing was: write that down
#                                 (not if an earlier attempt put aside what was)
#   m  put it aside               r  it is this step's own: remove it
#   s  write down the directory's mode, owner and time
#   k  put it aside, unless that was done: then this step's own stays
# What is kept twice is this step's own the second time. Nothing here leaves $1,
# for xargs runs in it, and every path begins with ./
set -u
LC_ALL=C
export LC_ALL
umask 077
dir=$1 aside=$2
mkdir -p -- "$dir" || exit 1
cd -P -- "$dir" || exit 1
list=/dev/null dirs=/dev/null
if [ -n "$aside" ]; then
	mkdir -p -- "$aside/old" || exit 1
	list=$aside/made dirs=$aside/dirs
fi
xargs -0 sh -c '
aside=$0
there() { [ -e "$1" ] || [ -L "$1" ]; }
plain() { [ -d "$1" ] && [ ! -L "$1" ]; }
keep() {
	there "./$1" || return 0
	to=$aside/old/$1
	if plain "./$1" && plain "$to"; then
		for e in "./$1"/* "./$1"/.[!.]* "./$1"/..?*; do
			there "$e" || continue
			e=${e#./}
			keep "$e" || return 1
		done
		rmdir "./$1"
		return
	fi
	if there "$to"; then
		rm -rf "./$1"
		return
	fi
	up=$aside/old
	case $1 in */*) up=$up/${1%/*} ;; esac
	[ -d "$up" ] || mkdir -p "$up" || return 1
	mv "./$1" "$to"
}
for x do
	p=${x#?./}
	case $x in
	d*) [ -d "./$p" ] && [ ! -L "./$p" ] || mkdir "./$p" || exit 255 ;;
	c*) [ -z "$aside" ] || there "$aside/old/$p" || printf "%s\0" "$p" >&3 || exit 255 ;;
	s*) m=$(stat -c "%a %u:%g %Y" "./$p" 2>/dev/null) && { printf "%s %s\0" "$m" "$p" >&4 || exit 255; } ;;
	r*) rm -rf "./$p" || exit 255 ;;
	m*) keep "$p" || exit 255 ;;
	k*) there "$aside/old/$p" || keep "$p" || exit 255 ;;
	esac
done' "$aside" 3>>"$list" 4>>"$dirs" || exit 1
if [ -n "$aside" ]; then sync "$list" "$dirs" 2>/dev/null || sync; fi
