# Brings $2 to commit $3 of the repository $1. $4 the ref as the plan writes
# it, $5 depth or empty, $6 refuse, stash or overwrite, $7 temporary directory
# for a clone, $8 message of a stash.
repo=$1 dir=$2 commit=$3 ref=$4 depth=$5 clean=$6 temp=$7 note=$8
has() { g -C "$1" cat-file -e "$commit^{commit}" 2>/dev/null; }
# By its name, by its number, and at last everything there is.
fetch() {
	has "$1" && return 0
	g -C "$1" fetch --progress --no-tags ${depth:+"--depth=$depth"} "$repo" "$ref" && has "$1" && return 0
	g -C "$1" fetch --progress --no-tags ${depth:+"--depth=$depth"} "$repo" "$commit" && has "$1" && return 0
	g -C "$1" fetch --progress --tags "$repo" '+refs/heads/*:refs/remotes/origin/*' && has "$1" && return 0
	say "commit $commit could not be fetched; the working tree was left as it was"
}
if [ -e "$dir/.git" ]; then
	fetch "$dir"
	GIT_AUTHOR_NAME=belay GIT_AUTHOR_EMAIL=belay@localhost GIT_COMMITTER_NAME=belay GIT_COMMITTER_EMAIL=belay@localhost
	export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
	force=
	if [ -n "$(g -C "$dir" status --porcelain --untracked-files=no)" ]; then
		case $clean in
		stash) g -C "$dir" stash push -m "$note" || exit 1 ;;
		overwrite) force=--force ;;
		*) say "there are local changes; the working tree was left as it was" ;;
		esac
	fi
	g -C "$dir" checkout $force --detach "$commit" -- || exit 1
	exit 0
fi
rm -rf "$temp" && mkdir -p "${temp%/*}/" && mkdir "$temp" || exit 1
g -C "$temp" init -q && g -C "$temp" remote add origin -- "$repo" || exit 1
[ -n "$depth" ] || g -C "$temp" fetch --progress --tags origin || exit 1
fetch "$temp"
g -C "$temp" checkout --detach "$commit" -- || exit 1
if [ -d "$dir" ]; then
	chown "$(stat -c %u:%g "$dir")" "$temp" && chmod "$(stat -c %a "$dir")" "$temp" && rmdir "$dir" || exit 1
fi
mv "$temp" "$dir"
