package remotetest

import (
	"os/exec"
	"testing"
)

// MariaDB is a server of StartMariaDB.
type MariaDB = MySQL

// MariaDBOptions change it.
type MariaDBOptions = MySQLOptions

// StartMariaDB starts a MariaDB server and ends it with the test. As root it
// runs as nobody.
func StartMariaDB(t testing.TB, o MariaDBOptions) *MariaDB {
	t.Helper()
	Need(t, "mariadbd", "mariadb-install-db")
	files := mariadbFresh.get(t, func(_, data string) *exec.Cmd {
		return exec.Command(Find("mariadb-install-db"), "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal",
			"--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=8M", "--innodb-flush-method=nosync")
	})
	return newMySQL(t, o, Find("mariadbd"), files, []string{"--innodb-log-file-size=8M", "--aria-pagecache-buffer-size=4M"})
}
