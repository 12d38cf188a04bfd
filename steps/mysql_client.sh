# Runs a client program of MySQL or MariaDB. Stdin begins with its option file,
# up to the line #belay-end; what follows is for the program. The file has no
# name any more before the program starts, so that nothing is left of it.
# $1: which programs will do, the first that is there; $2…: arguments. Where the
# file says #belay-mysql, one of MariaDB's is taken only if there is no other:
# Debian has MariaDB's under MySQL's names, too.
set -eu
umask 077
tools=$1
shift
f=$(mktemp "${TMPDIR:-/tmp}/belay.XXXXXX")
trap 'rm -f "$f"' EXIT
trap 'exit 143' HUP INT TERM
flavour=
while IFS= read -r l; do
  case $l in
  '#belay-end' | '#belay-ca' | '#belay-roots') break ;;
  '#belay-mysql') flavour=mysql ;;
  esac
  printf '%s\n' "$l"
done >"$f"
case $l in
'#belay-ca') # certificates that sign the server's, which the program finds as /dev/fd/4
  ca=$(mktemp "${TMPDIR:-/tmp}/belay.XXXXXX")
  trap 'rm -f "$f" "$ca"' EXIT
  while IFS= read -r l && [ "$l" != "#belay-end" ]; do printf '%s\n' "$l"; done >"$ca"
  exec 4<"$ca"
  rm -f "$ca"
  ;;
'#belay-roots')
  IFS= read -r l || :
  roots=
  for ca in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    if [ -r "$ca" ]; then
      roots=$ca
      break
    fi
  done
  # Without any, programs of MariaDB would look at nothing.
  [ -n "$roots" ] || { echo "TLS: no certificates of authorities are known here, by which the server's could be verified: give the file of its authority as tls_ca, or install the package ca-certificates" >&2; exit 1; }
  printf 'loose-ssl-ca="%s"\n' "$roots" >>"$f"
  ;;
esac
exec 3<"$f"
rm -f "$f"
trap - EXIT HUP INT TERM
tool=
for t in $tools; do
  command -v "$t" >/dev/null 2>&1 || continue
  [ -n "$tool" ] || tool=$t
  [ "$flavour" = mysql ] || break
  case $("$t" --version </dev/null 2>/dev/null || :) in
  *MariaDB*) ;;
  *)
    tool=$t
    break
    ;;
  esac
done
[ -n "$tool" ] || { echo "none of the client programs of MySQL or MariaDB is installed here" >&2; exit 127; }
case $tool in
*dump)
  help=$("$tool" --no-defaults --help </dev/null 2>/dev/null || :)
  has() { case $help in *"$1"*) return 0 ;; esac; return 1; }
  for o in --set-gtid-purged=OFF --column-statistics=0 --no-tablespaces; do
    if has "${o%%=*}"; then set -- "$o" "$@"; fi
  done
  for o in "$@"; do # the place in the binary log, by the name that this program has for it
    shift
    case $o in --belay-position) if has --source-data; then o=--source-data=2; else o=--master-data=2; fi ;; esac
    set -- "$@" "$o"
  done
  ;;
esac
exec "$tool" --defaults-extra-file=/dev/fd/3 "$@"
