package httpapi

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"verge/internal/api"
)

// Server is an HTTP/1.1 server with every limit set.
type Server struct {
	cfg     Config
	http    *http.Server
	leaving atomic.Bool // every answer closes its connection
}

// NewServer returns a server for one handler. Its Serve may be called for several
// listeners.
func NewServer(cfg Config, handler http.Handler, log *slog.Logger) *Server {
	s := &Server{cfg: cfg}
	s.http = &http.Server{
		Handler:           s.bounded(handler),
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    cfg.HeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn), // handlers that panicked, descriptors that ran out

		DisableGeneralOptionsHandler: true, // "OPTIONS *" is a path as any other

		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if c, ok := conn.(*counted); ok {
				conn = c.Conn
			}
			return api.WithPeer(ctx, conn)
		},
	}
	return s
}

// bounded bounds how slowly a body may come and an answer may be taken.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		timed := &timedWriter{ResponseWriter: w, control: control, timeout: s.cfg.WriteTimeout}
		if r.Body != nil && r.Body != http.NoBody {
			timed.body = &timedBody{ReadCloser: r.Body, control: control, timeout: s.cfg.BodyTimeout, rate: s.cfg.BodyMinRate}
			r = r.WithContext(r.Context()) // the server looks at the body of its own when it decides about the connection
			r.Body = timed.body
		}
		if s.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(timed, r)
		timed.arm() // the server writes the headers of a handler that wrote nothing
		if timed.body != nil && timed.body.unread(r) && timed.FlushError() == nil {
			timed.body.linger()
		}
	})
}

// Serve answers at l until Shutdown, and then returns http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	return s.http.Serve(limitConnections(l, s.cfg.MaxConnections))
}

// Leave lets every answer from now on close its connection, while requests are
// still taken: clients that reuse connections leave before Shutdown closes the
// idle ones, in whose last moment a request could be lost.
func (s *Server) Leave() { s.leaving.Store(true) }

// Shutdown closes the listeners, lets the requests end that are being answered, and
// closes their connections. When ctx ends first, it cuts them off, and fails with
// ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close() // the first error counts
	}
	return err
}

// limited is a listener with a bound on the connections that are open. Beyond it,
// connections wait in the system's backlog.
type limited struct {
	net.Listener
	slots  chan struct{} // one for each open connection; never closed
	closed chan struct{} // closed by Close
	once   sync.Once
}

func limitConnections(l net.Listener, most int) net.Listener {
	return &limited{Listener: l, slots: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &counted{Conn: conn, leave: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// counted is a connection that gives its slot back once.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite is what the server asks for when it closes a connection whose client
// is still sending: the client then reads the answer before it meets the end.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
