package mysql

import (
	"fmt"
	"net"
	"path"
	"strings"

	"belay/remote/secret"
)

// ClientOptions is the content of an option file with which a client program
// logs in as belay does (MySQL manual, 4.2.2.2: values in quotes, with
// backslashes). After a line #belay-ca it has the certificates that the program
// shall find as /dev/fd/4; a line #belay-roots stands for those of its machine.
// A line #belay-mysql says that the server, which is of v, is MySQL's own. first,
// where it is not empty, is what a program says to the server before the SQL that
// it is fed.
func (s Server) ClientOptions(v Version, first string) (secret.Value, error) {
	addr := s.Inside
	if addr == "" {
		addr = s.Addr
	}
	lines := []string{"[client]", "user=" + optionValue(s.User)}
	if first != "" {
		lines = append([]string{"[mysql]", "init-command=" + optionValue(first)}, lines...)
	}
	if !v.MariaDB {
		lines = append([]string{"#belay-mysql"}, lines...)
		if s.TLS == "" || s.TLS == "disable" || s.TLS == "prefer" {
			lines = append(lines, "loose-get-server-public-key") // caching_sha2_password where there is no TLS
		}
	}
	if p := s.Password.Reveal(); p != "" {
		lines = append(lines, "password="+optionValue(p))
	}
	if path.IsAbs(addr) {
		lines = append(lines, "protocol=socket", "socket="+optionValue(addr))
	} else {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return secret.Value{}, fmt.Errorf("address %q: %w", addr, err)
		}
		lines = append(lines, "protocol=tcp", "host="+optionValue(host), "port="+port)
	}
	switch s.TLS {
	case "require":
		lines = append(lines, "loose-ssl-mode=REQUIRED", "loose-ssl")
	case "verify":
		lines = append(lines, s.verified()...)
	}
	if s.TLS != "verify" {
		lines = append(lines, "loose-skip-ssl-verify-server-cert") // MariaDB 11.4 wants to, by default
	}
	return secret.New(strings.Join(lines, "\n")), nil
}

// verified are the options by which a program looks at the certificate. None
// takes a name beside the one it logs in by: where the plan says another, the
// authority has to have signed, and the name is seen to by belay's own logins.
// Programs of MariaDB look who signed wherever they are given an authority; from
// 11.4 on (Connector/C 3.4) they look at the name, too, and told not to they look
// at nothing at all (ma_pvio_tls_verify_server_cert). So they are not told, and
// refuse.
func (s Server) verified() []string {
	lines := []string{"loose-ssl-mode=VERIFY_IDENTITY", "loose-ssl", "loose-ssl-verify-server-cert"}
	if s.Trust.Name != "" {
		lines = []string{"loose-ssl-mode=VERIFY_CA", "loose-ssl"}
	}
	if s.Trust.CA != "" {
		lines = append(lines, "loose-ssl-ca=/dev/fd/4", "#belay-ca", strings.TrimSpace(s.Trust.CA))
	} else {
		lines = append(lines, "#belay-roots")
	}
	return lines
}

func optionValue(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\b", `\b`).Replace(s) + `"`
}
