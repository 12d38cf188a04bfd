# belay_part NAME: the path of a file of our own that outlives the connection.
belay_part() {
	d=${HOME:-/nonexistent}/.local/state
	case ${XDG_STATE_HOME:-} in /*) d=$XDG_STATE_HOME ;; esac
	d=$d/belay/parts
	(umask 077 && mkdir -p "$d") || return 1
	[ ! -L "$d" ] && [ -O "$d" ] || { echo "$d is a link or belongs to someone else" >&2; return 1; }
	printf '%s/%s\n' "$d" "$1"
}
