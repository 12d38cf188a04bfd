package plan

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"

	"go.yaml.in/yaml/v3"
)

// field is one parameter; the law of tags is in doc.go.
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	doc      string
	def      string
	hasDef   bool
	required bool
	scalar   bool
	secret   bool
	host     bool
	differs  string
	enum     []string
}

// shape is a struct as a plan sees it.
type shape struct {
	fields []field
	byName map[string]*field
	scalar *field
	list   []string
}

func (s *shape) names() []string { return s.list }

var shapes sync.Map // reflect.Type → *shape

// shapeOf reads the tags of a struct type.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{byName: map[string]*field{}}
	s.collect(t, nil)
	for i := range s.fields {
		f := &s.fields[i]
		s.byName[f.name] = f
		s.list = append(s.list, f.name)
		if f.scalar {
			s.scalar = f
		}
	}
	shapes.Store(t, s)
	return s
}

func (s *shape) collect(t reflect.Type, index []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, tagged := sf.Tag.Lookup("yaml")
		name, opts, _ := strings.Cut(tag, ",")
		inline := strings.Contains(opts, "inline")
		// The exported fields of an embedded struct can be set, even where its
		// type is not exported.
		if !tagged || !sf.IsExported() && !(inline && sf.Anonymous) || tag == "-" {
			continue
		}
		at := append(append([]int(nil), index...), i)
		if inline {
			s.collect(sf.Type, at)
			continue
		}
		f := field{name: name, index: at, typ: sf.Type, doc: sf.Tag.Get("doc"), differs: sf.Tag.Get("differs")}
		f.def, f.hasDef = sf.Tag.Lookup("default")
		_, f.required = sf.Tag.Lookup("required")
		_, f.scalar = sf.Tag.Lookup("scalar")
		_, f.secret = sf.Tag.Lookup("secretname")
		_, f.host = sf.Tag.Lookup("host")
		if e := sf.Tag.Get("enum"); e != "" {
			f.enum = strings.Split(e, "|")
		}
		s.fields = append(s.fields, f)
	}
}

// form is how values of a type are written in a plan.
type form int

const (
	textForm form = iota
	boolForm
	intForm
	uintForm
	floatForm
	durationForm // time.Duration
	ownTextForm  // encoding.TextUnmarshaler
	ownYAMLForm  // yaml.Unmarshaler
	structForm
	listForm
	mapForm
	anyForm
	checkForm // checks.Check
	rawForm   // *node, for this package's own use
)

var (
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	yamlType     = reflect.TypeFor[yaml.Unmarshaler]()
	checkType    = reflect.TypeFor[checks.Check]()
	durationType = reflect.TypeFor[time.Duration]()
	rawType      = reflect.TypeFor[*node]()
	refType      = reflect.TypeFor[secret.Ref]()
)

// formOf tells how a type that is not a pointer is written; it panics for a
// type that no plan can write, which the test of all kinds finds.
func formOf(t reflect.Type) form {
	switch {
	case t == rawType:
		return rawForm
	case t == checkType:
		return checkForm
	case t == durationType:
		return durationForm
	case reflect.PointerTo(t).Implements(yamlType):
		return ownYAMLForm
	case reflect.PointerTo(t).Implements(textType):
		return ownTextForm
	}
	switch t.Kind() {
	case reflect.String:
		return textForm
	case reflect.Bool:
		return boolForm
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intForm
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return uintForm
	case reflect.Float32, reflect.Float64:
		return floatForm
	case reflect.Struct:
		return structForm
	case reflect.Slice:
		return listForm
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return mapForm
		}
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return anyForm
		}
	}
	panic(fmt.Sprintf("a parameter of type %v cannot be read from a plan", t))
}

// wants says in words what a plan writes for a type: "a whole number".
func wants(t reflect.Type) string {
	if t != rawType && t.Kind() == reflect.Pointer {
		return wants(t.Elem())
	}
	switch t {
	case reflect.TypeFor[remote.Duration]():
		return "a duration"
	case reflect.TypeFor[remote.Size]():
		return "a size"
	case refType:
		return "{secret: name}"
	}
	switch formOf(t) {
	case boolForm:
		return "true or false"
	case intForm, uintForm:
		return "a whole number"
	case floatForm:
		return "a number"
	case durationForm:
		return "a duration"
	case structForm:
		return "a mapping"
	case listForm:
		return "a list"
	case mapForm:
		return "a mapping"
	case checkForm:
		return "a check"
	case anyForm, rawForm, ownYAMLForm:
		return "any value"
	}
	return "a text"
}
