# Runs a client program of PostgreSQL. $1 is its name, $2 the least major
# version that will do (0: any), $3 the connection; the rest are its arguments.
# The first line of stdin is a line of a password file, or empty. Where the
# connection wants certificates of its own they are next, up to #belay-end. What
# follows is the program's stdin.
set -u
IFS= read -r line || exit 121
name=$1 least=$2 to=$3
unset PGSERVICE PGOPTIONS PGSSLMODE PGHOSTADDR PGTARGETSESSIONATTRS
case $to in
*sslrootcert=/dev/fd/8)
	umask 077
	f=$(mktemp "${TMPDIR:-/tmp}/belay.XXXXXX") || exit 122
	while IFS= read -r l && [ "$l" != "#belay-end" ]; do printf '%s\n' "$l"; done >"$f"
	exec 8<"$f"
	rm -f -- "$f"
	;;
*"sslmode='verify"*)
	if [ ! -f "${HOME:-/}/.postgresql/root.crt" ] && [ -z "${PGSSLROOTCERT:-}" ]; then
		for f in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
			[ -r "$f" ] || continue
			PGSSLROOTCERT=$f
			export PGSSLROOTCERT
			break
		done
	fi
	;;
esac
shift 3
prog='' best='' seen=''
for p in "$(command -v "$name" 2>/dev/null)" /usr/lib/postgresql/*/bin/"$name" /usr/pgsql-*/bin/"$name" \
	/usr/local/pgsql/bin/"$name" /usr/libexec/postgresql*/"$name" /opt/bitnami/postgresql/bin/"$name"; do
	[ -n "$p" ] && [ -x "$p" ] || continue
	v=$("$p" --version 2>/dev/null </dev/null | sed -n '1s/^[^0-9]*\([0-9][0-9]*\).*/\1/p')
	[ -n "$v" ] || continue
	seen="$seen $p ($v)"
	[ "$v" -ge "$least" ] || continue
	if [ -z "$best" ] || [ "$v" -lt "$best" ]; then best=$v prog=$p; fi
done
if [ -z "$prog" ]; then
	echo "no $name of version $least or newer was found; there is:${seen:- none}" >&2
	exit 120
fi
if [ "${1:-}" = --which ]; then
	echo "$best $prog"
	exit 0
fi
LC_ALL=C
export LC_ALL
if [ -n "$line" ]; then
	unset PGPASSWORD
	umask 077
	f=$(mktemp "${TMPDIR:-/tmp}/belay.XXXXXX") || exit 122
	# The file has no name any more when the password goes in: whoever is
	# killed now leaves nothing behind.
	exec 9<>"$f"
	rm -f -- "$f"
	printf '%s\n' "$line" >&9
	PGPASSFILE=/dev/fd/9
	export PGPASSFILE
	if [ ! -f /dev/fd/9 ]; then
		echo "/dev/fd is not there, by which $name gets its password" >&2
		exit 122
	fi
fi
exec "$prog" --no-password --dbname="$to" "$@"
