package inspect

import (
	"regexp"

	"belay/checks"
)

// hidden stands for a value that may be secret.
const hidden = "***"

// tidy is s harmless and on one line, at most max runes.
func tidy(s string, max int) string { return checks.OneLine(s, max) }

const (
	word     = `(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s;|&)"']+)+`
	telltale = `(?:pass(?:wd|word|phrase)?|pwd|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|encryption[-_.]?key|master[-_.]?key|signing[-_.]?key|credentials?|auth|requirepass|masterauth|dsn|salt)`
)

// masks are tried in this order; $1 and $2 are kept.
var masks = []struct {
	find *regexp.Regexp
	put  string
}{
	// scheme://user:password@host, also without a password: it may be a token
	{regexp.MustCompile(`(\w://)[^\s/@"']*@`), "${1}" + hidden + "@"},
	// Authorization: Bearer x
	{regexp.MustCompile(`(?i)\b((?:bearer|basic|digest)\s+)[A-Za-z0-9._~+/=-]{6,}`), "${1}" + hidden},
	// JSON Web Tokens and keys with a known beginning
	{regexp.MustCompile(`\b(?:eyJ[A-Za-z0-9_-]{8,}[A-Za-z0-9._-]*|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|sk-[A-Za-z0-9_-]{16,})`), hidden},
	// an assignment to the environment, whatever its name
	{regexp.MustCompile(`((?:^|[\s;&|("'])(?:export\s+)?[A-Z_][A-Z0-9_]*=)` + word), "${1}" + hidden},
	// password=x, --db-password=x, token: x, {"apiKey":"x"}
	{regexp.MustCompile(`(?i)([\w.-]*` + telltale + `[\w.-]*["']?\s*[=:]\s*)` + word), "${1}" + hidden},
	// --password x, --requirepass x
	{regexp.MustCompile(`(?i)((?:^|\s)-{1,2}[\w.-]*` + telltale + `[\w.-]*\s+)` + word), "${1}" + hidden},
	// mysql -psecret, redis-cli -a x, sshpass -p x, curl -u name:x, wget/ldapsearch -w x
	{regexp.MustCompile(`((?:mysql|mariadb)\S*(?:\s[^|;&]*?)?\s-p)` + word), "${1}" + hidden},
	{regexp.MustCompile(`(redis-cli(?:\s[^|;&]*?)?\s-a\s*)` + word), "${1}" + hidden},
	{regexp.MustCompile(`(sshpass(?:\s[^|;&]*?)?\s-p\s*)` + word), "${1}" + hidden},
	{regexp.MustCompile(`(curl(?:\s[^|;&]*?)?\s(?:-u|--user)[\s=]*)` + word), "${1}" + hidden},
	{regexp.MustCompile(`(ldap\w+(?:\s[^|;&]*?)?\s-w\s*)` + word), "${1}" + hidden},
}

// mask hides what looks like a secret in a command line, and every value that
// it puts into an environment. It is a net, not a proof: a secret that is an
// argument like any other passes.
func mask(s string) string {
	for _, m := range masks {
		s = m.find.ReplaceAllString(s, m.put)
	}
	return s
}

// command is a command line for people: masked, harmless, and not endless.
// Masking goes first, so that nothing is cut in the middle of a secret.
func command(s string) string { return tidy(mask(tidy(s, 8000)), 1000) }
