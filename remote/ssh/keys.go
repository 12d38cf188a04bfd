package ssh

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// keyRing holds the key files of a Network, so that a passphrase is asked for
// once.
type keyRing struct {
	mu    sync.Mutex
	files map[string]*fileKey
}

// fileKey is a private key file. It is opened when its signature is needed:
// until then the public half is enough.
type fileKey struct {
	path string
	pub  ssh.PublicKey

	mu     sync.Mutex
	signer ssh.Signer // nil: not opened yet
	public bool       // the file holds only the public half; an agent has the other
}

// load reads path. The error says in a few words why the key is of no use.
func (r *keyRing) load(path string) (*fileKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.files[path]; k != nil {
		return k, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k := &fileKey{path: path}
	signer, err := ssh.ParsePrivateKey(b)
	locked, isLocked := errors.AsType[*ssh.PassphraseMissingError](err)
	switch {
	case err == nil:
		k.signer, k.pub = signer, signer.PublicKey()
	case isLocked && locked.PublicKey != nil:
		k.pub = locked.PublicKey
	case isLocked: // old PEM: the public half lies beside it
		if k.pub, err = readPublic(path + ".pub"); err != nil {
			return nil, errors.New("encrypted in the old format, with no .pub beside it: make one with ssh-keygen -y")
		}
	default:
		if k.pub, _, _, _, err = ssh.ParseAuthorizedKey(b); err != nil {
			return nil, errors.New("not a private key that is understood")
		}
		k.public = true
	}
	if st, err := os.Stat(path); err == nil && !k.public && st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("readable by others, not used: chmod 600 %s", path)
	}
	if r.files == nil {
		r.files = map[string]*fileKey{}
	}
	r.files[path] = k
	return k, nil
}

func readPublic(path string) (ssh.PublicKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(b)
	return pub, err
}

// lazySigner opens the key, asking for the passphrase, when it is to sign.
type lazySigner struct {
	k *fileKey
	a *attempt
}

func (s lazySigner) PublicKey() ssh.PublicKey { return s.k.pub }

func (s lazySigner) Algorithms() []string {
	if s.k.pub.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{s.k.pub.Type()}
}

func (s lazySigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, s.Algorithms()[0])
}

func (s lazySigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := s.k.open(s.a)
	if err != nil {
		s.a.signErr = err
		return nil, err
	}
	as, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return signer.Sign(rand, data)
	}
	return as.SignWithAlgorithm(rand, data, algorithm)
}

func (k *fileKey) open(a *attempt) (ssh.Signer, error) {
	a.lock(&k.mu)
	defer k.mu.Unlock()
	if k.signer != nil {
		return k.signer, nil
	}
	ask := a.link.net.o.Prompt
	if ask == nil {
		return nil, fmt.Errorf("key %s is encrypted and nobody is there to be asked: add it to an agent", k.path)
	}
	b, err := os.ReadFile(k.path)
	if err != nil {
		return nil, err
	}
	text := "passphrase of " + k.path
	for range 3 {
		var signer ssh.Signer
		err = a.whileAsking(func(ctx context.Context) error {
			pass, err := ask(ctx, Passphrase, text)
			if err != nil {
				return err
			}
			signer, err = ssh.ParsePrivateKeyWithPassphrase(b, []byte(pass.Reveal()))
			return err
		})
		if err == nil {
			k.signer = signer
			return signer, nil
		}
		if !errors.Is(err, x509.IncorrectPasswordError) {
			return nil, fmt.Errorf("key %s: %w", k.path, err)
		}
		text = "that was not it; passphrase of " + k.path
	}
	return nil, fmt.Errorf("key %s: passphrase was wrong three times", k.path)
}

// certificates reads the certificates that go with the settings' keys:
// CertificateFile and, beside each key, NAME-cert.pub.
func certificates(s settings) []*ssh.Certificate {
	var certs []*ssh.Certificate
	paths := append([]string{}, s.Certificates...)
	for _, id := range s.Identities {
		paths = append(paths, strings.TrimSuffix(id, ".pub")+"-cert.pub")
	}
	for _, p := range paths {
		pub, err := readPublic(p)
		if err != nil {
			continue // most keys have none
		}
		if c, ok := pub.(*ssh.Certificate); ok {
			certs = append(certs, c)
		}
	}
	return certs
}
