package steps

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name: "config.schema",
		Summary: "Judges a JSON or YAML configuration by a JSON Schema from a file, a URL or inside of an image: every violation by its path, " +
			"and options that are unknown or deprecated; it changes nothing.",
		Example: `- step: Judge the configuration by the new version's schema
  on: chat
  config.schema:
    config: /opt/fluxer/config/config.json
    schema: {image: "ghcr.io/fluxerapp/fluxer-server:v1.3.0", path: /app/packages/config/src/ConfigSchema.json}
`,
		New: func() Step { return &configSchema{} },
	})
}

type configSchema struct {
	Config     string           `yaml:"config" required:"" doc:"absolute path of the configuration"`
	Format     string           `yaml:"format" enum:"auto|json|yaml" default:"auto" doc:"what it is; auto goes by its name, and takes JSON where that ends with .json"`
	Schema     configSchemaFrom `yaml:"schema" required:"" doc:"where the JSON Schema is (drafts 4 to 2020-12); what it refers to must be in it"`
	Unknown    string           `yaml:"unknown" enum:"warn|block|allow" default:"warn" doc:"options that the schema neither knows nor forbids"`
	Deprecated string           `yaml:"deprecated" enum:"warn|block|allow" default:"warn" doc:"options that the schema calls deprecated"`
}

type configSchemaFrom struct {
	File  string `yaml:"file" scalar:"" doc:"absolute path on the host"`
	URL   string `yaml:"url" doc:"http or https, fetched by the host with curl or wget"`
	Image string `yaml:"image" doc:"image on the host that has it inside; a container is made of it, never started, and removed"`
	Path  string `yaml:"path" doc:"its absolute path inside of the image"`
}

func (c *configSchema) Validate() error {
	errs := []error{fileCheckPath("config", c.Config)}
	from, n := c.Schema, 0
	for _, s := range []string{from.File, from.URL, from.Image} {
		if s != "" {
			n++
		}
	}
	if n != 1 {
		errs = append(errs, Field("schema", "say one of file, url and image"))
	}
	if from.File != "" {
		errs = append(errs, fileCheckPath("schema.file", from.File))
	}
	if low := strings.ToLower(from.URL); low != "" && !strings.HasPrefix(low, "https://") && !strings.HasPrefix(low, "http://") || strings.ContainsAny(low, " \n\x00") {
		errs = append(errs, Field("schema.url", "it does not begin with https:// or http://, or holds a space"))
	}
	if u, err := url.Parse(from.URL); err != nil || u.User != nil {
		errs = append(errs, Field("schema.url", "it is no URL, or holds a password, which everybody on the host would see"))
	}
	if from.Image != "" && !dockerSource.MatchString(from.Image) {
		errs = append(errs, Field("schema.image", "%q is not the name of an image", from.Image))
	}
	switch {
	case from.Image != "":
		errs = append(errs, fileCheckPath("schema.path", from.Path))
	case from.Path != "":
		errs = append(errs, Field("schema.path", "it is a path inside of an image, and there is no image"))
	}
	return errors.Join(errs...)
}

// Needs asks for what the schema is fetched with. The configuration itself may
// be written by an earlier step.
func (c *configSchema) Needs(on string) []checks.Check {
	switch {
	case c.Schema.URL != "":
		return []checks.Check{&checks.ToolCheck{On: fileOn(on), Any: []string{"curl", "wget"}}}
	case c.Schema.Image != "":
		return []checks.Check{&dockerNeed{on: on, key: c.Config}}
	}
	return nil
}

func (c *configSchema) Repeatable() bool { return true }

// String says where the schema comes from.
func (f configSchemaFrom) String() string {
	switch {
	case f.Image != "":
		return f.Path + " of " + f.Image
	case f.URL != "":
		return f.URL
	}
	return f.File
}

// configJudged is remembered: what was judged, by what, and the outcome.
type configJudged struct {
	Config string    `json:"config"` // SHA-256
	Schema string    `json:"schema"` // SHA-256, or the ID of the image that has it
	OK     bool      `json:"ok"`
	Text   string    `json:"text"`
	At     time.Time `json:"at"`
}

const configJudgedKey = "judged"

func (c *configSchema) remembered(e Env) (j configJudged, found bool, err error) {
	if e.Memory == nil {
		return j, false, nil
	}
	found, err = e.Memory.Get(configJudgedKey, &j)
	return j, found, err
}

func configSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Pending judges where that needs no container; a verdict that stands is not
// made again.
func (c *configSchema) Pending(ctx context.Context, e Env) ([]Change, error) {
	config, err := c.config(ctx, e.Host)
	if err != nil {
		return nil, err
	}
	by, schema, err := c.look(ctx, e)
	if err != nil {
		return nil, err
	}
	was, found, err := c.remembered(e)
	if err != nil || found && was.OK && by != "" && was.Schema == by && was.Config == configSum(config) {
		return nil, err
	}
	text := fmt.Sprintf("judge %s by %s", c.Config, c.Schema)
	switch {
	case c.Schema.Image != "" && by == "":
		text += "; the image is not here yet"
	case c.Schema.Image != "":
		text += " (taken out of the image without starting it)"
	default:
		v, err := c.judge(config, schema)
		if err != nil {
			return nil, err
		}
		_, said := c.outcome(v)
		text += " (now: " + said + ")"
	}
	return []Change{{Text: text}}, nil
}

// judge is the verdict on what was read.
func (c *configSchema) judge(config, schema []byte) (configVerdict, error) {
	asJSON := c.Format == "json" || c.Format != "yaml" && strings.EqualFold(path.Ext(c.Config), ".json")
	v, err := configDecode(config, asJSON)
	if err != nil {
		return configVerdict{}, fmt.Errorf("configuration %s: %w; nothing was changed", c.Config, err)
	}
	verdict, err := configJudge(schema, v)
	if err != nil {
		return verdict, fmt.Errorf("%s: %w; nothing was changed", c.Schema, err)
	}
	return verdict, nil
}

// outcome tells whether the plan may go on, and why in a line.
func (c *configSchema) outcome(v configVerdict) (ok bool, said string) {
	ok = len(v.Violations) == 0
	var parts []string
	add := func(rule string, what string, all []string) {
		if len(all) == 0 || rule == "allow" {
			return
		}
		ok = ok && rule != "block"
		parts = append(parts, fmt.Sprintf("%d %s: %s", len(all), what, fileSome(all, 5)))
	}
	add("block", "violations", v.Violations)
	add(c.Unknown, "unknown options", v.Unknown)
	add(c.Deprecated, "deprecated options", v.Deprecated)
	if len(parts) == 0 {
		return ok, "it is valid"
	}
	if ok {
		parts = slices.Insert(parts, 0, "it is valid")
	}
	return ok, strings.Join(parts, "; ")
}

// Apply judges, and fails where the configuration is not valid.
func (c *configSchema) Apply(ctx context.Context, e Env) error {
	config, err := c.config(ctx, e.Host)
	if err != nil {
		return err
	}
	by, schema, err := c.fetch(ctx, e)
	if err != nil {
		return err
	}
	v, err := c.judge(config, schema)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		word string
		all  []string
	}{{"violation", v.Violations}, {"warning: unknown", v.Unknown}, {"warning: deprecated", v.Deprecated}, {"note", v.Notes}} {
		for _, text := range part.all {
			fmt.Fprintf(e.Log, "%s: %s\n", part.word, text)
		}
	}
	ok, said := c.outcome(v)
	if err := e.Memory.Put(configJudgedKey, configJudged{Config: configSum(config), Schema: by, OK: ok, Text: said, At: time.Now().UTC()}); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("configuration %s, judged by %s: %s; all are in the step's log. Nothing was changed: correct it and try again", c.Config, c.Schema, said)
	}
	fmt.Fprintf(e.Log, "%s: %s\n", c.Config, said)
	return nil
}

// Verify asks the host for the sum of the file that was judged.
func (c *configSchema) Verify(ctx context.Context, e Env) error {
	was, found, err := c.remembered(e)
	if err != nil {
		return err
	}
	if !found || !was.OK {
		return fmt.Errorf("configuration %s was not judged to be valid", c.Config)
	}
	cmd := remote.Sh(`sha256sum <"$1"`, c.Config)
	cmd.Pure = true
	out, err := remote.Output(ctx, e.Host, cmd)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", c.Config, err)
	}
	if sum, _, _ := strings.Cut(string(out), " "); sum != was.Config {
		return fmt.Errorf("configuration %s is not the one that was judged: somebody changed it since; try again", c.Config)
	}
	return nil
}

// Undo has nothing to take back but a container that a crash left.
func (c *configSchema) Undo(ctx context.Context, e Env) error { return c.clear(ctx, e) }

// ProofFor: a person may edit the configuration at any time.
func (c *configSchema) ProofFor() time.Duration { return 5 * time.Minute }

// Proof is the latest verdict.
func (c *configSchema) Proof(e Env) (text string, ok bool, at time.Time, found bool, err error) {
	was, found, err := c.remembered(e)
	return was.Text, was.OK, was.At, found, err
}

// Prove judges anew, or where the schema is inside of an image, sees that the
// image and the configuration are those that were judged.
func (c *configSchema) Prove(ctx context.Context, e Env) (string, error) {
	was, _, err := c.remembered(e)
	if err != nil {
		return "", err
	}
	config, err := c.config(ctx, e.Host)
	if err != nil {
		return "", err
	}
	by, schema, err := c.look(ctx, e)
	if err != nil {
		return "", err
	}
	now := configJudged{Config: configSum(config), Schema: by, At: time.Now().UTC()}
	switch {
	case now.Config == was.Config && by == was.Schema && by != "":
		now.OK, now.Text = was.OK, was.Text
	case c.Schema.Image != "":
		now.Text = "the configuration or the image has changed since it was judged"
	default:
		v, err := c.judge(config, schema)
		if err != nil {
			return "", err
		}
		now.OK, now.Text = c.outcome(v)
	}
	if err := e.Memory.Put(configJudgedKey, now); err != nil {
		return "", err
	}
	if !now.OK {
		return "", &Disproof{c.Config + ": " + now.Text}
	}
	return now.Text, nil
}

// Recheck judges a configuration that a person has corrected.
func (c *configSchema) Recheck(ctx context.Context, e Env) ([]Change, error) {
	if c.Schema.Image != "" {
		return nil, errors.New("the schema is inside of an image, which looking does not open: try again")
	}
	_, err := c.Prove(ctx, e)
	if wrong, ok := errors.AsType[*Disproof](err); ok {
		return []Change{{Text: "correct " + wrong.Text}}, nil
	}
	return nil, err
}

var _ interface {
	Undoer
	Rechecker
	Repeater
	Validator
	Needer
	Prover
} = &configSchema{}
