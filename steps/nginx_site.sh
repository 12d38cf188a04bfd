# Puts a site of nginx in its place, or back. $1 says what:
#   look   tells what is at the two paths, one a line: file STATE, link STATE,
#          kept STATE, kept-link STATE, sites 0|1
#   put    does it, tests, reloads; puts back at once when nginx does not take it
#   back   puts back what was there, tests, reloads
#   dump   tells the configuration files that nginx reads, as they are here
# STATE: absent, other, file SHA256, or link TARGET.
# $2 file, $3 link (empty: none), $4 id of the step, $5 what the file shall be
# (file: stdin; keep; absent) or was (absent, there, untouched), $6 the same of
# the link (link, absent, keep), $7 SHA-256 of stdin, $8 the mode that the file
# gets, $9 command that reloads (empty: nginx's own). Then the command of nginx,
# a word each.
# It ends with 45 when nginx's test fails, with 46 when the reload does, having
# told nginx's own words; 43: the file was changed by somebody else.
set -u
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
verb=$1 file=$2 link=$3 id=$4 filedo=$5 linkdo=$6 sum=$7 mode=$8 reload=$9
shift 9
say() { echo "$*" >&2; exit 1; }
there() { [ -e "$1" ] || [ -L "$1" ]; }
kept() { echo "${1%/*}/.${1##*/}.belay-$id"; }
state() {
	if [ -z "$1" ]; then echo absent
	elif [ -L "$1" ]; then echo "link $(readlink "$1")"
	elif [ -f "$1" ]; then s=$(sha256sum <"$1") && echo "file ${s%% *}"
	elif [ -e "$1" ]; then echo other
	else echo absent; fi
}
# keep leaves the very file where Undo finds it: the same inode.
keep() {
	k=$(kept "$1")
	there "$1" && ! there "$k" || return 0
	ln -P "$1" "$k" 2>/dev/null || cp -pP "$1" "$k" || say "no copy of $1 could be kept; nothing was changed"
}
restore() { # path, what it was
	k=$(kept "$1")
	case $2 in
	absent) rm -f "$1" ;;
	there) ! there "$k" || mv -f "$k" "$1" || return 1 ;;
	*) return 0 ;;
	esac
	rm -f "$k" "$k.part"
}
was() { if there "$(kept "$1")" || there "$1"; then echo there; else echo absent; fi; }
# setting NAME OPTION: what the configuration says, else what nginx was built with.
setting() {
	name=$1 option=$2 p=
	shift 2
	v=$("$@" -T 2>/dev/null | sed -n "s/^[[:space:]]*$name[[:space:]]\{1,\}\([^; ]*\).*/\1/p" | head -n 1)
	all=$("$@" -V 2>&1 | tr ' ' '\n')
	[ -n "$v" ] || v=$(echo "$all" | sed -n "s/^--$option=//p" | head -n 1)
	prefix=$(echo "$all" | sed -n 's/^--prefix=//p' | head -n 1)
	for w do
		[ "${p-}" != -p ] || prefix=$w
		p=$w
	done
	case $v in "" | /*) echo "$v" ;; *) echo "${prefix%/}/$v" ;; esac
}
master() {
	m=$(cat "$pidfile" 2>/dev/null) && [ -n "$m" ] && [ -d "/proc/$m" ] && echo "$m"
}
workers() {
	m=$(master) || return 0
	for s in /proc/[0-9]*/stat; do
		{ read -r line <"$s"; } 2>/dev/null || continue
		rest=${line##*) }
		rest=${rest#? }
		[ "${rest%% *}" != "$m" ] || echo "${s%/stat}"
	done
}
test_it() {
	said=$("$@" -t 2>&1) && return
	printf '%s\n' "$said"
	return 1
}
emerg() { grep -F '[emerg]' "$log" 2>/dev/null; }
reload_it() {
	before=$(workers)
	log=$(setting error_log error-log-path "$@")
	errors=$(emerg | wc -l)
	if [ -n "$reload" ]; then said=$(sh -c "$reload" 2>&1); else said=$("$@" -s reload 2>&1); fi || {
		printf '%s\n' "$said"
		return 1
	}
	[ -n "$before" ] || return 0 # its processes are not to be seen from here
	n=0
	while [ $n -lt 75 ]; do
		for w in $(workers); do
			case "
$before
" in *"
$w
"*) ;; *) return 0 ;; esac
		done
		sleep 0.2 2>/dev/null || sleep 1
		n=$((n + 1))
		[ "$(emerg | wc -l)" = "$errors" ] || n=$((n + 3)) # it has a reason; some it tries again
	done
	echo "[emerg] nginx kept its old workers; its error log says: $(emerg | grep -v 'still could not bind' | tail -n 1)"
	return 1
}
case $verb in
look)
	echo "file $(state "$file")"
	echo "link $(state "$link")"
	echo "kept $(state "$(kept "$file")")"
	echo "kept-link $([ -z "$link" ] || state "$(kept "$link")")"
	if [ -d "${file%/*}/../sites-enabled" ]; then echo "sites 1"; else echo "sites 0"; fi
	exit 0
	;;
dump)
	all=$("$@" -T 2>&1) || { printf '%s\n' "$all"; exit 45; }
	printf '%s\n' "$all" | sed -n 's/^# configuration file \(.*\):$/\1/p' | while read -r f; do
		if [ "$f" -ef "$file" ] || { [ ! -e "$f" ] && [ "${f##*/}" = "${file##*/}" ]; }; then echo "reads $f"; fi
	done
	exit 0
	;;
esac
# From here on a lost connection ends nothing half way.
trap '' HUP PIPE
pidfile=$(setting pid pid-path "$@")
put_back() { # after a refusal
	restore "$file" "$filewas"
	[ -z "$link" ] || restore "$link" "$linkwas"
}
case $verb in
put)
	filewas=untouched linkwas=untouched
	[ "$filedo" = keep ] || filewas=$(was "$file")
	[ -z "$link" ] || [ "$linkdo" = keep ] || linkwas=$(was "$link")
	# What an earlier attempt made where nothing was is its own.
	case $filedo in *-made) filewas=absent filedo=${filedo%-made} ;; esac
	case $linkdo in *-made) linkwas=absent linkdo=${linkdo%-made} ;; esac
	part=$(kept "$file").part
	if [ "$filedo" = file ]; then
		mkdir -p "${file%/*}" && (umask 077 && cat >"$part") || exit 1
		s=$(sha256sum <"$part")
		[ "${s%% *}" = "$sum" ] || { rm -f "$part"; say "what arrived is not what was sent; nothing was changed"; }
		chmod "$mode" "$part" || exit 1
	fi
	[ "$filewas" != there ] || keep "$file"
	[ "$linkwas" != there ] || keep "$link"
	case $filedo in
	file) mv -f "$part" "$file" || exit 1 ;;
	absent) rm -f "$file" || exit 1 ;;
	esac
	if [ -n "$link" ]; then
		case $linkdo in
		link)
			k=$(kept "$link")
			mkdir -p "${link%/*}" && rm -f "$k.part" && ln -s "../sites-available/${file##*/}" "$k.part" && mv -f "$k.part" "$link" || { put_back; exit 1; }
			;;
		absent) rm -f "$link" || { put_back; exit 1; } ;;
		esac
	fi
	test_it "$@" || { put_back; exit 45; }
	reload_it "$@" || {
		put_back
		test_it "$@" >/dev/null && { if [ -n "$reload" ]; then sh -c "$reload"; else "$@" -s reload; fi; } >/dev/null 2>&1
		exit 46
	}
	sync "${file%/*}" 2>/dev/null || sync
	;;
back)
	restore "$file" "$filedo" || exit 1
	[ -z "$link" ] || restore "$link" "$linkdo" || exit 1
	test_it "$@" || exit 45
	if [ -n "$pidfile" ] && [ -d "${pidfile%/*}" ] && ! master >/dev/null; then
		echo "nginx does not run: nothing to reload"
		exit 0
	fi
	reload_it "$@" || exit 46
	;;
esac
