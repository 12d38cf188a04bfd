package checks

import (
	"path"
	"strings"
)

func init() {
	addFact(fact{name: "cron", limit: 256 << 10, parse: parseCron, script: `
tab() {
	[ -f "$2" ] && [ -r "$2" ] || return 0
	keep 65536 <"$2" | while IFS= read -r l || [ -n "$l" ]; do
		case $l in ''|'#'*) ;; *) printf '%s %s\t%s\n' "$1" "$2" "$l" ;; esac
	done
}
for f in /etc/crontab /etc/cron.d/*; do
	case $f in */.*|*~) ;; *) tab system "$f" ;; esac
done
for d in /var/spool/cron/crontabs /var/spool/cron/tabs /var/spool/cron /etc/crontabs; do
	[ -d $d ] || continue
	[ -r $d ] && [ -x $d ] || { note users "crontabs of users in $d need root"; continue; }
	for f in $d/*; do tab user "$f"; done
done
true`})
}

// parseCron expects lines "system FILE<tab>LINE" or "user FILE<tab>LINE".
// Comments, and lines that only set a variable, are left out.
func parseCron(section []byte, f *Facts) error {
	for line := range lines(section) {
		where, entry, ok := strings.Cut(line, "\t")
		kind, file, ok2 := strings.Cut(where, " ")
		entry = strings.TrimSpace(entry)
		if !ok || !ok2 || entry == "" || entry[0] == '#' || setsVariable(entry) {
			continue
		}
		c := CronLine{File: file, Line: entry, User: path.Base(file)}
		if kind == "system" {
			// m h dom mon dow user command; or @daily user command
			at := 5
			if entry[0] == '@' {
				at = 1
			}
			w := strings.Fields(entry)
			if len(w) <= at+1 {
				continue
			}
			c.User = w[at]
		}
		f.Cron = append(f.Cron, c)
	}
	return nil
}

// setsVariable tells NAME=value from an entry, which begins with a digit, a
// star or @.
func setsVariable(entry string) bool {
	c := entry[0]
	return c == '_' || c == '"' || c == '\'' || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z')
}
