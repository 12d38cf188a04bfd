package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"strings"
)

// forms lists how a secret may be written: each of at least MinLen bytes.
func forms(text string) []string {
	var all []string
	add := func(fs ...string) {
		for _, f := range fs {
			if len(f) >= MinLen {
				all = append(all, f)
			}
		}
	}
	if len(text) < MinLen {
		return nil
	}
	add(written(text)...)
	if strings.ContainsAny(text, "\r\n") {
		for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
			if line = strings.TrimSpace(line); len(line) >= MinLen {
				add(written(line)...)
			}
		}
	}
	return all
}

func written(s string) []string {
	query, path := url.QueryEscape(s), url.PathEscape(s)
	fs := []string{
		s,
		jsonText(s, true), jsonText(s, false),
		query, path, lowerHex(query), lowerHex(path), everyByte(s), lowerHex(everyByte(s)),
		hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))),
		html.EscapeString(s),
		strings.ReplaceAll(s, "'", `'\''`), strings.ReplaceAll(s, "'", `'"'"'`),
	}
	// Terminals and text logs turn LF into CR LF.
	if strings.Contains(s, "\n") {
		fs = append(fs, strings.ReplaceAll(s, "\n", "\r\n"))
	}
	return append(fs, base64Forms(s)...)
}

func jsonText(s string, escapeHTML bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	if enc.Encode(s) != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}

var percent = regexp.MustCompile(`%[0-9A-F]{2}`)

func lowerHex(s string) string { return percent.ReplaceAllStringFunc(s, strings.ToLower) }

func everyByte(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte('%')
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
	}
	return b.String()
}

// base64Forms are the secret alone, padded or not, and the characters that
// depend on nothing but the secret where it stands at each of the three
// alignments inside something longer.
func base64Forms(s string) []string {
	var fs []string
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		// The padded form is the unpadded one and "=": found by it.
		fs = append(fs, enc.EncodeToString([]byte(s)))
		for before := range 3 {
			text := enc.EncodeToString(append(make([]byte, before), s...))
			from := (before*8 + 5) / 6
			to := (before + len(s)) * 8 / 6
			// Five characters are 30 bits: as rare as a secret of MinLen.
			if to-from >= 5 {
				fs = append(fs, text[from:to])
			}
		}
	}
	return fs
}
