# For every git script: nothing asks for a password, no hook runs, nothing but
# the usual transports, and a tree of another owner is no hindrance (git 2.38
# and later take safe.directory from the command line; older ones say so).
set -u
say() { echo "$*" >&2; exit 1; }
command -v git >/dev/null || say "git is not installed on this host"
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_NAMESPACE
GIT_TERMINAL_PROMPT=0
GIT_ASKPASS=true
GIT_SSH_COMMAND=${GIT_SSH_COMMAND:-ssh -o BatchMode=yes}
GIT_ALLOW_PROTOCOL=file:git:http:https:ssh
GIT_OPTIONAL_LOCKS=0
LC_ALL=C
export GIT_TERMINAL_PROMPT GIT_ASKPASS GIT_SSH_COMMAND GIT_ALLOW_PROTOCOL GIT_OPTIONAL_LOCKS LC_ALL
g() {
	git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c advice.detachedHead=false -c safe.directory='*' "$@"
}
