# How a stream is packed on its way from host to host, by zstd, gzip or none.
unpack() {
	case $1 in
	zstd) zstd -q -dc ;;
	gzip) gzip -dc ;;
	*) cat ;;
	esac
}
pack() {
	case $1 in
	zstd) zstd -q -1 -c ;;
	gzip) gzip -1 -c ;;
	*) cat ;;
	esac
}
# offer HOW DIR packs stdin, and tells the other end by a first line how. With
# try-zstd or try-gzip it packs only what gets smaller by a tenth, judged by the
# first 2 MiB. DIR takes these.
offer() {
	case $1 in
	try-*)
		how=${1#try-}
		# dd takes from a pipe no more than it gives on; head may.
		dd bs=65536 count=32 2>/dev/null >"$2/first" || return 1
		[ "$(($(pack "$how" <"$2/first" | wc -c) * 10))" -lt "$(($(wc -c <"$2/first") * 9))" ] || how=none
		echo "$how"
		# What either program packed may stand in a row.
		pack "$how" <"$2/first" || return 1
		;;
	*)
		how=$1
		echo "$how"
		;;
	esac
	pack "$how"
}
# accept reads that first line.
accept() {
	how=
	IFS= read -r how
	case $how in zstd | gzip | none) return ;; esac
	echo "nothing came, or not what was expected" >&2
	return 1
}
