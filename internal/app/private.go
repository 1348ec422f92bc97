package app

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"verge/internal/api/httpapi"
	"verge/internal/fault"
	"verge/internal/serve"
)

// privateRoutes opens the front door to versions that are not activated: the
// same handler that clients meet, on a Unix socket that only this user reaches.
type privateRoutes struct {
	dir   string // of the sockets; emptied at start
	count atomic.Int64
	serve func(http.Handler) *httpapi.Server
	route func(httpapi.Models) http.Handler
}

// expose implements deploy.Host.Expose.
func (p *privateRoutes) expose(v *serve.Version) (address string, stop func(), err error) {
	path := filepath.Join(p.dir, fmt.Sprintf("candidate-%d.sock", p.count.Add(1)))
	remove := func() error { return os.Remove(path) }
	if len(path) > httpapi.MaxSocketPath {
		var dir string
		if dir, err = os.MkdirTemp("", "verge-"); err != nil {
			return "", nil, fault.New(fault.Exhausted, "app.expose", "make a directory for a socket: %w", err)
		}
		path, remove = filepath.Join(dir, "candidate.sock"), func() error { return os.RemoveAll(dir) }
	}
	listener, err := httpapi.ListenUnix(path, 0o600)
	if err != nil {
		return "", nil, err
	}
	server := p.serve(p.route(serve.Only(v)))
	done := make(chan struct{}) // closed when Serve has returned
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with Shutdown
	}()
	return "unix:" + path, func() {
		const patience = 10 * time.Second
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = server.Shutdown(ctx) // what is still open is cut off with the process's end
		<-done
		_ = remove() // the listener has removed its socket already
	}, nil
}
