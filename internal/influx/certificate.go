package influx

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"influxmirror/internal/mirror"
)

var (
	errNoCertificate    = errors.New("the server asks for a client certificate; set client_cert_file: FILE and client_key_file: FILE")
	errOtherCertificate = errors.New("the server does not accept the client certificate; see client_cert_file and the server's log")
)

// tlsFault words why a handshake came to nothing. What the owner has to mend is of kind Blocked; it ends by itself when it is mended.
func tlsFault(config *tls.Config, err error) error {
	blocked := func(err error) error { return fault(mirror.Blocked, err) }
	var (
		plain    tls.RecordHeaderError
		verify   *tls.CertificateVerificationError
		invalid  x509.CertificateInvalidError
		unknown  x509.UnknownAuthorityError
		name     x509.HostnameError
		noRoots  x509.SystemRootsError
		ownRoots = config.RootCAs != nil
	)
	leaf := func() *x509.Certificate {
		if errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0 {
			return verify.UnverifiedCertificates[0]
		}
		return &x509.Certificate{}
	}
	switch {
	case errors.As(err, &plain):
		return blocked(errors.New("the server does not speak TLS on this port; set url: http://…, or name the port that does"))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return blocked(validity(invalid.Cert))
	case errors.As(err, &name):
		return blocked(fmt.Errorf("the certificate is for %s, not for %s; %s; if it is the right server: tls_server_name: NAME",
			names(name.Certificate), printable(config.ServerName, 100), describe(name.Certificate)))
	case errors.As(err, &unknown):
		c := leaf()
		way := "if it is the right one: ca_file: FILE with the certificate of its authority"
		if ownRoots {
			way = "no authority in ca_file issued it; put the certificate of its authority there"
		}
		return blocked(fmt.Errorf("the certificate is not trusted: %s; %s", describe(c), way))
	case errors.As(err, &noRoots):
		return blocked(errors.New("this system knows no certificate authorities; install its ca-certificates, or ca_file: FILE"))
	case errors.As(err, &verify):
		return blocked(fmt.Errorf("the certificate is not valid: %w; %s", verify.Err, describe(leaf())))
	case alertText(err) != "":
		return blocked(errors.New(alertText(err)))
	case strings.Contains(err.Error(), "unsupported protocol version"):
		return blocked(errOldTLS)
	case errors.Is(err, context.DeadlineExceeded):
		return fault(mirror.Unreachable, errors.New("no TLS handshake in time"))
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET): // the same to whoever waits; which one depends on what was still unread
		return fault(mirror.Unreachable, errors.New("connection closed in the TLS handshake"))
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return fault(mirror.Unreachable, fmt.Errorf("TLS handshake: %w", networkText(err)))
	}
	return blocked(fmt.Errorf("TLS handshake: %w", err))
}

var errOldTLS = errors.New("the server offers no TLS 1.2 or newer; nothing older is used")

// alertText words the alerts with which a server ends a handshake; "" for all other errors. Package crypto/tls has no type for them.
func alertText(err error) string {
	op := (*net.OpError)(nil)
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return ""
	}
	switch alert := strings.TrimPrefix(op.Err.Error(), "tls: "); alert {
	case "certificate required":
		return errNoCertificate.Error()
	case "bad certificate", "unsupported certificate", "revoked certificate", "expired certificate", "unknown certificate", "unknown certificate authority", "access denied":
		return errOtherCertificate.Error() + " (it says: " + alert + ")"
	case "protocol version not supported":
		return errOldTLS.Error()
	case "handshake failure":
		return "the server refuses the TLS handshake: no common cipher, or it wants a client certificate (client_cert_file)"
	case "unrecognized name":
		return "the server has no certificate for this name; tls_server_name: NAME"
	}
	return ""
}

// validity says when a certificate counts, and what this machine's clock says, which may be what is wrong.
func validity(c *x509.Certificate) error {
	now := time.Now().UTC()
	date := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	if now.Before(c.NotBefore) {
		return fmt.Errorf("the certificate is not valid before %s (the clock here says %s); %s", date(c.NotBefore), date(now), describe(c))
	}
	return fmt.Errorf("the certificate expired at %s (the clock here says %s); renew it; %s", date(c.NotAfter), date(now), describe(c))
}

// describe names a certificate so that it can be told from others.
func describe(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	hex := make([]string, len(sum))
	for i, b := range sum {
		hex[i] = fmt.Sprintf("%02X", b)
	}
	return fmt.Sprintf("subject %s, issuer %s, valid %s to %s, SHA-256 %s", distinguished(c.Subject.String()), distinguished(c.Issuer.String()),
		c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly), strings.Join(hex, ":"))
}

func distinguished(s string) string {
	if s == "" {
		return "without a name"
	}
	return strconv.Quote(printable(s, 200))
}

// names lists what a certificate is for.
func names(c *x509.Certificate) string {
	var all []string
	for _, n := range c.DNSNames {
		all = append(all, printable(n, 100))
	}
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	switch {
	case len(all) == 0:
		return "no name at all"
	case len(all) > 8:
		all = append(all[:8], "…")
	}
	return strings.Join(all, ", ")
}
