package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxInclude is how deep files may include each other (OpenSSH: readconf.c,
// READCONF_MAX_DEPTH).
const maxInclude = 16

// values are what ssh_config files say about one host: for each keyword, in
// lower case, its arguments. The first value of a keyword holds; some gather.
type values map[string][][]string

// gathering keywords take every value (ssh_config(5)).
var gathering = map[string]bool{"identityfile": true, "certificatefile": true}

func (v values) first(keyword string) string {
	if all := v[keyword]; len(all) > 0 && len(all[0]) > 0 {
		return all[0][0]
	}
	return ""
}

// configReader reads ssh_config files for one host name. It is written here
// because what OpenSSH does with Include inside a Host block, with Match, and
// with quoting decides which machine is reached; kevinburke/ssh_config v1.6
// refuses a whole file for one Match and lets "?" match nothing.
type configReader struct {
	alias   string
	home    string
	system  bool // /etc/ssh: relative includes lie there
	vals    values
	named   bool // a Host names alias itself, not by a pattern
	notices []string
}

func (r *configReader) file(path string, active bool, depth int) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ssh configuration: %w", err)
	}
	on := active
	for i, line := range bytes.Split(b, []byte{'\n'}) {
		place := fmt.Sprintf("%s:%d", path, i+1)
		keyword, args, err := splitLine(string(line))
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		switch keyword {
		case "":
		case "host":
			on = active && matchList(args, r.alias)
			r.named = r.named || on && slices.Contains(args, r.alias)
		case "match":
			on = active && r.match(args, place)
		case "include":
			if err := r.include(args, on, depth, place); err != nil {
				return err
			}
		default:
			if on && (gathering[keyword] || len(r.vals[keyword]) == 0) {
				if len(args) == 0 {
					return fmt.Errorf("%s: %s has no value", place, keyword)
				}
				r.set(keyword, args, place)
			}
		}
	}
	return nil
}

// set keeps a value. Of ProxyJump and ProxyCommand, whichever comes first
// holds (ssh_config(5)).
func (r *configReader) set(keyword string, args []string, place string) {
	if keyword == "proxycommand" {
		args = []string{strings.Join(args, " "), place}
		if len(r.vals["proxyjump"]) > 0 {
			return
		}
	}
	if keyword == "proxyjump" && len(r.vals["proxycommand"]) > 0 {
		return
	}
	r.vals[keyword] = append(r.vals[keyword], args)
}

func (r *configReader) include(globs []string, active bool, depth int, place string) error {
	if depth >= maxInclude {
		return fmt.Errorf("%s: more than %d files include each other", place, maxInclude)
	}
	for _, g := range globs {
		switch {
		case strings.HasPrefix(g, "~/"):
			g = filepath.Join(r.home, g[2:])
		case filepath.IsAbs(g):
		case r.system:
			g = filepath.Join("/etc/ssh", g)
		default:
			g = filepath.Join(r.home, ".ssh", g)
		}
		files, err := filepath.Glob(g)
		if err != nil {
			return fmt.Errorf("%s: include %s: %w", place, g, err)
		}
		for _, f := range files {
			if err := r.file(f, active, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// match evaluates what needs no program to be run and no name to be looked up.
// Anything else does not match, with a notice: it might have mattered.
func (r *configReader) match(args []string, place string) bool {
	result := len(args) > 0
	for i := 0; i < len(args); i++ {
		word, negate := strings.CutPrefix(strings.ToLower(args[i]), "!")
		word, list, joined := strings.Cut(word, "=")
		if joined {
			list = args[i][strings.IndexByte(args[i], '=')+1:]
		}
		if word == "all" {
			continue
		}
		if !joined && i+1 < len(args) {
			i++
			list = args[i]
		}
		name := r.alias
		switch word {
		case "originalhost":
		case "host":
			if h := r.vals.first("hostname"); h != "" {
				name = strings.ReplaceAll(h, "%h", r.alias)
			}
		default:
			r.notices = append(r.notices, fmt.Sprintf("%s: \"Match %s\" is not understood; the block was left out", place, word))
			return false
		}
		if matchList(strings.Split(list, ","), name) == negate {
			result = false
		}
	}
	return result
}

// matchList tells whether name fits one of the patterns and none that begins
// with "!" (ssh_config(5), PATTERNS).
func matchList(patterns []string, name string) bool {
	found := false
	for _, p := range patterns {
		p, negate := strings.CutPrefix(p, "!")
		if matchPattern(p, name) {
			if negate {
				return false
			}
			found = true
		}
	}
	return found
}

// matchPattern knows * (anything) and ? (one character).
func matchPattern(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0: // let the last star take one more
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// splitLine reads "Keyword args…", "Keyword=args…", with quotes, backslashes
// before quotes and blanks, and # for a comment (OpenSSH: misc.c, argv_split).
func splitLine(line string) (keyword string, args []string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", nil, nil
	}
	end := strings.IndexAny(line, " \t=\"")
	if end < 0 {
		return strings.ToLower(line), nil, nil
	}
	keyword = strings.ToLower(line[:end])
	rest := strings.TrimLeft(line[end:], " \t")
	rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), " \t")
	args, err = splitWords(rest)
	return keyword, args, err
}

func splitWords(s string) ([]string, error) {
	var words []string
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' {
			i++
			continue
		}
		if s[i] == '#' {
			break
		}
		var word strings.Builder
		quote := byte(0)
		for ; i < len(s) && (quote != 0 || s[i] != ' ' && s[i] != '\t'); i++ {
			c := s[i]
			switch {
			case c == '\\' && i+1 < len(s) && (strings.IndexByte(`"'\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
				i++
				word.WriteByte(s[i])
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case quote != 0 && c == quote:
				quote = 0
			default:
				word.WriteByte(c)
			}
		}
		if quote != 0 {
			return nil, errors.New("a quote is not closed")
		}
		words = append(words, word.String())
	}
	return words, nil
}
