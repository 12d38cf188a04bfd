package steps

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"belay/checks"
)

// Limits against a schema or a configuration that is made to keep belay busy.
// Real ones stay a hundred times below.
const (
	configMost     = 2 << 20    // bytes of each
	configDeepest  = 64         // levels of each
	configNodes    = 200_000    // values in a configuration
	configParts    = 5_000      // mappings in a schema: the library takes time in their square
	configPrograms = 20_000     // instructions of a pattern
	configCost     = 10_000_000 // judgements, about a second each million
	configChain    = 300        // schemas within schemas at one judgement
)

// configVerdict is what a schema says of a configuration, in words that hold
// none of its values: those may be secret.
type configVerdict struct {
	Violations []string
	Unknown    []string // options that the schema does not know
	Deprecated []string
	Notes      []string // what could not be judged
}

// configDecode reads a configuration: JSON, or YAML, of which JSON is a part.
// Errors hold nothing of it but places.
func configDecode(b []byte, asJSON bool) (any, error) {
	if asJSON {
		return configJSON(b, configNodes)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("it is not readable as YAML: %s", configPlace.FindString(err.Error()))
	}
	n := configNodes
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return configYAML(doc.Content[0], configDeepest, &n)
}

// configYAML writes aliases out, up to the limit.
func configYAML(n *yaml.Node, deep int, left *int) (any, error) {
	if *left--; *left < 0 {
		return nil, errConfigMany
	}
	if deep < 0 {
		return nil, errConfigDeep
	}
	switch n.Kind {
	case yaml.AliasNode:
		return configYAML(n.Alias, deep-1, left)
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, x := range n.Content {
			var err error
			if out[i], err = configYAML(x, deep-1, left); err != nil {
				return nil, err
			}
		}
		return out, nil
	case yaml.MappingNode:
		return configMapping(n, deep, left)
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, fmt.Errorf("it is not readable as YAML: line %d", n.Line)
	}
	return configPlain(v, left)
}

// configMapping lets what stands in a mapping win over what is merged into it.
func configMapping(n *yaml.Node, deep int, left *int) (any, error) {
	out, merged := map[string]any{}, map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		v, err := configYAML(n.Content[i+1], deep-1, left)
		if err != nil {
			return nil, err
		}
		if key.Tag != "!!merge" {
			if _, twice := out[key.Value]; twice {
				return nil, fmt.Errorf("line %d: an option stands there twice", key.Line)
			}
			out[key.Value] = v
			continue
		}
		from, several := v.([]any)
		if !several {
			from = []any{v}
		}
		for _, f := range slices.Backward(from) {
			m, _ := f.(map[string]any)
			maps.Copy(merged, m)
		}
	}
	maps.Copy(merged, out)
	return merged, nil
}

var (
	errConfigMany = errors.New("it holds too many values")
	errConfigDeep = fmt.Errorf("it is more than %d levels deep", configDeepest)
)

var configPlace = regexp.MustCompile(`line \d+|$`)

// configJSON reads one JSON value of at most so many mappings, without trusting its depth or its numbers.
func configJSON(b []byte, most int) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	depth, parts := 0, 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && depth == 0 {
			break
		}
		if err != nil {
			line, col := configAt(b, d.InputOffset())
			return nil, fmt.Errorf("it is not readable as JSON: line %d, column %d", line, col)
		}
		if t == json.Delim('{') {
			parts++
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > configDeepest {
				return nil, errConfigDeep
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if parts > most {
			return nil, errConfigMany
		}
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, errors.New("it is not readable as JSON: it is not exactly one value")
	}
	n := configNodes
	return configPlain(v, &n)
}

func configAt(b []byte, offset int64) (line, col int) {
	b = b[:min(int(offset), len(b))]
	return bytes.Count(b, []byte{'\n'}) + 1, len(b) - bytes.LastIndexByte(b, '\n')
}

// configPlain brings a value into the form that a schema judges, and refuses
// numbers that would take memory without end to be compared.
func configPlain(v any, left *int) (any, error) {
	if *left--; *left < 0 {
		return nil, errConfigMany
	}
	var err error
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if v[k], err = configPlain(x, left); err != nil {
				return nil, err
			}
		}
		return v, nil
	case []any:
		for i, x := range v {
			if v[i], err = configPlain(x, left); err != nil {
				return nil, err
			}
		}
		return v, nil
	case nil, bool, string:
		return v, nil
	}
	text := fmt.Sprint(v)
	if _, err := strconv.ParseFloat(text, 64); err != nil || len(text) > 400 {
		if _, number := v.(json.Number); number {
			return nil, errors.New("it holds a number that is too large")
		}
		return text, nil // a time, or what else YAML knows
	}
	if strings.ContainsAny(text, "nN") { // NaN and Inf, which JSON has not
		return text, nil
	}
	return json.Number(text), nil
}

// configJudge judges a configuration by a schema. It contacts nobody: what a
// schema refers to must be in it. The error says why it cannot be judged.
func configJudge(schema []byte, config any) (v configVerdict, err error) {
	// The library is not written for schemas that want to break it.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("schema: it cannot be judged by: %s", checks.OneLine(fmt.Sprint(p), 200))
		}
	}()
	doc, err := configJSON(schema, configParts)
	if err != nil {
		return v, fmt.Errorf("schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(configNoLoader{})
	patterns := &configPatterns{}
	c.UseRegexpEngine(patterns.compile)
	c.RegisterVocabulary(&jsonschema.Vocabulary{URL: "belay:notes", Compile: configNoteOf})
	c.AssertVocabs()
	const url = "belay:///schema"
	if err := c.AddResource(url, doc); err != nil {
		return v, fmt.Errorf("schema: %s", checks.OneLine(err.Error(), 300))
	}
	s, err := c.Compile(url)
	if err != nil {
		return v, fmt.Errorf("schema: %s", checks.OneLine(err.Error(), 300))
	}
	w := &configWalk{memo: map[configPair]int64{}}
	root := w.tree(nil, config)
	if w.visit(s, root, true, 0); w.err != nil {
		return v, fmt.Errorf("schema: %w", w.err)
	}
	var invalid *jsonschema.ValidationError
	if err := s.Validate(config); errors.As(err, &invalid) {
		v.Violations = (&configWords{root}).all(invalid)
	} else if err != nil {
		return v, fmt.Errorf("schema: %s", checks.OneLine(err.Error(), 300))
	}
	root.options(&v)
	v.Notes = patterns.notes
	return v, nil
}

// configNoLoader fetches nothing, neither from the network nor from a file.
type configNoLoader struct{}

func (configNoLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("the schema refers to %.200q, which is not part of it, and nothing is fetched: bundle it into one file", url)
}

// configPatterns compiles patterns in time linear in what they match. What Go
// does not know (looking ahead and back) or what is too large matches anything,
// and is noted.
type configPatterns struct{ notes []string }

type configPattern struct {
	*regexp.Regexp // nil: matches anything
	text           string
	cost           int64 // a letter
}

func (p configPattern) String() string { return p.text }

func (p configPattern) MatchString(s string) bool { return p.Regexp == nil || p.Regexp.MatchString(s) }

func (p *configPatterns) compile(text string) (jsonschema.Regexp, error) {
	out := configPattern{text: text, cost: 1}
	re, err := regexp.Compile(text)
	why := "Go's regular expressions do not know it"
	if err == nil {
		if tree, err := syntax.Parse(text, syntax.Perl); err == nil {
			if prog, err := syntax.Compile(tree.Simplify()); err == nil {
				out.cost = int64(len(prog.Inst))
			}
		}
		if why = "it is too large"; out.cost <= configPrograms {
			out.Regexp = re
		}
	}
	if out.Regexp == nil {
		out.cost = 1
		note := fmt.Sprintf("the pattern %.100q was not judged: %s", text, why)
		if !slices.Contains(p.notes, note) && len(p.notes) < 20 {
			p.notes = append(p.notes, note)
		}
	}
	return out, nil
}

// configNote is what a schema says to people of an option.
type configNote struct{ deprecated string }

// Validate finds no fault: a note is not a rule.
func (configNote) Validate(*jsonschema.ValidatorContext, any) {}

var configSaysDeprecated = regexp.MustCompile(`(?i)[^.!\n]*\bdeprecated\b[^\n]*`)

// configNoteOf reads the notes of one schema: the keyword of drafts since 2019
// in all drafts, what editors know besides, and the description's own words.
func configNoteOf(_ *jsonschema.CompilerContext, obj map[string]any) (jsonschema.SchemaExt, error) {
	said := ""
	for _, key := range []string{"deprecationMessage", "description", "title", "$comment"} {
		text, _ := obj[key].(string)
		if key != "deprecationMessage" {
			text = configSaysDeprecated.FindString(text)
		}
		if said == "" {
			said = strings.TrimSpace(checks.OneLine(text, 200))
		}
	}
	if said == "" && (obj["deprecated"] == true || obj["x-deprecated"] == true) {
		said = "the schema calls it deprecated"
		if text, _ := obj["description"].(string); text != "" {
			said += ": " + checks.OneLine(text, 200)
		}
	}
	if said == "" {
		return nil, nil
	}
	return configNote{said}, nil
}
