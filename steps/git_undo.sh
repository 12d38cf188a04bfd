# Takes git_apply.sh back. $1 the directory, $2 what it was (absent, empty or
# repository), $3 commit and $4 branch it was at, $5 commit that the step went
# to, $6 temporary directory, $7 message of the stash, $8 where a clone with
# something new in it is kept, $9 mode and owner of the empty directory.
dir=$1 was=$2 head=$3 branch=$4 commit=$5 temp=$6 note=$7 keep=$8 meta=$9
shift 9
rm -rf "$temp" || exit 1
if [ "$was" = repository ]; then
	[ -e "$dir/.git" ] || say "$dir is no repository any more: it cannot be brought back to $head"
	if [ "$(g -C "$dir" rev-parse --verify -q 'HEAD^{commit}')" = "$head" ] &&
		[ "$(g -C "$dir" symbolic-ref -q --short HEAD || echo -)" = "$branch" ]; then
		: # not left, or come back before
	elif [ "$branch" != - ] && [ "$(g -C "$dir" rev-parse --verify -q "refs/heads/$branch^{commit}")" = "$head" ]; then
		g -C "$dir" checkout "$branch" -- || exit 1
	else
		g -C "$dir" checkout --detach "$head" -- || exit 1
	fi
	stash=$(g -C "$dir" stash list --format='%gd %gs' | grep -F -- "$note" | head -n 1)
	if [ -n "$stash" ]; then
		g -C "$dir" stash pop --index "${stash%% *}" || exit 1
	fi
	exit 0
fi
if [ -e "$dir/.git" ]; then
	new=$(g -C "$dir" status --porcelain --ignored --untracked-files=normal) || exit 1
	if [ -z "$new" ] && [ "$(g -C "$dir" rev-parse --verify -q HEAD)" = "$commit" ]; then
		mv "$dir" "$temp" && rm -rf "$temp" || exit 1
	else
		[ ! -e "$keep" ] || say "$keep exists already: move it away; $dir was left as it is"
		mv "$dir" "$keep" || exit 1
		echo "the clone has files in it that are not the repository's; it is kept as $keep"
	fi
fi
if [ "$was" = empty ] && [ ! -e "$dir" ]; then
	mkdir "$dir" && chown "${meta#* }" "$dir" && chmod "${meta%% *}" "$dir" || exit 1
fi
for d; do
	[ ! -d "$d" ] || rmdir "$d" 2>/dev/null || break
done
