package mirror

import (
	"errors"
	"strings"
	"testing"
)

// A panic becomes an error that says where, and nothing that was in a variable.
func TestCaught(t *testing.T) {
	secret := "s3cr3t-t0k3n"
	var none []int
	for _, c := range []struct {
		what string
		fn   func() error
	}{
		{"panic with a string", func() error { panic("login with " + secret) }},
		{"panic with a *errors.errorString", func() error { panic(errors.New(secret)) }},
		{"index out of range [0] with length 0", func() error { _ = none[0]; return nil }},
		{"nil pointer dereference", func() error { return (*Error)(nil).Err }},
	} {
		err := Caught(c.fn)
		p := (*Panic)(nil)
		if !errors.As(err, &p) {
			t.Fatalf("%v", err)
		}
		text := err.Error() + strings.Join(p.Stack, " ")
		if !strings.Contains(text, c.what) || !strings.Contains(p.Stack[0], "TestCaught") || !strings.Contains(p.Stack[0], "panic_test.go:") {
			t.Errorf("%q", text)
		}
		if strings.Contains(text, secret) {
			t.Errorf("it tells a value: %q", text)
		}
	}
	if err := Caught(func() error { return errFor }); err != errFor {
		t.Errorf("%v", err)
	}
	if err := Caught(func() error { return nil }); err != nil {
		t.Errorf("%v", err)
	}
}

var errFor = errors.New("an error")
