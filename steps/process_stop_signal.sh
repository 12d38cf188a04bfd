# Sends signal $1 ("-": none) to the processes $2 $3, $4 $5, … (pid, start
# time in ticks: a pid that was given out again is somebody else) and says of
# each whether it was there.
sig=$1
shift
while [ $# -ge 2 ]; do
	p=$1 want=$2
	shift 2
	s=
	{ IFS= read -r s <"/proc/$p/stat"; } 2>/dev/null
	set -f
	had=$# rest=$*
	set -- ${s##*") "}
	[ $# -ge 20 ] || { s=$(cat "/proc/$p/stat" 2>/dev/null); set -- ${s##*") "}; }
	state=$1 start=${20}
	set -- $rest
	set +f
	if [ "$start" != "$want" ] || [ "$state" = Z ] || [ "$state" = X ]; then
		echo "gone $p -"
	elif [ "$sig" = - ] || { [ "$p" -gt 1 ] && kill -s "$sig" "$p" 2>/dev/null; }; then
		echo "here $p $state"
	elif [ -d "/proc/$p" ]; then
		echo "denied $p $state"
	else
		echo "gone $p -"
	fi
done
