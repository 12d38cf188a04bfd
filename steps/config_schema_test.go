package steps

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
)

// fluxerSchema is what scenario 2 tells of its configuration in version 2.
const fluxerSchema = `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "required": ["domain", "services"],
  "properties": {
    "domain": {"type": "string", "format": "hostname"},
    "log_level": {"enum": ["debug", "info", "warn"]},
    "database": {"$ref": "#/definitions/database"},
    "telemetry": {"type": "object", "properties": {"enabled": {"type": "boolean"}, "otlp_endpoint": {"type": "string"}}},
    "services": {
      "type": "object", "additionalProperties": false,
      "properties": {"queue": {
        "type": "object", "required": ["storage_backend"], "additionalProperties": false,
        "properties": {"storage_backend": {"enum": ["filesystem", "s3"]}, "filesystem": {"type": "object", "properties": {"path": {"type": "string", "minLength": 1}}}}
      }}
    },
    "auth": {"type": "object", "properties": {
      "sudo_mode_secret": {"type": "string", "pattern": "^[0-9a-f]{8,}$"},
      "session_secret": {"type": "string", "description": "Signs cookies. Deprecated since v1.9: use sudo_mode_secret."}
    }},
    "peers": {"type": "array", "uniqueItems": true, "items": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}}]}}
  },
  "patternProperties": {"^x-": {}},
  "definitions": {"database": {"type": "object", "properties": {"migration_timeout_ms": {"type": "integer", "minimum": 1000}, "engine": {"type": "string", "deprecated": true}}}}
}`

const fluxerBad = `{
  "domian": "chat.example.org",
  "log_level": "verbose",
  "x-own": {"anything": 1},
  "database": {"migration_timeout_ms": 300, "engine": "sqlite", "migration_timout_ms": 1},
  "telemetry": {"enable": true},
  "services": {"queue": {"data_dir": "./data/queue"}},
  "auth": {"session_secret": "hunter2hunter2", "sudo_mode_secret": "hunter3"},
  "peers": ["a", {"ulr": "b"}, "a"]
}`

func TestConfigJudge(t *testing.T) {
	config, err := configDecode([]byte(fluxerBad), true)
	if err != nil {
		t.Fatal(err)
	}
	v, err := configJudge([]byte(fluxerSchema), config)
	if err != nil {
		t.Fatal(err)
	}
	want := configVerdict{
		Violations: []string{
			`auth.sudo_mode_secret does not match the pattern "^[0-9a-f]{8,}$"`,
			`database.migration_timeout_ms is less than 1000`,
			`domain is missing`,
			`log_level must be one of "debug", "info", "warn"`,
			`peers has equal items, numbers 0 and 2`,
			`peers[1].url is missing (in the nearest of the 2 forms of peers[1])`,
			`services.queue.data_dir is no option here`,
			`services.queue.storage_backend is missing`,
		},
		Unknown: []string{
			`database.migration_timout_ms is not an option that the schema knows`,
			`domian is not an option that the schema knows; did you mean "domain"?`,
			`peers[1].ulr is not an option that the schema knows; did you mean "url"?`,
			`telemetry.enable is not an option that the schema knows; did you mean "enabled"?`,
		},
		Deprecated: []string{
			`auth.session_secret: Deprecated since v1.9: use sudo_mode_secret.`,
			`database.engine: the schema calls it deprecated`,
		},
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Error(diff)
	}
	if said := fmt.Sprint(v); strings.Contains(said, "hunter") || strings.Contains(said, "verbose") {
		t.Errorf("a value of the configuration is told: %s", said)
	}
	const good = "domain: chat.example.org\nservices:\n  queue: &q {storage_backend: s3}\nx-anchor: *q\nlog_level: info\n"
	if config, err = configDecode([]byte(good), false); err != nil {
		t.Fatal(err)
	}
	if v, err := configJudge([]byte(fluxerSchema), config); err != nil || len(v.Violations)+len(v.Unknown)+len(v.Deprecated)+len(v.Notes) > 0 {
		t.Errorf("a good one: %+v, %v", v, err)
	}
}

func TestConfigJudgeOfOtherDrafts(t *testing.T) {
	for name, c := range map[string]struct {
		schema, config string
		want           configVerdict
	}{
		"2020-12, tuples": {`{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{"a":{"prefixItems":[{"type":"string"}],"items":{"type":"integer","deprecated":true}}}}`,
			`{"a":["x","y"]}`, configVerdict{Violations: []string{"a[1] is of type string, not integer"}, Deprecated: []string{"a[1]: the schema calls it deprecated"}}},
		"draft 4, open": {`{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"a":{"maximum":3,"exclusiveMaximum":true}},"additionalProperties":true}`,
			`{"a":3,"b":4}`, configVerdict{Violations: []string{"a is not less than 3"}}},
		"2019-09, unevaluated": {`{"$schema":"https://json-schema.org/draft/2019-09/schema","allOf":[{"properties":{"port":{}}}],"unevaluatedProperties":false}`,
			`{"prot":1}`, configVerdict{Violations: []string{`prot is not allowed here; did you mean "port"?`}}},
		"a pattern that Go does not know": {`{"properties":{"a":{"pattern":"^(?!x)"}}}`,
			`{"a":"x"}`, configVerdict{Notes: []string{`the pattern "^(?!x)" was not judged: Go's regular expressions do not know it`}}},
		"no object": {`{"type":"object"}`, `[1]`, configVerdict{Violations: []string{"(the whole) is of type array, not object"}}},
		"one of":    {`{"oneOf":[{"type":"object"},{"required":["a"]}]}`, `{"a":1}`, configVerdict{Violations: []string{"(the whole) matches 2 of the forms of which it may have one"}}},
		"odd names": {`{"additionalProperties":{"type":"integer"}}`, "{\"a\\nb\":\"x\"}", configVerdict{Violations: []string{`["a\nb"] is of type string, not integer`}}},
	} {
		config, err := configDecode([]byte(c.config), true)
		if err != nil {
			t.Fatal(err)
		}
		v, err := configJudge([]byte(c.schema), config)
		if diff := cmp.Diff(c.want, v); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

// TestConfigJudgeHostile: what is made to keep belay busy, to break it or to
// have it fetch something is refused, soon.
func TestConfigJudgeHostile(t *testing.T) {
	double := `{"$ref":"#/$defs/d0","$defs":{`
	for i := range 60 {
		double += fmt.Sprintf(`"d%d":{"not":{"anyOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]}},`, i, i+1, i+1)
	}
	double += `"d60":{"type":"object"}}}`
	chain := `{"$ref":"#/$defs/d0","$defs":{`
	for i := range 4_000 {
		chain += fmt.Sprintf(`"d%d":{"$ref":"#/$defs/d%d"},`, i, i+1)
	}
	chain += `"d4000":{}}}`
	loader := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("something was fetched") }))
	defer loader.Close()
	own := filepath.Join(t.TempDir(), "own.json")
	fileWrite(t, own, `{"type":"string"}`, 0o644)
	for name, c := range map[string]struct{ schema, config, want string }{
		"doubling":         {double, `5`, "too many steps"},
		"a long chain":     {chain, `5`, "refer to each other in a row"},
		"many parts":       {`{"anyOf":[` + strings.Repeat(`{},`, 20_000) + `{}]}`, `5`, "too many values"},
		"deep":             {strings.Repeat(`{"not":`, 5000) + `{}` + strings.Repeat(`}`, 5000), `5`, "levels deep"},
		"a deep config":    {`{}`, strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000), "levels deep"},
		"itself":           {`{"$ref":"#"}`, `5`, "refers to itself without end"},
		"remote":           {`{"$ref":"` + loader.URL + `/x.json"}`, `5`, "nothing is fetched"},
		"remote meta":      {`{"$schema":"` + loader.URL + `/x.json"}`, `5`, "nothing is fetched"},
		"a file":           {`{"$ref":"file://` + own + `"}`, `5`, "nothing is fetched"},
		"a relative file":  {`{"$ref":"other.json"}`, `5`, "nothing is fetched"},
		"dynamic":          {`{"$dynamicAnchor":"x","properties":{"a":{"$dynamicRef":"#x"}}}`, `{"a":1}`, "$dynamicRef"},
		"a huge number":    {`{"multipleOf":3}`, `1e999999999`, "a number that is too large"},
		"a huge factor":    {`{"multipleOf":1e-999999999}`, `5`, "schema: "},
		"no schema":        {`{"type":"strnig"}`, `5`, "schema: "},
		"no JSON":          {`{"type":`, `5`, "not readable as JSON: line 1"},
		"two values":       {`{} {}`, `5`, "not exactly one value"},
		"a wrong draft":    {`{"$schema":5}`, `5`, ""},
		"a bad ref":        {`{"$ref":"#/$defs/nowhere"}`, `5`, "schema: "},
		"a heavy pattern":  {`{"items":{"pattern":"(a?){900}b"}}`, `["` + strings.Repeat("a", 900_000) + `"]`, "too many steps"},
		"a larger pattern": {`{"pattern":"((a{100}){10}){9}(\\pL{100}){10}"}`, `"x"`, "was not judged"},
	} {
		config, err := configDecode([]byte(c.config), true)
		var v configVerdict
		if err == nil {
			v, err = configJudge([]byte(c.schema), config)
		}
		if said := fmt.Sprint(err, v.Violations, v.Notes); !strings.Contains(said, c.want) {
			t.Errorf("%s: %.300s, want %q", name, said, c.want)
		}
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'j'; i++ {
		bomb += fmt.Sprintf("%c: &%c [%[3]s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", i-1), 10), ","))
	}
	if _, err := configDecode([]byte(bomb), false); err == nil {
		t.Error("a bomb of YAML was taken")
	}
	if _, err := configDecode([]byte("password: geheim\n\tport: 1"), false); err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "line ") {
		t.Errorf("no YAML: %v", err)
	}
}

func TestConfigSchemaOnAHost(t *testing.T) {
	dir := t.TempDir()
	config, schema := dir+"/config.json", dir+"/schema.json"
	fileWrite(t, config, fluxerBad, 0o600)
	fileWrite(t, schema, fluxerSchema, 0o644)
	c := &configSchema{Config: config, Format: "auto", Schema: configSchemaFrom{File: schema}, Unknown: "warn", Deprecated: "warn"}
	e := newFileEnv(nil)
	e.Host = remote.Local("chat")
	if todo := e.pending(t, c); len(todo) != 1 || !strings.Contains(todo[0].Text, "(now: 8 violations: ") {
		t.Errorf("pending: %+v", todo)
	}
	err := c.Apply(t.Context(), e.Env)
	if err == nil || !strings.Contains(err.Error(), "8 violations") || !strings.Contains(err.Error(), "Nothing was changed") {
		t.Errorf("apply: %v", err)
	}
	for _, want := range []string{"violation: domain is missing\n", "warning: unknown: domian is not", "warning: deprecated: database.engine: "} {
		if !strings.Contains(e.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, e.log.String())
		}
	}
	if todo, err := c.Recheck(t.Context(), e.Env); err != nil || len(todo) != 1 || !strings.Contains(todo[0].Text, "8 violations") {
		t.Errorf("checked again before it was corrected: %+v, %v", todo, err)
	}
	const good = `{"domain":"chat.example.org","services":{"queue":{"storage_backend":"s3"}},"database":{"engine":"sqlite"}}`
	fileWrite(t, config, good, 0o600)
	if todo, err := c.Recheck(t.Context(), e.Env); err != nil || len(todo) != 0 {
		t.Errorf("checked again: %+v, %v", todo, err)
	}
	e.verify(t, c)
	e.apply(t, c)
	if todo := e.pending(t, c); len(todo) != 0 {
		t.Errorf("still pending: %+v", todo)
	}
	if text, err := c.Prove(t.Context(), e.Env); err != nil || text != "it is valid; 1 deprecated options: database.engine: the schema calls it deprecated" {
		t.Errorf("proof: %q, %v", text, err)
	}
	c.Deprecated = "block"
	if err := c.Apply(t.Context(), e.Env); err == nil {
		t.Error("a deprecated option did not block")
	}
	c.Deprecated = "warn"
	e.apply(t, c)
	fileWrite(t, config, good+"\n", 0o600)
	if err := c.Verify(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "somebody changed it since") {
		t.Errorf("verify of a changed one: %v", err)
	}
	fileWrite(t, config, `{"domain":5}`, 0o600)
	_, err = c.Prove(t.Context(), e.Env)
	if _, ok := errors.AsType[*Disproof](err); !ok {
		t.Errorf("proof of a wrong one: %v", err)
	}
	fileWrite(t, config, strings.Repeat(" ", configMost)+"{}", 0o600)
	if err := c.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "larger than 2") {
		t.Errorf("too large: %v", err)
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "it is no file") {
		t.Errorf("no config: %v", err)
	}
}

func TestConfigSchemaFromURL(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if _, err := exec.LookPath("wget"); err != nil {
			t.Skip("needs curl or wget")
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/schema.json", http.StatusFound)
		case "/out":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/schema.json":
			fmt.Fprint(w, fluxerSchema)
		case "/large":
			fmt.Fprint(w, "{}", strings.Repeat(" ", configMost))
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	config := t.TempDir() + "/config.yaml"
	fileWrite(t, config, "domain: chat.example.org\nservices: {}\n", 0o600)
	for path, want := range map[string]string{"/moved": "", "/gone": "exit status", "/large": "larger than 2", "/out": "exit status"} {
		e := newFileEnv(nil)
		e.Host = remote.Local("chat")
		c := &configSchema{Config: config, Format: "auto", Schema: configSchemaFrom{URL: srv.URL + path}, Unknown: "warn", Deprecated: "warn"}
		err := c.Apply(t.Context(), e.Env)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestConfigSchemaFromImage(t *testing.T) {
	b := newDockerBox(t, "box")
	b.d.Busybox("app:v2", fluxerSchema) // its /mark
	config := t.TempDir() + "/config.json"
	fileWrite(t, config, `{"domain":"chat.example.org","services":{}}`, 0o600)
	c := &configSchema{Config: config, Format: "auto", Schema: configSchemaFrom{Image: "app:v2", Path: "/mark"}, Unknown: "warn", Deprecated: "warn"}
	boxes := func() string { return b.d.Docker("ps", "-aq") + b.d.Docker("volume", "ls", "-q") }
	dockerEachCut(t, b, nil, func() Step { return c }, boxes, func() {
		if left := boxes(); left != "" {
			t.Errorf("left behind: %s", left)
		}
	})
	e := dockerEnv(b)
	if todo := e.pending(t, c); len(todo) != 1 || !strings.Contains(todo[0].Text, "without starting it") {
		t.Errorf("pending: %+v", todo)
	}
	e.apply(t, c)
	if text, err := c.Prove(t.Context(), e.Env); err != nil || text != "it is valid" {
		t.Errorf("proof: %q, %v", text, err)
	}
	for path, want := range map[string]string{"/nowhere": "the image has no /nowhere", "/bin": "/bin is no file"} {
		c := *c
		c.Schema.Path = path
		if err := c.Apply(t.Context(), dockerEnv(b).Env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	c.Schema.Image = "app:v3"
	if todo := e.pending(t, c); len(todo) != 1 || !strings.Contains(todo[0].Text, "not here yet") {
		t.Errorf("pending: %+v", todo)
	}
	if err := c.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "a step before this one must bring it") {
		t.Errorf("apply: %v", err)
	}
	if left := boxes(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestConfigSchemaValidate(t *testing.T) {
	for want, c := range map[string]configSchema{
		"config: a path is needed":                       {Schema: configSchemaFrom{File: "/s"}},
		"schema: say one of file, url and image":         {Config: "/c"},
		"schema.url: it does not begin with":             {Config: "/c", Schema: configSchemaFrom{URL: "file:///etc/passwd"}},
		"schema.url: it is no URL, or holds a password":  {Config: "/c", Schema: configSchemaFrom{URL: "https://me:geheim@example.org/s"}},
		"schema.path: a path is needed":                  {Config: "/c", Schema: configSchemaFrom{Image: "a"}},
		"schema.path: it is a path inside of an image":   {Config: "/c", Schema: configSchemaFrom{File: "/s", Path: "/x"}},
		`schema.image: "-x" is not the name of an image`: {Config: "/c", Schema: configSchemaFrom{Image: "-x", Path: "/x"}},
	} {
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
