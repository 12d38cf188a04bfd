package steps

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// fileLineEdit is what is asked of the lines of any text file.
type fileLineEdit struct {
	Ensure  []string          `yaml:"ensure" doc:"lines that must stand in the file; a missing one is added at its end"`
	Remove  []string          `yaml:"remove" doc:"regular expressions; every line that one of them matches is taken out"`
	Replace []fileLineReplace `yaml:"replace" doc:"what is replaced within lines; doing it twice must equal doing it once"`
}

type fileLineReplace struct {
	Match string `yaml:"match" required:"" doc:"regular expression, looked for in each line"`
	With  string `yaml:"with" doc:"what stands there instead; $1 or ${1} is the first group, $$ a dollar sign"`
}

// apply edits text. Order: remove, replace, ensure.
func (ed fileLineEdit) apply(text string) (string, error) {
	once, err := ed.pass(text)
	if err != nil {
		return "", err
	}
	twice, err := ed.pass(once)
	if err != nil {
		return "", err
	}
	if once != twice {
		return "", Field("lines", "doing it again would change the file again, so a repeated step would spoil it: "+
			"anchor the expressions (^…$), or let them not match what they write")
	}
	return once, nil
}

func (ed fileLineEdit) pass(text string) (string, error) {
	lines := fileLines(text)
	for i, expr := range ed.Remove {
		re, err := regexp.Compile(expr)
		if err != nil {
			return "", Field(fmt.Sprintf("lines.remove.%d", i), "%w", err)
		}
		lines = slices.DeleteFunc(lines, func(l string) bool { return re.MatchString(fileBare(l)) })
	}
	for i, r := range ed.Replace {
		re, err := regexp.Compile(r.Match)
		if err != nil {
			return "", Field(fmt.Sprintf("lines.replace.%d.match", i), "%w", err)
		}
		for j, l := range lines {
			bare := fileBare(l)
			lines[j] = re.ReplaceAllString(bare, r.With) + l[len(bare):]
		}
	}
	br := fileBreak(text)
	for _, want := range ed.Ensure {
		if slices.ContainsFunc(lines, func(l string) bool { return fileBare(l) == want }) {
			continue
		}
		if n := len(lines); n > 0 && !strings.HasSuffix(lines[n-1], "\n") {
			lines[n-1] += br
			lines = append(lines, want)
			continue
		}
		lines = append(lines, want+br)
	}
	return strings.Join(lines, ""), nil
}

// fileBare is a line without its break.
func fileBare(l string) string { return strings.TrimSuffix(strings.TrimSuffix(l, "\n"), "\r") }

func (ed fileLineEdit) validate() []error {
	var errs []error
	oneLine := func(field, s string) {
		if strings.ContainsAny(s, "\n\r\x00") {
			errs = append(errs, Field(field, "must be a single line"))
		}
	}
	compile := func(field, s string) *regexp.Regexp {
		re, err := regexp.Compile(s)
		if err != nil {
			errs = append(errs, Field(field, "%w", err))
		}
		return re
	}
	var removes []*regexp.Regexp
	for i, s := range ed.Remove {
		if re := compile(fmt.Sprintf("lines.remove.%d", i), s); re != nil {
			removes = append(removes, re)
		}
	}
	for i, r := range ed.Replace {
		compile(fmt.Sprintf("lines.replace.%d.match", i), r.Match)
		oneLine(fmt.Sprintf("lines.replace.%d.with", i), r.With)
	}
	for i, s := range ed.Ensure {
		field := fmt.Sprintf("lines.ensure.%d", i)
		oneLine(field, s)
		for _, re := range removes {
			if re.MatchString(s) {
				errs = append(errs, Field(field, "lines.remove takes this very line out (%s)", re))
			}
		}
	}
	return errs
}
