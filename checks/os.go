package checks

import (
	"strconv"
	"strings"
	"time"
)

func init() {
	addFact(fact{name: "os", limit: 16 << 10, parse: parseOS, script: `
if has uname; then printf 'kernel=%s\narch=%s\n' "$(uname -sr)" "$(uname -m)"; fi
for f in /proc/uptime /proc/loadavg; do
	[ -r $f ] && IFS= read -r v <$f && printf '%s=%s\n' "${f#/proc/}" "$v"
done
n=$(getconf _NPROCESSORS_ONLN) || n=$(nproc) || n=$(grep -c ^processor /proc/cpuinfo)
printf 'cpus=%s\n' "$n"
for f in /run/reboot-required /var/run/reboot-required; do
	[ -e $f ] || continue
	printf 'reboot=yes\n'
	[ -r $f.pkgs ] && while read -r v; do printf 'reboot_for=%.100s\n' "$v"; break; done <$f.pkgs
	break
done
for f in /etc/os-release /usr/lib/os-release; do
	[ -r $f ] && pass $f && break
done`})
}

// parseOS expects name=value lines of our own and then those of os-release(5),
// whose names are in capitals and whose values may be in shell quotes.
func parseOS(section []byte, f *Facts) error {
	v := pairs(section)
	f.OS = OS{
		ID: unquote(v["ID"]), Version: unquote(v["VERSION_ID"]), Name: unquote(v["PRETTY_NAME"]),
		Kernel: v["kernel"], Arch: v["arch"],
	}
	if n, err := strconv.Atoi(v["cpus"]); err == nil && n > 0 && n < 1<<16 {
		f.CPUs = n
	}
	if s, ok := seconds(firstWord(v["uptime"])); ok {
		f.Uptime = s
	}
	if l, err := strconv.ParseFloat(firstWord(v["loadavg"]), 64); err == nil && l >= 0 && l < 1e9 {
		f.Load1 = l
	} else {
		f.Missing = append(f.Missing, "os (load): /proc/loadavg cannot be read")
	}
	if v["reboot"] != "" {
		f.Reboot = v["reboot_for"]
		if f.Reboot == "" {
			f.Reboot = "/run/reboot-required"
		}
	}
	if f.OS.Kernel == "" && f.OS.ID == "" {
		return noReading(f, "os")
	}
	return nil
}

// unquote takes os-release's quotes off; what they protect is kept simple
// there (os-release(5): shell-compatible assignments, no expansion).
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	return strings.NewReplacer(`\"`, `"`, `\$`, `$`, `\\`, `\`, "\\`", "`").Replace(s)
}

func firstWord(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		s = s[:i]
	}
	return s
}

// seconds reads "352735.47", at most some thousand years.
func seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0) || n > 1e9 {
		return 0, false
	}
	return time.Duration(n * float64(time.Second)).Round(time.Millisecond), true
}
