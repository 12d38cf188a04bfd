# Lists the tree $1, a line an entry: mode|type|owner|group|path, then
# H<sum>  <path> a regular file, L<path> and its target on the next line a link.
cd "$1" 2>/dev/null || { [ -e "$1" ] || [ -L "$1" ] || exit 44; cd "$1"; } || exit 1
LC_ALL=C
export LC_ALL
find . -exec stat -c '%a|%F|%U|%G|%n' {} + || exit 1
find . -type f -exec sha256sum {} + | sed 's/^/H/' || exit 1
find . -type l -exec sh -c 'for l; do printf "L%s\n" "$l"; readlink "$l"; done' sh {} +
