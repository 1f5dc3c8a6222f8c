package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	fromEnv      = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*(:\?[^}]*|:-)?\}`)
)

// expand replaces the variables in a value; the package comment has the forms. Errors name variables, never what they hold.
func expand(s string, env func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			out.WriteString(s)
			return out.String(), nil
		}
		if i > 0 && s[i-1] == '$' {
			out.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		out.WriteString(s[:i])
		inner, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed {
			return "", errors.New("${ without } (a literal ${ is written $${)")
		}
		value, err := variable(inner, env)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		s = rest
	}
}

func variable(inner string, env func(string) (string, bool)) (string, error) {
	key, op, arg := inner, "", ""
	if i := strings.IndexByte(inner, ':'); i >= 0 && i+1 < len(inner) {
		key, op, arg = inner[:i], inner[i:i+2], inner[i+2:]
	}
	if !variableName.MatchString(key) || op != "" && op != ":-" && op != ":?" {
		return "", errors.New("want ${NAME}, ${NAME:-default} or ${NAME:?message} (a literal ${ is written $${)")
	}
	value, set := env(key)
	switch {
	case op == ":-" && value == "":
		return arg, nil
	case op == ":?" && value == "" && arg != "":
		return "", fmt.Errorf("%s: %s", key, printable(arg))
	case op == ":?" && value == "", op == "" && !set:
		return "", fmt.Errorf("the variable %s is not set", key)
	}
	return value, nil
}

// holdsLiteral reports whether a secret stands in the file itself: some of the value is neither ${NAME} nor ${NAME:?message}.
func holdsLiteral(s string) bool {
	return strings.TrimSpace(fromEnv.ReplaceAllString(s, "")) != ""
}
