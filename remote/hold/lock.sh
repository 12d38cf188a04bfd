# The far half of package hold: POSIX sh with stat as GNU, busybox or BSD have
# it. Comments and indentation are taken off before it is sent.
#
# $1 verb, $2 how a record of ours begins, $3 a word of chance. take: $4 the
# record. break: $4 how the record to break begins, $5 the end of its new name.
#
# Others may write beside the lock (/var/tmp), so whatever is made or moved
# goes through a directory of our own, which mkdir makes or refuses.
set -f
umask 022
LC_ALL=C
export LC_ALL
P=$2 T=$3 C= G=
L=${BELAY_LOCK:-/var/tmp/belay.lock}
D=$L.tmp.$T

fail() { set -- $*; printf 'X %s\n' "$*"; exit; } # on one line, whatever it was
there() { [ -e "$L" ] || [ -L "$L" ]; }
plain() { [ ! -L "$1" ] && [ -f "$1" ]; }
line() { l=$(dd if="$1" bs=4096 count=1 2>/dev/null | head -n 1); } 2>/dev/null
begins() { # is $1 a plain file whose first line begins with $2?
	plain "$1" && line "$1" || return 1
	case $l in "$2"*) ;; *) return 1 ;; esac
}
room() { # the directory of our own
	trap clean EXIT
	trap exit HUP INT TERM PIPE
	e=$(mkdir -m 700 "$D" 2>&1) || fail "$e"
}
alone() { # one at a time moves a lock away; it takes milliseconds, so a guard
	# that stands for seconds was left by one that died
	i=0
	until e=$(mkdir -m 700 "$L.moving" 2>&1); do
		case $e in *xists*) ;; *) fail "$e" ;; esac
		[ "$i" -lt 20 ] || rmdir "$L.moving" 2>/dev/null
		[ "$i" -lt 30 ] || fail "$e"
		sleep .1 2>/dev/null || sleep 1
		i=$((i + 1))
	done
	G=1
	room
}
clean() { # never what was moved there by mistake and could not go back
	[ -z "$C" ] || rm -f "$D/$T"
	rmdir "$D" 2>/dev/null
	[ -z "$G" ] || rmdir "$L.moving" 2>/dev/null
}
show() { # how the lock stands: free, odd, or held NOW MTIME OWNER and its first bytes
	if plain "$L"; then
		m=$(stat -c '%Y %U' "$L" 2>/dev/null || stat -f '%m %Su' "$L" 2>/dev/null) || m='0 ?'
		there || { echo free; return; }
		printf 'held %s %s\n' "$(date +%s)" "$m"
		! plain "$L" || dd if="$L" bs=4096 count=1 2>/dev/null
	elif there; then
		echo odd
	else
		echo free
	fi
}
ours() { # the lock is our run's, perhaps by another call of this moment
	begins "$L" "$P" || return 1
	touch -c "$L" 2>/dev/null
	echo mine
}
take() {
	if ours; then return; fi
	# Looked at after it was seen: it may have been made between the two looks.
	if there; then ours || show; return; fi
	room
	C=1
	e=$({ printf '%s\n' "$1" >"$D/$T" && chmod 644 "$D/$T"; } 2>&1) || fail "$e"
	sync "$D/$T" 2>/dev/null
	for i in 1 2 3; do
		# The link makes the lock, whole, or fails. In a directory that stands
		# there it would make a file: that is no lock.
		if e=$(ln "$D/$T" "$L" 2>&1); then
			if begins "$L" "$P"; then echo taken; return; fi
			rm -f "$L/$T" 2>/dev/null
		fi
		if there; then ours || show; return; fi
	done
	fail "$e"
}
back() { # somebody changed the lock between our look and our move
	ln "$D/$T" "$L" 2>/dev/null && rm -f "$D/$T" || mv "$D/$T" "$L.broken-$T"
}
drop() {
	begins "$L" "$P" || { show; return; }
	alone
	begins "$L" "$P" || { show; return; }
	e=$(mv "$L" "$D/$T" 2>&1) || fail "$e"
	if begins "$D/$T" "$P"; then C=1; echo dropped; return; fi
	back
	show
}
meant() { # is what stands at $1 what is to be broken?
	if [ -n "$2" ]; then begins "$1" "$2"; else ! begins "$1" '{"run":"'; fi
}
break_() {
	begins "$L" "$P" && { echo mine; return; }
	there && meant "$L" "$1" || { show; return; }
	alone
	there && meant "$L" "$1" || { show; return; }
	B=$L.broken-$2
	[ ! -e "$B" ] && [ ! -L "$B" ] || fail "$B is there already"
	e=$(mv "$L" "$D/$T" 2>&1) || fail "$e"
	meant "$D/$T" "$1" || { back; show; return; }
	e=$(mv "$D/$T" "$B" 2>&1) || fail "$e"
	printf 'broken %s\n' "$B"
}

echo belay-lock 1
case $L in /*) ;; *) fail "BELAY_LOCK is $L there, which is no absolute path" ;; esac
case $1 in
look) show ;;
take) take "$4" ;;
drop) drop ;;
break) break_ "$4" "$5" ;;
esac
