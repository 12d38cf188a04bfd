# What is at $1? Answers: kind, then for a repository its commit, branch and
# origin, a line each ("-" for none), then its local changes as git status says
# them. Of an empty directory: mode and owner.
dir=$1
if [ ! -e "$dir" ] && [ ! -L "$dir" ]; then
	echo absent
elif [ ! -d "$dir" ]; then
	echo other
elif [ -e "$dir/.git" ]; then
	echo repository
	g -C "$dir" rev-parse --verify -q HEAD^{commit} || echo -
	g -C "$dir" symbolic-ref -q --short HEAD || echo -
	g -C "$dir" config --get remote.origin.url || echo -
	g -C "$dir" status --porcelain --untracked-files=no || exit 1
elif [ -z "$(ls -A "$dir")" ]; then
	echo empty
	stat -c '%a %u:%g' "$dir"
else
	echo other
fi
