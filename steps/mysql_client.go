package steps

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
	"belay/steps/mysql"
)

//go:embed mysql_client.sh
var mysqlClientScript string

// mysqlOptions is the shell variable that holds the option file.
const mysqlOptions = "belay_options"

const (
	mysqlDumpers = "mariadb-dump mysqldump"
	mysqlClients = "mariadb mysql"
)

// mysqlClient is the shell text of a client program that reads the option file
// and then its input from stdin: on the host, or in the container.
func mysqlClient(container, tools string, args ...string) string {
	argv := append([]string{"sh", "-c", mysqlClientScript, "belay", tools}, args...)
	if container != "" {
		argv = append([]string{"docker", "exec", "-i", container}, argv...)
	}
	return remote.Quote(argv...)
}

// mysqlClientEnv is e on the server's host, in which the option file can be
// had under the name of a secret. Whoever asks for it is about to start a
// program: only then the server is asked of which flavour it is.
func mysqlClientEnv(e Env, srv mysql.Server) Env {
	get := e.Secret
	e.Host = srv.Host
	e.Secret = func(ctx context.Context, name string) (secret.Value, error) {
		if name != mysqlOptions {
			return get(ctx, name)
		}
		db, err := srv.Open(ctx)
		if err != nil {
			return secret.Value{}, err
		}
		defer db.Close()
		first, err := db.KeysAsTheyAre(ctx)
		if err != nil {
			return secret.Value{}, err
		}
		return srv.ClientOptions(db.Version, first)
	}
	return e
}

// mysqlPipe runs `from | to` in a shell that has no pipefail: it fails when
// either does.
func mysqlPipe(from, to string) string {
	return fmt.Sprintf(`ends=$( { { { %s; } 9>&-; echo "$?" >&9; } | { { %s; } 9>&- >&8 || echo failed >&9; }; } 9>&1 ) 8>&1
[ "$ends" = 0 ] || exit 1
`, from, to)
}

// mysqlSandbox passes on all but a first line that older clients, and MySQL's,
// take for an unknown command.
const mysqlSandbox = `IFS= read -r first || :; case $first in '/*M!999999'*) ;; *) printf '%s\n' "$first" ;; esac; cat`

func mysqlPacker(packer string) string {
	switch packer {
	case "zstd":
		return "zstd -q -T0 -c"
	case "gzip":
		return "gzip -c"
	}
	return "cat"
}

func mysqlUnpacker(packer, file string) string {
	switch packer {
	case "zstd", "gzip":
		return packer + " -dc -- " + quoted(file)
	}
	return "cat -- " + quoted(file)
}

// mysqlTools are the programs that a host, or the container, must have.
func mysqlTools(on string, s mysqlStore, tools, packer string) []checks.Check {
	if s.Host != "" {
		on = s.Host
	}
	var need []checks.Check
	if names := strings.Fields(tools); s.Container != "" {
		need = append(need, &boxTools{s.store, on, names})
	} else {
		need = append(need, &checks.ToolCheck{On: fileOn(on), Name: names[0], Any: names[1:]})
	}
	if packer != "none" {
		need = append(need, &checks.ToolCheck{On: fileOn(on), Name: packer})
	}
	return append(need, &checks.ToolCheck{On: fileOn(on), Name: "setsid", Any: []string{"perl"}})
}
