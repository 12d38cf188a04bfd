package checks

import (
	"regexp"
	"strings"
)

// toolCommands are how the programs that migrations use tell their version.
var toolCommands = [][2]string{
	{"docker", "docker --version"}, {"docker compose", "docker compose version"}, {"docker-compose", "docker-compose --version"},
	{"git", "git --version"}, {"node", "node --version"}, {"npm", "npm --version"}, {"cargo", "cargo --version"},
	{"psql", "psql --version"}, {"pg_dump", "pg_dump --version"}, {"mysql", "mysql --version"}, {"mysqldump", "mysqldump --version"},
	{"mariadb", "mariadb --version"}, {"redis-cli", "redis-cli --version"}, {"rsync", "rsync --version"},
	{"tar", "tar --version"}, {"zstd", "zstd --version"}, {"gzip", "gzip --version"}, {"curl", "curl --version"},
	{"wget", "wget --version"}, {"nginx", "nginx -v"}, {"openssl", "openssl version"}, {"tmux", "tmux -V"},
	{"systemctl", "systemctl --version"}, {"kubectl", "kubectl version --client"}, {"python3", "python3 --version"},
	{"jq", "jq --version"}, {"sudo", "sudo -V"},
}

// toolsApart are asked in a way of their own. npm and docker-compose are read
// from their packages instead of started, because each of the two takes longer than all the other tools together: npm (which without
// node could not start at all), and the docker-compose 1 of a distribution,
// which is a Python program.
const toolsApart = `
ask_compose() {
	p=$(command -v docker-compose) || return
	if [ "$p" = /usr/bin/docker-compose ] && case $(keep 64 <"$p") in '#!'*python*) true ;; *) false ;; esac; then
		for d in /usr/lib/python3*/dist-packages/docker_compose-*-info /usr/lib/python3*/site-packages/docker_compose-*-info; do
			[ -e "$d" ] || continue
			d=${d##*/docker_compose-}
			tool docker-compose printf 'docker-compose version %s\n' "${d%.*}"
			return
		done
	fi
	tool docker-compose docker-compose --version
}
# A cargo of rustup makes ~/.rustup where there is none: looking must not.
ask_cargo() {
	p=$(command -v cargo) || return
	[ -e "${p%/*}/rustup" ] && [ ! -d "${RUSTUP_HOME:-$HOME/.rustup}" ] && return
	tool cargo cargo --version
}
ask_npm() {
	has npm || return
	p=$(readlink -f "$(command -v npm)")
	p=${p%/bin/*}/package.json
	if has node && has sed && [ -r "$p" ]; then
		tool npm sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' "$p"
	else
		tool npm npm --version
	fi
}
`

func init() {
	var b strings.Builder
	// All at once; each writes its block with one write of less than PIPE_BUF,
	// and less than musl's 1 KiB buffer, so that blocks do not mix.
	b.WriteString(`
ver() {
	v=$(lim 3 "$@" 2>&1 | keep 600)
	printf '\n=%s\n%s\n' "$name" "$v"
}
tool() {
	name=$1; shift
	has "$1" || return
	ver "$@" &
}
`)
	b.WriteString(toolsApart)
	for _, t := range toolCommands {
		switch t[0] {
		case "cargo":
			b.WriteString("ask_cargo\n")
		case "npm":
			b.WriteString("ask_npm\n")
		case "docker-compose":
			b.WriteString("ask_compose\n")
		default:
			b.WriteString("tool '" + t[0] + "' " + t[1] + "\n")
		}
	}
	b.WriteString("wait\nprintf '\\n=done\\n'\n")
	addFact(fact{name: "tools", limit: 64 << 10, parse: parseTools, script: b.String()})
}

// parseTools expects "=name" before what each tool said; "=done" is the end.
func parseTools(section []byte, f *Facts) error {
	said := map[string][]string{}
	name := ""
	for line := range lines(section) {
		if n, ok := strings.CutPrefix(line, "="); ok {
			name = n
			said[name] = []string{}
			continue
		}
		if name != "" {
			said[name] = append(said[name], line)
		}
	}
	f.Tools = map[string]string{}
	for _, t := range toolCommands {
		text, installed := said[t[0]]
		if !installed || t[0] == "docker compose" && !strings.Contains(strings.Join(text, " "), "Compose version") {
			continue
		}
		f.Tools[t[0]] = versionLine(text)
	}
	if said["done"] == nil {
		return noReading(f, "tools")
	}
	return nil
}

// hasTool tells whether the tools section asks for this one.
func hasTool(name string) bool {
	for _, t := range toolCommands {
		if t[0] == name {
			return true
		}
	}
	return false
}

var dotted = regexp.MustCompile(`\d+\.\d`)

// versionLine is the first line with a version in it, else the first.
func versionLine(text []string) string {
	for _, line := range text {
		if dotted.MatchString(line) {
			return OneLine(line, 120)
		}
	}
	if len(text) > 0 {
		return OneLine(text[0], 120)
	}
	return "version unknown"
}
