package steps

import (
	"fmt"
	"reflect"
	"testing"
)

// TestKindsSayTheirHosts: a step that needs no `on` because its parameters name
// hosts tells which, or a screen would say that it has none.
func TestKindsSayTheirHosts(t *testing.T) {
	next := 0
	var named func(v reflect.Value) int
	named = func(v reflect.Value) (n int) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if _, host := f.Tag.Lookup("host"); host && f.IsExported() && f.Type.Kind() == reflect.String {
				v.Field(i).SetString(fmt.Sprint("h", next))
				next++
				n++
			} else if f.Type.Kind() == reflect.Struct && (f.IsExported() || f.Anonymous) {
				n += named(v.Field(i))
			}
		}
		return n
	}
	said := 0
	for name, kind := range All() {
		do := kind.New()
		if !kind.Optional || reflect.TypeOf(do).Elem().Kind() != reflect.Struct {
			continue
		}
		if n := named(reflect.ValueOf(do).Elem()); n > 0 {
			if h, ok := do.(Hoster); !ok || len(h.HostNames()) < 2 {
				t.Errorf("%s names hosts in %d parameters and does not say so", name, n)
			}
			said++
		}
	}
	if said < 9 {
		t.Errorf("only %d kinds were found that name hosts", said)
	}
}
