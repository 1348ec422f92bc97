package client

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

const (
	maxSocketPath = 107 // sun_path of unix(7), less its final NUL
	dialTimeout   = 10 * time.Second
	idleTimeout   = 90 * time.Second
	idlePerNode   = 64
	maxHeader     = 1 << 20
)

// parseAddress splits an address into what to dial and the base of URLs.
func parseAddress(address string) (network, target, base string, err error) {
	if rest, ok := strings.CutPrefix(address, "unix:"); ok {
		target, err = socketPath(address, rest)
		return "unix", target, "http://localhost", err
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "http" || u.Host == "":
		return "", "", "", invalid("node address %q: want http://host:port or unix:/path/to/verge.sock", address)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return "", "", "", invalid("node address %q: want nothing after http://host:port", address)
	}
	target = u.Host
	if u.Port() == "" {
		target = net.JoinHostPort(u.Hostname(), "80")
	}
	return "tcp", target, "http://" + u.Host, nil
}

// socketPath takes "/path" and "///path".
func socketPath(address, rest string) (string, error) {
	rest = strings.TrimPrefix(rest, "//")
	switch {
	case !path.IsAbs(rest):
		return "", invalid("node address %q: the path of a Unix socket begins with /", address)
	case strings.ContainsRune(rest, 0):
		return "", invalid("node address %q: the path of a Unix socket has no NUL", address)
	case len(rest) > maxSocketPath:
		return "", invalid("node address: the path of a Unix socket has at most %d bytes, %s has %d", maxSocketPath, rest, len(rest))
	}
	return rest, nil
}

// newTransport dials one target, whatever the URL says. It uses no proxy: a
// node is reached directly or not at all.
func newTransport(network, target string) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, target)
		},
		DisableCompression:     true, // lengths are checked against the bytes
		MaxIdleConns:           idlePerNode,
		MaxIdleConnsPerHost:    idlePerNode,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// refuseRedirect leaves a redirect as the answer: a node sends none.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
