package servers

import (
	"fmt"
	"net/http"
	"time"
)

// Attach returns a Server that somebody else started, set up with the token of this package, and that answers at url. It cannot be stopped or restarted.
func Attach(kind Kind, url string) (*Server, error) {
	s := &Server{
		Kind: kind, URL: url, Bucket: Bucket,
		client: &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 5 * time.Minute},
		fail:   func(format string, args ...any) { panic("servers: " + fmt.Sprintf(format, args...)) },
	}
	return s, s.setup()
}
