package mysql

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"belay/remote"
)

// Free is how many bytes are free where the server keeps its data. dir is ""
// when the server does not share the host's files.
func (s Server) Free(ctx context.Context) (free int64, dir string, err error) {
	if s.Container != "" || !strings.HasPrefix(s.Addr, "/") && !strings.HasPrefix(s.Addr, "127.") && !strings.HasPrefix(s.Addr, "localhost:") {
		return 0, "", nil
	}
	db, err := s.Open(ctx)
	if err != nil {
		return 0, "", err
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&dir); err != nil {
		return 0, "", err
	}
	c := remote.Cmd{Argv: []string{"df", "-Pk", "--", dir}, Pure: true}
	out, err := remote.Output(ctx, s.Host, c)
	if err != nil {
		return 0, "", fmt.Errorf("free space in %s: %w", dir, err)
	}
	// Of the last line, from the right: free, use in percent, where it is mounted.
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	fields := strings.Fields(string(lines[len(lines)-1]))
	if len(fields) < 6 {
		return 0, "", fmt.Errorf("df says %.200q", out)
	}
	var kib int64
	if _, err := fmt.Sscan(fields[3], &kib); err != nil {
		return 0, "", fmt.Errorf("df says %.200q", out)
	}
	return kib << 10, dir, nil
}
