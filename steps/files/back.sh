# Takes back, in the directory $1, what ready.sh and the archives did; $2 is
# where it kept what was there. $3: empty, what the step made is removed; else
# the directory where it goes, because somebody wrote there since. $4: first,
# to say that stdin names what was made (deepest last, a NUL each); second, that
# stdin names directories to set, "MODE UID:GID SECONDS PATH" each.
set -u
LC_ALL=C
export LC_ALL
umask 077
dir=$1 aside=$2 after=$3
cd -P -- "$dir" || exit 1
case $4 in
first)
	xargs -0 sh -c '
aside=${0%%//*} after=${0#*//}
there() { [ -e "$1" ] || [ -L "$1" ]; }
for p do
	rm -rf "$aside/old/$p"
	there "./$p" || continue
	if [ -d "./$p" ] && [ ! -L "./$p" ]; then
		rmdir "./$p" 2>/dev/null
	elif [ -z "$after" ]; then
		rm -f "./$p" || exit 255
	else
		up=$after
		case $p in */*) up=$up/${p%/*} ;; esac
		mkdir -p "$up" && mv "./$p" "$after/$p" || exit 255
	fi
done' "$aside//$after" || exit 1
	# What was kept goes back; what is in its place is the step's own.
	cd -P -- "$aside/old" || exit 1
	there() { [ -e "$1" ] || [ -L "$1" ]; }
	plain() { [ -d "$1" ] && [ ! -L "$1" ]; }
	restore() {
		if plain "./$1" && plain "$dir/$1"; then
			for e in "./$1"/* "./$1"/.[!.]* "./$1"/..?*; do
				there "$e" || continue
				restore "${e#./}" || return 1
			done
			rmdir "./$1"
			return
		fi
		if there "$dir/$1"; then
			if [ -z "$after" ]; then
				rm -rf "$dir/$1" || return 1
			else
				up=$after
				case $1 in */*) up=$up/${1%/*} ;; esac
				mkdir -p "$up" && mv "$dir/$1" "$after/$1" || return 1
			fi
		fi
		mv "./$1" "$dir/$1"
	}
	for e in * .[!.]* ..?*; do
		there "./$e" || continue
		restore "$e" || exit 1
	done
	;;
second)
	xargs -0 sh -c '
for x do
	m=${x%% *} x=${x#* } o=${x%% *} x=${x#* } t=${x%% *} p=${x#* }
	[ -d "./$p" ] || continue
	chown "$o" "./$p" && chmod "$m" "./$p" && touch -d "@$t" "./$p" || exit 255
done' sh || exit 1
	;;
esac
