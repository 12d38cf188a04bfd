package draft

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// page collects the lines of a plan.
type page struct{ strings.Builder }

// line writes one line; texts among the values are quoted where YAML needs it.
func (p *page) line(format string, values ...any) {
	for i, v := range values {
		if s, ok := v.(string); ok {
			values[i] = quote(s)
		}
	}
	fmt.Fprintf(p, format+"\n", values...)
}

// raw writes lines as they are.
func (p *page) raw(text string) { p.WriteString(text) }

// noteWidth is what a screen of 80 columns shows of a line.
const noteWidth = 78

// note writes a comment, wrapped. What came from a host stands on one line.
func (p *page) note(indent, text string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(indent)+len("# ")+len(line)+len(" ")+len(word) > noteWidth {
			fmt.Fprintf(p, "%s# %s\n", indent, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	fmt.Fprintf(p, "%s# %s\n", indent, line)
}

// flowText is what YAML takes for a text also without quotes, in a flow mapping
// too.
var (
	loginText = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	flowText  = regexp.MustCompile(`^[A-Za-z_/]([A-Za-z0-9_./@ -]*[A-Za-z0-9_./@-])?$`)
	notText   = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|null|y|n|\.inf|\.nan)$`)
)

// quote writes a text so that a plan reads it as that text.
func quote(s string) string {
	if flowText.MatchString(s) && !notText.MatchString(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
			return '?' // no plan may hold what cannot be seen
		}
		return r
	}, s)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(strings.ReplaceAll(s, "${{", "$${{")) // a string always can be
	return strings.TrimSuffix(b.String(), "\n")
}

// quotes is a flow list.
func quotes(all []string) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = quote(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}
