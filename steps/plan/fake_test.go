package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
	"belay/steps"
)

// The kinds of these tests: every tag and every type that the law knows.

type plainStep struct{}

func (plainStep) Pending(context.Context, steps.Env) ([]steps.Change, error) { return nil, nil }
func (plainStep) Apply(context.Context, steps.Env) error                     { return nil }
func (plainStep) Verify(context.Context, steps.Env) error                    { return nil }

type fakeRun struct {
	plainStep
	Script  string   `yaml:"script" scalar:"" required:"" doc:"what the shell runs"`
	Secrets []string `yaml:"secrets" secretname:"" doc:"names of secrets"`
	Again   bool     `yaml:"again" doc:"may be repeated"`
}

func (r *fakeRun) Repeatable() bool { return r.Again }

type fakeCopy struct {
	plainStep
	From     string            `yaml:"from" required:"" differs:"to" doc:"source path"`
	To       string            `yaml:"to" required:"" doc:"target path"`
	Via      string            `yaml:"via" host:"" doc:"host"`
	Mode     string            `yaml:"mode" default:"0644" doc:"octal"`
	Proto    string            `yaml:"proto" enum:"tcp|udp" default:"tcp" doc:"protocol"`
	Grace    time.Duration     `yaml:"grace" default:"30s" doc:"time"`
	Wait     remote.Duration   `yaml:"wait" doc:"time"`
	Limit    remote.Size       `yaml:"limit" doc:"size"`
	Port     uint16            `yaml:"port" doc:"port"`
	Ratio    float64           `yaml:"ratio" doc:"share"`
	Count    *int              `yaml:"count" doc:"number"`
	Set      map[string]string `yaml:"set" doc:"values"`
	Parts    []fakePart        `yaml:"parts" doc:"parts"`
	Any      any               `yaml:"any" doc:"anything"`
	Password secret.Ref        `yaml:"password" doc:"secret"`
	Until    checks.Check      `yaml:"until" doc:"check"`
	prepared string
}

type fakePart struct {
	Path string `yaml:"path" scalar:"" required:"" doc:"path"`
	Skip bool   `yaml:"skip" doc:"left out"`
}

func (f *fakeCopy) Validate() error {
	var all []error
	for k, v := range f.Set {
		if v == "bad" {
			all = append(all, steps.Field("set."+k, "must not be bad"))
		}
	}
	for i, p := range f.Parts {
		if p.Path == "/" {
			all = append(all, checks.Field("parts", "%w", checks.Field(fmt.Sprint(i)+".path", "is the root")))
		}
	}
	if f.Ratio > 1 {
		all = append(all, errors.New("ratio and count do not go together"))
	}
	f.prepared = "yes"
	return errors.Join(all...)
}

func (f *fakeCopy) HostNames() []string {
	for i, r := range f.To {
		if r == ':' {
			return []string{f.To[:i]}
		}
	}
	return nil
}

func (f *fakeCopy) Needs(on string) []checks.Check {
	return []checks.Check{&fakePort{On: on, Port: 8088}}
}
func (f *fakeCopy) Undo(context.Context, steps.Env) error { return nil }

type fakeManual struct {
	plainStep
	Text string `yaml:"text" scalar:"" required:"" doc:"what to do"`
}

type fakePort struct {
	On   string `yaml:"on" required:"" doc:"host"`
	Port int    `yaml:"port" scalar:"" required:"" doc:"number of the port"`
}

func (*fakePort) Assess(context.Context, checks.World) ([]checks.Finding, error) { return nil, nil }
func (p *fakePort) Validate() error {
	if p.Port > 65535 {
		return checks.Field("port", "must be below 65536")
	}
	return nil
}

type fakeHTTP struct {
	On  string `yaml:"on" doc:"host"`
	URL string `yaml:"url" scalar:"" required:"" doc:"address"`
}

func (*fakeHTTP) Assess(context.Context, checks.World) ([]checks.Finding, error) { return nil, nil }

func fakeKinds() Kinds {
	return Kinds{
		Steps: map[string]steps.Kind{
			"run": {Name: "run", Summary: "Runs a script.", New: func() steps.Step { return &fakeRun{} },
				Example: "- step: Build\n  on: chat\n  run: make\n"},
			"files.copy": {Name: "files.copy", Summary: "Copies a file.", New: func() steps.Step { return &fakeCopy{} }, Optional: true,
				Example: "- step: Copy\n  files.copy: {from: /a, to: \"chat:/b\", password: {secret: pw}, set: {A: 1}, any: [1, {x: y}], until: {port: {port: 8088, on: chat}}}\n"},
			"manual": {Name: "manual", Summary: "Asks a person.", NoHost: true, New: func() steps.Step { return &fakeManual{} },
				Example: "- step: Tell the team\n  manual: Write to the channel.\n"},
		},
		Checks: map[string]checks.Kind{
			"port": {Name: "port", Summary: "A port is free.", New: func() checks.Check { return &fakePort{} },
				Example: "- port: {on: chat, port: 8088}\n"},
			"http": {Name: "http", Summary: "An address answers.", New: func() checks.Check { return &fakeHTTP{} },
				Example: "- http: http://127.0.0.1/\n"},
		},
	}
}
