package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// dress gives a server what makes it a machine of its own in the eyes of an
// assessment, which would rightly refuse one machine under several names: a
// host name and a machine id. Commands that read the real id's file are pointed
// at the pretended one.
func (s *server) dress(lab string) error {
	for _, dir := range []string{"bin", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.home, dir), 0o700); err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(lab + " " + s.name))
	id := hex.EncodeToString(sum[:16])
	boot := fmt.Sprintf("%s-%s-%s-%s-%s", id[:8], id[8:12], id[12:16], id[16:20], id[20:])
	pretended := map[string]string{"/etc/machine-id": id, "/etc/hostname": s.name, "/proc/sys/kernel/random/boot_id": boot}
	var pairs []string
	for real, text := range pretended {
		path := filepath.Join(s.home, "etc", filepath.Base(real))
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			return err
		}
		pairs = append(pairs, real, path)
	}
	s.disguise = strings.NewReplacer(pairs...)
	scripts := map[string]string{
		"hostname": "#!/bin/sh\necho " + s.name + "\n",
		"uname":    "#!/bin/sh\n[ \"$*\" = -n ] && { echo " + s.name + "; exit; }\nPATH=${PATH#*:}\nexec uname \"$@\"\n",
	}
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(s.home, "bin", name), []byte(text), 0o700); err != nil {
			return err
		}
	}
	return nil
}
