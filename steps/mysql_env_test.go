package steps

import (
	"context"
	"fmt"

	"belay/remote/secret"
)

// mysqlSecrets answers for secrets by name.
func mysqlSecrets(all map[string]string) func(context.Context, string) (secret.Value, error) {
	return func(_ context.Context, name string) (secret.Value, error) {
		v, ok := all[name]
		if !ok {
			return secret.Value{}, fmt.Errorf("secret %q is not declared", name)
		}
		return secret.New(v), nil
	}
}
