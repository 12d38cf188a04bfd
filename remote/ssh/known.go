package ssh

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // #nosec: the format of known_hosts
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// knownLine is a line of known_hosts that speaks of a host (sshd(8),
// SSH_KNOWN_HOSTS FILE FORMAT).
type knownLine struct {
	ca, revoked bool
	key         ssh.PublicKey
	file        string
	line        int
}

// readKnown returns the lines that match name (host, [host]:port or alias).
// Lines that cannot be read are passed over, as ssh does: files gather key
// types that x/crypto does not know, and one such line must not lock us out.
// A file that is there but cannot be read is an error.
func readKnown(files []string, name string) ([]knownLine, error) {
	var found []knownLine
	for _, file := range files {
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("known hosts: %w", err)
		}
		for i, line := range bytes.Split(b, []byte{'\n'}) {
			marker, hosts, key, _, _, err := ssh.ParseKnownHosts(line)
			if err != nil || !knownMatch(hosts, name) {
				continue
			}
			found = append(found, knownLine{
				ca: marker == "cert-authority", revoked: marker == "revoked", key: key, file: file, line: i + 1,
			})
		}
	}
	return found, nil
}

func knownMatch(hosts []string, name string) bool {
	if len(hosts) == 1 && strings.HasPrefix(hosts[0], "|1|") {
		parts := strings.Split(hosts[0], "|")
		if len(parts) != 4 {
			return false
		}
		salt, err1 := base64.StdEncoding.DecodeString(parts[2])
		want, err2 := base64.StdEncoding.DecodeString(parts[3])
		return err1 == nil && err2 == nil && hmac.Equal(hashName(salt, name), want)
	}
	for i, h := range hosts {
		hosts[i] = strings.ToLower(h)
	}
	return matchList(hosts, name)
}

func hashName(salt []byte, name string) []byte {
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return mac.Sum(nil)
}

// appendKnown adds key for name to file, making ~/.ssh when it is missing.
func appendKnown(file, name string, key ssh.PublicKey, hash bool) error {
	if hash {
		salt := make([]byte, sha1.Size)
		_, _ = rand.Read(salt) // never fails
		name = "|1|" + base64.StdEncoding.EncodeToString(salt) + "|" + base64.StdEncoding.EncodeToString(hashName(salt, name))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	line := name + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + "\n"
	if st, err := f.Stat(); err == nil && st.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, st.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	if _, err := f.WriteString(line); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// known reads what is known of the link's host.
func (l *link) known() ([]knownLine, error) {
	return readKnown(slices.Concat(l.set.UserKnown, l.set.GlobalKnown), l.set.knownName())
}

// hostKeyAlgorithms puts those first that known_hosts has a key for: a server
// shows one key, of the first algorithm that both sides have, and a known
// server would look changed if that were another one than the known.
func hostKeyAlgorithms(known []knownLine) []string {
	supported := ssh.SupportedAlgorithms().HostKeys
	var algorithms []string
	add := func(want func(algorithm string) bool) {
		for _, a := range supported {
			if !slices.Contains(algorithms, a) && want(a) {
				algorithms = append(algorithms, a)
			}
		}
	}
	for _, k := range known {
		if k.ca {
			add(func(a string) bool { return strings.Contains(a, "-cert-v01@") })
		}
	}
	for _, k := range known {
		if !k.ca && !k.revoked {
			typ := k.key.Type()
			add(func(a string) bool {
				return a == typ || typ == ssh.KeyAlgoRSA && strings.HasPrefix(a, "rsa-sha2-") && !strings.Contains(a, "cert")
			})
		}
	}
	// Without a known authority a certificate is worth no more than its key.
	add(func(a string) bool { return !strings.Contains(a, "-cert-v01@") })
	add(func(string) bool { return true })
	return algorithms
}
