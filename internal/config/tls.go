package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"
)

const maxPEM = 1 << 20

// security is how an https server is verified, and what is shown to it. Names of files are as the config writes them.
type security struct {
	ca, cert, key string
	serverName    string
	unverified    bool
}

// TLS returns how to verify the server, as the files say now; nil for plain http. Files that cannot be used any more leave what
// they said last in force; Watcher reports them.
func (e *Endpoint) TLS() (*tls.Config, error) {
	if e.URL == nil || e.URL.Scheme != "https" {
		return nil, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, _, err := e.security.config(newFiles(e.env), e.dir); err == nil {
		e.verified = c
	}
	return e.verified, nil
}

// pemError is what is wrong with a file, and which key of the config names it.
type pemError struct {
	key  string
	path string
	err  error
}

func (e *pemError) Error() string { return e.key + ": " + e.err.Error() }

// config reads the files. cert is the client certificate, nil if there is none.
func (s security) config(f *files, dir string) (_ *tls.Config, cert *x509.Certificate, _ error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.serverName, InsecureSkipVerify: s.unverified}
	if s.ca != "" {
		text, path, err := f.pem(s.ca, dir, false)
		if err == nil {
			out.RootCAs, err = pool(text)
		}
		if err != nil {
			return nil, nil, &pemError{"ca_file", path, err}
		}
	}
	if s.cert == "" {
		return out, nil, nil
	}
	key := s.key
	if key == "" {
		key = s.cert
	}
	certText, path, err := f.pem(s.cert, dir, false)
	if err != nil {
		return nil, nil, &pemError{"client_cert_file", path, err}
	}
	if !hasPEM(certText, func(t string) bool { return t == "CERTIFICATE" }) {
		return nil, nil, &pemError{"client_cert_file", path, errors.New("it holds no certificate in PEM")}
	}
	if s.key == "" && !hasPEM(certText, isKey) {
		return nil, nil, &pemError{"client_cert_file", path, errors.New("it holds no private key, and no client_key_file is given")}
	}
	keyText, keyPath, err := f.pem(key, dir, true)
	switch {
	case err != nil:
		return nil, nil, &pemError{"client_key_file", keyPath, err}
	case !hasPEM(keyText, isKey):
		return nil, nil, &pemError{"client_key_file", keyPath, errors.New("it holds no private key in PEM that is not encrypted")}
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		// The error's own words may quote what it could not read.
		why, where := errors.New("it cannot be used with the certificate"), &pemError{"client_key_file", keyPath, nil}
		if _, e := x509.ParseCertificate(firstCertificate(certText)); e != nil {
			why, where = errors.New("its certificate cannot be read"), &pemError{"client_cert_file", path, nil}
		} else if mismatch(err) {
			why = errors.New("it is not the key of the certificate in client_cert_file")
		}
		where.err = why
		return nil, nil, where
	}
	out.Certificates = []tls.Certificate{pair}
	return out, pair.Leaf, nil
}

// mismatch knows the words of package crypto/tls, which has no type for them.
func mismatch(err error) bool {
	for _, words := range []string{"tls: private key does not match public key", "tls: private key type does not match public key type"} {
		if err.Error() == words {
			return true
		}
	}
	return false
}

func isKey(t string) bool {
	return t == "PRIVATE KEY" || t == "RSA PRIVATE KEY" || t == "EC PRIVATE KEY"
}

func hasPEM(text []byte, is func(kind string) bool) bool {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return false
		}
		if is(b.Type) {
			return true
		}
	}
}

func firstCertificate(text []byte) []byte {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil || b.Type == "CERTIFICATE" {
			if b == nil {
				return nil
			}
			return b.Bytes
		}
	}
}

// pool reads certificates of authorities; each of them must be readable.
func pool(text []byte) (*x509.CertPool, error) {
	out, n := x509.NewCertPool(), 0
	for rest := text; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if isKey(b.Type) {
			return nil, errors.New("it holds a private key; only the certificate of the authority belongs there")
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("its certificate %d cannot be read", n+1)
		}
		out.AddCert(c)
		n++
	}
	if n == 0 {
		return nil, errors.New("it holds no certificate in PEM")
	}
	return out, nil
}

// pem reads a file of certificates or keys; secret: others must not be able to read it.
func (f *files) pem(file, dir string, secret bool) (text []byte, path string, err error) {
	for _, path = range f.secretPaths(file, dir) {
		text, mode, err := f.read(path, maxPEM)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && f.public(path, mode) && (secret || mode.Perm()&0o002 != 0) {
			err = publicError(mode.Perm())
			if !secret {
				err = fmt.Errorf("everyone can write to it (mode %04o)", uint32(mode.Perm()))
			}
		}
		return bytes.TrimSpace(text), path, err
	}
	return nil, path, fs.ErrNotExist
}

var tlsKeys = []string{"ca_file", "client_cert_file", "client_key_file", "tls_server_name", "insecure_skip_verify"}

// readTLS reads how an https server is verified. p.URL was read before.
func (d *decoder) readTLS(e entry, s section, p *Endpoint) {
	what, given := "endpoint "+name(e.key), false
	for _, key := range tlsKeys {
		if given = given || s.has(key); s.has(key) && p.URL != nil && p.URL.Scheme == "http" {
			d.node(s.entries[key].at, "write url: https://… if the server speaks TLS", "%s: %s does nothing with url: http://…", what, key)
			return
		}
	}
	if !given {
		return
	}
	before := len(d.list)
	p.security.ca, _, _ = d.text(s, "ca_file")
	p.security.cert, _, _ = d.text(s, "client_cert_file")
	p.security.key, _, _ = d.text(s, "client_key_file")
	p.security.serverName, _, _ = d.text(s, "tls_server_name")
	p.security.unverified = d.readUnverified(s, what)
	if s.has("client_key_file") && !s.has("client_cert_file") {
		d.node(s.entries["client_key_file"].at, "client_cert_file: FILE with the certificate that belongs to it", "%s: client_key_file without client_cert_file", what)
	}
	if p.security.unverified && s.has("ca_file") {
		d.node(s.entries["insecure_skip_verify"].at, "leave it out: ca_file says whom to trust", "%s: ca_file and insecure_skip_verify are both given", what)
	}
	if len(d.list) > before {
		return
	}
	c, cert, err := p.security.config(d.files, d.dir)
	if bad := (*pemError)(nil); errors.As(err, &bad) {
		at := s.entries["client_cert_file"].value
		if v, ok := s.entries[bad.key]; ok {
			at = v.value
		}
		path := d.shown(at, bad.path)
		hint := ""
		if errors.As(err, new(publicError)) || errors.As(bad.err, new(publicError)) {
			hint = "chmod o-rwx " + path
		}
		d.node(at, hint, "%s of %s: %s: %s", bad.key, what, path, reasonText(bad.err))
		return
	}
	p.verified = c
	if cert != nil && time.Now().After(cert.NotAfter) {
		d.warn("%s: the client certificate in client_cert_file expired at %s; renew it", what, cert.NotAfter.UTC().Format(time.RFC3339))
	} else if cert != nil && time.Now().Before(cert.NotBefore) {
		d.warn("%s: the client certificate in client_cert_file is not valid before %s", what, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	if p.security.unverified {
		d.warn("%s: insecure_skip_verify is true: its certificate is not verified, and whoever is on the way can read the token and change data; use ca_file", what)
	}
}

func (d *decoder) readUnverified(s section, what string) bool {
	v, at, ok := d.text(s, "insecure_skip_verify")
	if !ok {
		return false
	}
	out, err := strconv.ParseBool(v)
	if err != nil {
		d.node(at, "true or false", "insecure_skip_verify of %s: neither true nor false", what)
	}
	return out
}
