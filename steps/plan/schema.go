package plan

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"belay/checks"
	"belay/remote"
	"belay/steps"
)

type object = map[string]any

// filledIn stands for every value: `"${{ port }}"`.
const filledIn = `\$\{\{`

// Schema writes the JSON Schema (draft 2020-12) of a plan file of these kinds,
// for editors. What it accepts may still have problems; what it refuses has.
func Schema(kinds Kinds) []byte {
	w := schemaWriter{kinds}
	root := w.structure(reflect.TypeFor[planFields]())
	props := root["properties"].(object)
	names := func(doc string, of object) object {
		return object{"type": "object", "description": doc, "additionalProperties": of}
	}
	replace := func(key string, s object) {
		if s["description"] == nil {
			s["description"] = props[key].(object)["description"]
		}
		props[key] = s
	}
	replace("hosts", names("", object{"$ref": "#/$defs/host"}))
	props["hosts"].(object)["description"] = fieldDoc("hosts")
	replace("vars", names(fieldDoc("vars"), object{"type": []string{"string", "number", "boolean"}}))
	replace("secrets", names(fieldDoc("secrets"), object{"$ref": "#/$defs/secret"}))
	replace("assess", nullable(object{"type": "array", "items": object{"$ref": "#/$defs/assess"}}))
	replace("signoff", nullable(object{"type": "array", "items": w.value(reflect.TypeFor[itemFields](), nil)}))
	replace("approvers", w.approvers())
	for _, stage := range []string{"prepare", "cutover", "close"} {
		replace(stage, groupList())
	}
	replace("rollback", nullable(names("", w.way())))
	props["rollback"].(object)["description"] = fieldDoc("rollback")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "belay plan"
	root["$defs"] = w.defs()
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps, strings and numbers only
	}
	return append(b, '\n')
}

func fieldDoc(name string) string { return shapeOf(reflect.TypeFor[planFields]()).byName[name].doc }

// groupList is a list of steps and of those that run together.
func groupList() object {
	return nullable(object{"type": "array", "items": object{"anyOf": []object{{"$ref": "#/$defs/step"}, {"$ref": "#/$defs/together"}}}})
}

// approvers are a number, a list of roles, or both with more.
func (w schemaWriter) approvers() object {
	long := w.structure(reflect.TypeFor[approverFields]())
	roles := object{"type": "array", "minItems": 1, "items": w.structure(reflect.TypeFor[Role]())}
	return object{"anyOf": []object{w.value(reflect.TypeFor[int](), nil), roles, long, {"type": "null"}}}
}

func (w schemaWriter) way() object {
	s := w.structure(reflect.TypeFor[wayFields]())
	w.put(s, "before", groupList())
	w.put(s, "after", groupList())
	return s
}

func nullable(s object) object { s["type"] = []string{s["type"].(string), "null"}; return s }

type schemaWriter struct{ kinds Kinds }

func (w schemaWriter) defs() object {
	host := w.value(reflect.TypeFor[hostFields](), nil)
	sudo := object{"description": "run commands as root", "anyOf": []object{{"type": "boolean"}, w.structure(reflect.TypeFor[sudoFields]())}}
	for _, form := range host["anyOf"].([]object) {
		if props, ok := form["properties"].(object); ok {
			props["sudo"] = sudo
		}
	}
	return object{
		"host":     host,
		"secret":   object{"type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1, "properties": w.secretSource()},
		"step":     w.item(reflect.TypeFor[stepFields](), w.stepKinds()),
		"undo":     object{"anyOf": []object{{"type": "string"}, w.item(reflect.TypeFor[undoFields](), w.stepKinds())}},
		"together": w.together(),
		"lane":     w.lane(),
		"check":    w.item(nil, w.checkKinds(nil)),
		"assess":   w.item(reflect.TypeFor[assessOwn](), w.checkKinds(reflect.TypeFor[assessOwn]()), "each"),
		"watch":    w.item(reflect.TypeFor[watchOwn](), w.checkKinds(reflect.TypeFor[watchOwn]()), "each"),
		"each":     object{"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": object{"type": "array", "minItems": 1}},
	}
}

func (w schemaWriter) secretSource() object {
	f, _ := reflect.TypeFor[Plan]().FieldByName("Secrets")
	return w.structure(f.Type.Elem())["properties"].(object)
}

func (w schemaWriter) together() object {
	s := w.structure(reflect.TypeFor[togetherFields]())
	w.put(s, "together", object{"type": "array", "minItems": 1, "items": object{"anyOf": []object{{"$ref": "#/$defs/step"}, {"$ref": "#/$defs/lane"}}}})
	return s
}

func (w schemaWriter) lane() object {
	s := w.structure(reflect.TypeFor[laneFields]())
	w.put(s, "steps", object{"type": "array", "minItems": 1, "items": object{"$ref": "#/$defs/step"}})
	return s
}

// put replaces the schema of one property and keeps its description.
func (w schemaWriter) put(s object, name string, with object) {
	props := s["properties"].(object)
	if old, ok := props[name].(object); ok {
		with["description"] = old["description"]
	}
	props[name] = with
}

// item is a mapping of what stands around a kind, and exactly one kind.
func (w schemaWriter) item(around reflect.Type, kinds object, more ...string) object {
	s := object{"type": "object", "additionalProperties": false, "properties": object{}}
	if around != nil {
		s = w.structure(around)
	}
	for _, name := range more {
		s["properties"].(object)[name] = object{"$ref": "#/$defs/each"}
	}
	var one []object
	for _, name := range keys(kinds) {
		s["properties"].(object)[name] = kinds[name]
		one = append(one, object{"required": []string{name}})
	}
	if len(one) > 0 {
		s["oneOf"] = one
	}
	return s
}

func (w schemaWriter) stepKinds() object {
	all := object{}
	for name, k := range w.kinds.Steps {
		all[name] = described(w.value(reflect.TypeOf(k.New()).Elem(), nil), sentence(k.Summary))
	}
	return all
}

// checkKinds also takes what belongs to the item among the kind's parameters.
func (w schemaWriter) checkKinds(own reflect.Type) object {
	all := object{}
	for name, k := range w.kinds.Checks {
		s := w.value(reflect.TypeOf(k.New()).Elem(), nil)
		for _, form := range append([]object{s}, anyOf(s)...) {
			props, ok := form["properties"].(object)
			if !ok {
				continue
			}
			if own != nil {
				for key, v := range w.structure(own)["properties"].(object) {
					if props[key] == nil {
						props[key] = v
					}
				}
			}
			if need, ok := form["required"].([]string); ok { // filled in when the plan has one host
				form["required"] = slices.DeleteFunc(need, func(n string) bool { return n == "on" })
			}
		}
		all[name] = described(s, sentence(k.Summary))
	}
	return all
}

func anyOf(s object) []object { all, _ := s["anyOf"].([]object); return all }

func described(s object, doc string) object {
	if doc != "" {
		s["description"] = doc
	}
	return s
}

// structure is the long form of a struct.
func (w schemaWriter) structure(t reflect.Type) object {
	props := object{}
	var need []string
	for _, f := range shapeOf(t).fields {
		s := described(w.value(f.typ, &f), f.doc)
		if f.hasDef {
			s["default"] = f.def
		}
		props[f.name] = s
		if f.required {
			need = append(need, f.name)
		}
	}
	s := object{"type": "object", "additionalProperties": false, "properties": props}
	if len(need) > 0 {
		s["required"] = need
	}
	return s
}

func one(f *field) []string {
	if f == nil {
		return nil
	}
	return f.enum
}

// value is the schema of a type; f is its field, or nil.
func (w schemaWriter) value(t reflect.Type, f *field) object {
	if t != rawType && t.Kind() == reflect.Pointer {
		return w.value(t.Elem(), f)
	}
	switch formOf(t) {
	case rawForm:
		return w.raw(f)
	case checkForm:
		return object{"$ref": "#/$defs/check"}
	case ownYAMLForm, ownTextForm, durationForm:
		return w.own(t)
	case boolForm:
		return object{"type": []string{"boolean", "string"}, "pattern": "^(true|false)$|" + filledIn}
	case intForm, uintForm:
		if e := one(f); len(e) > 0 { // only `belay: 1`
			return object{"enum": append([]any{json.Number(e[0])}, e[0])}
		}
		s := object{"type": []string{"integer", "string"}, "pattern": `^[+-]?(0|[1-9][0-9]*)$|` + filledIn}
		if formOf(t) == uintForm {
			s["minimum"] = 0
		}
		return s
	case floatForm:
		return object{"type": []string{"number", "string"}, "pattern": `^[-+0-9.eE]+$|` + filledIn}
	case listForm:
		item := w.value(t.Elem(), f)
		return object{"anyOf": []object{{"type": "array", "items": item}, item}}
	case mapForm:
		return object{"type": []string{"object", "null"}, "additionalProperties": w.value(t.Elem(), nil)}
	case anyForm:
		return object{}
	case structForm:
		return w.forms(t)
	}
	if e := one(f); len(e) > 0 {
		return object{"anyOf": []object{{"enum": e}, {"type": "string", "pattern": filledIn}}}
	}
	return object{"type": []string{"string", "number", "boolean"}}
}

// forms are the long form of a struct and its short one.
func (w schemaWriter) forms(t reflect.Type) object {
	all := []object{w.structure(t)}
	s := shapeOf(t)
	if s.scalar != nil {
		all = append(all, w.value(s.scalar.typ, s.scalar))
	}
	if !slices.ContainsFunc(s.fields, func(f field) bool { return f.required }) {
		all = append(all, object{"type": "null"})
	}
	if len(all) == 1 {
		return all[0]
	}
	return object{"anyOf": all}
}

// raw is the schema of what this package reads by hand.
func (w schemaWriter) raw(f *field) object {
	switch f.name {
	case "each", "undo":
		return object{"$ref": "#/$defs/" + f.name}
	case "mend":
		return object{"$ref": "#/$defs/undo"}
	case "old":
		return object{"type": []string{"object", "string"}}
	case "watch":
		return object{"type": "array", "minItems": 1, "items": object{"$ref": "#/$defs/watch"}}
	}
	return object{}
}

func (w schemaWriter) own(t reflect.Type) object {
	switch t {
	case durationType, reflect.TypeFor[remote.Duration]():
		return object{"type": "string", "pattern": `^[0-9.]+(d|h|m|s|ms|us|µs|ns)([0-9.]+(h|m|s|ms|us|µs|ns))*$|^0$|` + filledIn}
	case reflect.TypeFor[remote.Size]():
		return object{"type": []string{"string", "integer"}, "pattern": `^ *[0-9.]+ *([kKMGT]?B|[KMGT]iB)? *$|` + filledIn}
	}
	if t.Kind() == reflect.Slice {
		return object{"anyOf": []object{{"type": "array"}, {"type": "string"}}}
	}
	return object{"type": []string{"string", "number", "boolean"}}
}

// lint tells what an author of a kind forgot; for the test of all kinds.
func lint(t reflect.Type, at string) []string {
	var wrong []string
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t == rawType || t.Kind() != reflect.Struct || formOf(t) != structForm {
		return nil
	}
	s := shapeOf(t)
	for _, f := range s.fields {
		here := at + "." + f.name
		switch {
		case f.name == "" || strings.ToLower(f.name) != f.name:
			wrong = append(wrong, here+": a parameter's name is in lower case")
		case f.doc == "" || strings.HasSuffix(f.doc, "."):
			wrong = append(wrong, here+": doc is one line without a full stop")
		case f.differs != "" && s.byName[f.differs] == nil:
			wrong = append(wrong, here+": differs from a parameter that is not there")
		case f.required && f.hasDef:
			wrong = append(wrong, here+": required, so the default is never taken")
		case f.hasDef && !defaultFits(f):
			wrong = append(wrong, here+": the default does not decode")
		}
		wrong = append(wrong, lint(f.typ, here)...)
	}
	return wrong
}

func defaultFits(f field) bool {
	c := &collector{}
	d := decoder{c: c, kinds: Kinds{map[string]steps.Kind{}, map[string]checks.Kind{}}}
	n := &node{text: f.def, tag: "!!str", file: &source{path: "default"}, line: 1, col: 1}
	d.value(n, reflect.New(f.typ).Elem(), &f, in{what: "default", name: f.name})
	return c.n == 0
}
