package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// counter counts what goes through connections, both ways, as the link carries it without the headers of TCP and IP.
type counter struct{ n atomic.Int64 }

func (c *counter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &countedConn{conn, c}, nil
}

type countedConn struct {
	net.Conn
	c *counter
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.c.n.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.c.n.Add(int64(n))
	return n, err
}

// bytesOf writes bytes with a decimal unit, as links are sold: 640 B, 9.3 kB, 27 MB.
func bytesOf(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	for _, unit := range []string{"kB", "MB", "GB", "TB"} {
		if f /= 1000; f < 9.95 {
			return fmt.Sprintf("%.1f %s", f, unit)
		} else if f < 999.5 {
			return fmt.Sprintf("%.0f %s", f, unit)
		}
	}
	return fmt.Sprintf("%.0f TB", f)
}

// mirrorName makes a name for a mirror from a bucket's.
func mirrorName(bucket string) string {
	var b strings.Builder
	for _, r := range bucket {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || b.Len() > 0 && strings.ContainsRune("_-.", r) {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "_") {
			b.WriteByte('_')
		}
	}
	name := strings.TrimRight(b.String(), "_")
	if name == "" {
		return "mirror"
	}
	return name[:min(len(name), 64)]
}

func selfID() int { return os.Geteuid() }
