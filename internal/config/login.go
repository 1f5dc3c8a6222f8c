package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// secretKind is what a secret is, in a word for messages. It decides what may stand in one.
type secretKind string

const (
	tokenSecret    secretKind = "token"
	passwordSecret secretKind = "password"
)

// trim takes from a file's text what is no part of the secret.
func (k secretKind) trim(text string) string {
	if k == passwordSecret {
		return strings.TrimRight(text, "\r\n")
	}
	return strings.TrimSpace(text)
}

// check refuses what no secret of the kind can be.
func (k secretKind) check(s string) error {
	if k == tokenSecret {
		return checkSecret(s)
	}
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("it is empty")
	case strings.ContainsAny(s, "\r\n"):
		return errors.New("it holds more than one line")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("it holds a control character or is not UTF-8")
	}
	return nil
}

// readLogin reads how to log in: org with a token, username with a password (InfluxDB 1.x), or nothing at all (1.x without
// authentication; a server of another version is found by the probe).
func (d *decoder) readLogin(e entry, s section, p *Endpoint) {
	what := "endpoint " + name(e.key)
	token, password := s.has("token") || s.has("token_file"), s.has("password") || s.has("password_file")
	if v, _, ok := d.text(s, "org"); ok {
		p.Org = v
	}
	switch {
	case s.has("username") || password:
		for _, key := range []string{"token", "token_file", "org"} {
			if s.has(key) {
				d.source.hide(s.entries[key].value)
				d.node(s.entries[key].at, "InfluxDB 2 has org and token_file, InfluxDB 1.x username and password_file", "%s: %s does not go with a username and a password", what, key)
			}
		}
		d.readUser(e, s, p)
		if !password {
			d.node(e.at, `password_file: FILE with the password in it, or password: "${NAME}"`, "%s: password_file is missing", what)
			return
		}
		p.token, p.tokenFile = d.readSecret(s, what, passwordSecret)
	case token || s.has("org"):
		if !s.has("org") {
			d.node(e.at, "the organisation's name, as influx org list shows it", "%s: org is missing", what)
		}
		if !token {
			d.node(e.at, `token_file: FILE with the token in it, or token: "${NAME}"`, "%s: token_file is missing", what)
			return
		}
		p.token, p.tokenFile = d.readSecret(s, what, tokenSecret)
	}
}

func (d *decoder) readUser(e entry, s section, p *Endpoint) {
	v, at, ok := d.text(s, "username")
	switch {
	case !ok && !s.has("username"):
		d.node(e.at, "username and password_file belong together", "endpoint %s: username is missing", name(e.key))
	case !ok:
	case strings.Contains(v, ":"):
		d.source.hide(at)
		d.node(at, "the password has a key of its own", "username: it holds a colon, and HTTP cannot send such a name")
	case passwordSecret.check(v) != nil:
		d.node(at, "", "username: %v", passwordSecret.check(v))
	default:
		p.User = v
	}
}

// readSecret reads the key named as the kind, or that with _file; file is "" where it stands in the config or in a variable.
func (d *decoder) readSecret(s section, what string, kind secretKind) (secret Secret, file string) {
	key, fileKey := string(kind), string(kind)+"_file"
	switch {
	case s.has(key) && s.has(fileKey):
		d.node(s.entries[fileKey].at, "keep "+fileKey, "%s: %s and %s are both given", what, key, fileKey)
	case s.has(key):
		v, at, ok := d.text(s, key)
		if !ok {
			return Secret{}, ""
		}
		d.secretInFile = d.secretInFile || holdsLiteral(at.Value)
		if kind == tokenSecret {
			v = strings.TrimSpace(v)
		}
		if err := kind.check(v); err != nil {
			d.node(at, "", "%s of %s: %v", key, what, err)
		}
		return NewSecret(v), ""
	default:
		v, at, ok := d.text(s, fileKey)
		if !ok {
			return Secret{}, ""
		}
		if kind == tokenSecret && looksLikeToken(v) {
			d.hidePasted(at, kind, what, "this looks like a token, not like a file")
			return Secret{}, ""
		}
		secret, path, err := d.files.secret(v, d.dir, kind)
		switch {
		case err == nil:
			return secret, v
		case kind == passwordSecret && errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(v, "./"):
			d.hidePasted(at, kind, what, "no such file; it is not shown, for it may be the password itself")
		default:
			path = d.shown(at, path)
			d.node(at, secretHint(kind, v, path, err), "%s of %s: %s: %s", fileKey, what, path, reasonText(err))
		}
	}
	return Secret{}, ""
}

// hidePasted notes a secret that stands where a file's name belongs, without showing it.
func (d *decoder) hidePasted(at *yaml.Node, kind secretKind, what, why string) {
	d.source.hide(at)
	d.node(at, "put the "+string(kind)+" into a file of its own and write that file's name here", "%s_file of %s: %s", kind, what, why)
}

// looksLikeToken knows the tokens that InfluxDB makes: 88 characters of base64 that end in ==.
func looksLikeToken(s string) bool {
	return strings.HasSuffix(s, "==") || len(s) >= 40 && !strings.ContainsAny(s, "/.\\")
}

func secretHint(kind secretKind, file, path string, err error) string {
	create := "make that file, with the " + string(kind) + " and nothing else in it"
	switch {
	case errors.As(err, new(publicError)):
		return "chmod o-rwx " + path
	case strings.HasPrefix(file, "~"):
		return "~ is not expanded: write ${HOME}"
	case errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(file):
		return create + "; relative names are looked for in $CREDENTIALS_DIRECTORY, then beside the config"
	case errors.Is(err, fs.ErrNotExist):
		return create
	case errors.Is(err, fs.ErrPermission):
		return "let the user that runs influxmirror read it"
	}
	return "it must hold the " + string(kind) + " and nothing else"
}

func reasonText(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "no such file"
	}
	return err.Error()
}
