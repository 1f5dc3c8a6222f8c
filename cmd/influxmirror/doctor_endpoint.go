package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"influxmirror/internal/config"
	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
)

// contactTimeout bounds what doctor asks an endpoint, and each end of a mirror.
const contactTimeout = 45 * time.Second

// Certificates that end sooner are warned about.
const certificateWarning = 21 * 24 * time.Hour

// contact is an endpoint that doctor met.
type contact struct {
	end     *config.Endpoint
	chapter *chapter
	source  bool // of a mirror that was chosen
	offset  time.Duration
	err     error
}

// examine reaches the server and says how.
func (k *contact) examine(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	side := mirror.TargetSide
	if k.source {
		side = mirror.SourceSide
	}
	client := influx.New(options(side, config.Ref{Endpoint: k.end}))
	defer client.Close()
	got, err := client.Contact(ctx)
	c := k.chapter
	if err != nil && ctx.Err() != nil {
		err = &mirror.Error{Kind: mirror.Unreachable, Side: side, URL: client.URL(), Op: "ping", Err: fmt.Errorf("no answer in %s", span(contactTimeout))}
	}
	if k.err = err; err != nil && got.RoundTrip == 0 && got.Version == "" {
		check := "reach"
		if got.Remote != "" {
			c.ok("reach", "%s", reached(got))
			check = "answer"
		} else if len(got.Addresses) > 0 {
			c.ok("name", "%s is %s", k.end.URL.Hostname(), strings.Join(got.Addresses, ", "))
		}
		c.failed(check, err, unreachableHint(err, client.URL())...)
		k.encryption(got)
		return
	}
	c.ok("reach", "%s", reached(got))
	k.encryption(got)
	if err != nil {
		c.failed("server", err)
		return
	}
	c.ok("server", "%s", serverName(got.Product, got.Version))
	k.offset = got.Offset
	c.ok("clock", "%s", clockWords(got.Offset))
}

// reached says how the connection came about.
func reached(g influx.Contact) string {
	text := "connected to " + g.Remote
	if len(g.Addresses) > 1 {
		text += fmt.Sprintf(" (of %s)", strings.Join(g.Addresses, ", "))
	}
	text += " in " + brief(g.Dial)
	if g.RoundTrip > 0 {
		text += ", round trip " + brief(g.RoundTrip)
	}
	return text
}

// brief writes a short duration: 0.4 ms, 38 ms, 1.2 s.
func brief(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// unreachableHint is the next step for errors of the network, which have none of their own.
func unreachableHint(err error, url string) []string {
	if mirror.KindOf(err) != mirror.Unreachable && mirror.KindOf(err) != mirror.Broken {
		return nil
	}
	return []string{"from this machine: curl -sSi " + shellWord(url+"/ping") + " (is influxd running there, on this port, and do VPN and firewalls let this machine through?)"}
}

func serverName(product, version string) string {
	switch {
	case strings.HasPrefix(version, "1."), strings.HasPrefix(version, "2."):
		return "InfluxDB " + version + ", supported"
	}
	return fmt.Sprintf("%s (it says version %s), supported", product, clean(version))
}

func clockWords(offset time.Duration) string {
	const nobody = "this machine's clock decides nothing; status shows lags by it"
	switch {
	case offset.Abs() <= 3*time.Second/2:
		return "within 2 s of this machine's"
	case offset < 0:
		return fmt.Sprintf("%s behind this machine's (%s)", span(-offset), nobody)
	}
	return fmt.Sprintf("%s ahead of this machine's (%s)", span(offset), nobody)
}

// encryption tells of TLS, and of its absence where a secret would be seen.
func (k *contact) encryption(g influx.Contact) {
	c, e := k.chapter, k.end
	if p := e.Proxy(); p != nil {
		c.ok("proxy", "%s", p.Redacted())
	}
	if e.URL.Scheme != "https" {
		if what := plainSecret(e, g.Addresses); what != "" {
			c.warn("encryption", "none: the "+what+" can be read by everyone on the way", encrypt)
		}
		return
	}
	settings, err := e.TLS()
	if err != nil || settings == nil {
		settings = &tls.Config{}
	}
	if g.TLS != nil && len(g.TLS.PeerCertificates) > 0 {
		cert, what := g.TLS.PeerCertificates[0], ""
		if settings.InsecureSkipVerify { // the config warns of that
			what = ", not verified"
		}
		k.certificate(fmt.Sprintf("%s%s, certificate of %s, issued by %s", tls.VersionName(g.TLS.Version), what, clean(subject(cert)), clean(issuer(cert))), cert)
	}
	for _, own := range settings.Certificates {
		if own.Leaf != nil {
			k.certificate("own certificate "+clean(subject(own.Leaf)), own.Leaf)
		}
	}
}

func (k *contact) certificate(what string, cert *x509.Certificate) {
	left := time.Until(cert.NotAfter)
	text := fmt.Sprintf("%s, valid to %s (%s)", what, cert.NotAfter.UTC().Format(time.DateOnly), span(left))
	if left < certificateWarning {
		k.chapter.warn("encryption", text, "renew the certificate before "+cert.NotAfter.UTC().Format(time.RFC3339))
		return
	}
	k.chapter.ok("encryption", "%s", text)
}

func subject(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return strings.Join(c.DNSNames, ", ")
}

func issuer(c *x509.Certificate) string {
	if c.Issuer.CommonName != "" {
		return c.Issuer.CommonName
	}
	return c.Issuer.String()
}
