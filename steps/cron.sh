# What cron.take and cron.give do: $1 verb, $2 user or file, $3 the login or the
# path, $4 where it is kept aside. Nothing of a crontab is printed.
set -u
umask 077
LC_ALL=C
export LC_ALL
verb=$1 what=$2 name=$3 aside=$4
say() { echo "$*" >&2; exit 1; }
case $what in
user)
	called="the crontab of $name"
	id -u -- "$name" >/dev/null 2>&1 || say "there is no login $name here, so it can have no crontab"
	;;
file) called=$name ;;
esac
# live prints what cron goes by now; its status tells whether there is anything.
live() {
	case $what in
	user) crontab -u "$name" -l 2>/dev/null ;;
	file) [ -f "$name" ] && cat -- "$name" ;;
	esac
}
drop() {
	case $what in
	user) crontab -u "$name" -r 2>/dev/null || crontab -u "$name" -d ;;
	file) rm -f -- "$name" ;;
	esac
}
# put FILE MODE: a name that begins with a dot is not read by any cron meanwhile.
put() {
	case $what in
	user) crontab -u "$name" - <"$1" ;;
	file)
		part=${name%/*}/.belay-${name##*/}
		cat <"$1" >"$part" && chmod "$2" "$part" && mv -f "$part" "$name"
		;;
	esac || say "$called could not be written"
	live | cmp -s - "$1" || say "$called is not what was written"
}
mode() { if [ -e "$1" ]; then stat -c %a "$1" 2>/dev/null || echo 644; fi; }
sum() { s=$(sha256sum) && echo "${s%% *}"; }
case $verb in
state) # prints live SUM or live -, kept SUM or kept -, mode M, run R: which took what is kept
	if live >/dev/null; then echo "live $(live | sum)"; else echo 'live -'; fi
	if [ -f "$aside" ]; then echo "kept $(sum <"$aside")"; else echo 'kept -'; fi
	m=
	[ "$what" = user ] || m=$(mode "$name") && [ -n "$m" ] || m=$(mode "$aside")
	echo "mode ${m:--}"
	r=
	[ ! -f "$aside.run" ] || read -r r <"$aside.run"
	echo "run ${r:--}"
	;;
take) # $5: the run
	mkdir -p "${aside%/*}" || exit 1
	live >"$aside.new" || { rm -f "$aside.new"; say "$called is not there any more"; }
	[ "$what" = user ] || chmod "$(mode "$name")" "$aside.new"
	echo "$5" >"$aside.run" || exit 1 # before what it speaks of: nobody is given that while this one is live
	if [ -e "$aside" ] && ! cmp -s "$aside" "$aside.new"; then
		mv "$aside" "$aside.$(date +%Y%m%d-%H%M%S)" || exit 1
	fi
	mv "$aside.new" "$aside" && sync "$aside" 2>/dev/null || sync
	live | cmp -s - "$aside" || say "$called was changed this moment; it was left as it is"
	drop || exit 1
	! live >/dev/null || say "$called is still there"
	;;
untake)
	if live >/dev/null; then
		[ -e "$aside" ] || exit 0
		live | cmp -s - "$aside" || say "$called was written anew since it was taken away, and was left as it is. What it was is $aside: merge the two, remove that file, and retry"
	else
		[ -e "$aside" ] || say "$called cannot be put back: it was kept in $aside, and somebody has removed that. Restore that file from a backup and retry, or write $called by hand"
		put "$aside" "$(mode "$aside")"
	fi
	rm -f "$aside" "$aside.run"
	;;
give) # $5: mode; stdin: the text
	mkdir -p "${aside%/*}" || exit 1
	cat >"$aside.new" || exit 1
	if [ ! -e "$aside.before" ]; then
		live >"$aside.before.new" || : >"$aside.before.new"
		[ "$what" = user ] || [ ! -e "$name" ] || chmod "$(mode "$name")" "$aside.before.new"
		mv "$aside.before.new" "$aside.before" || exit 1
	fi
	mv "$aside.new" "$aside" || exit 1
	put "$aside" "$5"
	;;
ungive) # prints where it kept what was written since
	[ -e "$aside.before" ] || exit 0
	if [ -e "$aside" ] && live >"$aside.new" && ! cmp -s "$aside" "$aside.new" && ! cmp -s "$aside.before" "$aside.new"; then
		kept=$aside.changed-$(date +%Y%m%d-%H%M%S)
		mv "$aside.new" "$kept" && echo "$kept"
	fi
	rm -f "$aside.new"
	if [ -s "$aside.before" ]; then
		put "$aside.before" "$(mode "$aside.before")"
	else
		! live >/dev/null || drop || exit 1
		! live >/dev/null || say "$called is still there"
	fi
	rm -f "$aside" "$aside.before"
	;;
esac
