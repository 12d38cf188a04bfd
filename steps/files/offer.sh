# One end of rsync: reads in the directory $1 what the other end asks for, which
# is spoken to by stdin and stdout. Then rsync's own arguments.
set -u
LC_ALL=C
export LC_ALL
cd -P -- "$1" || exit 1
shift
exec rsync --server --sender "$@" . ./
