package httpapi

import (
	"time"

	"verge/internal/oip"
	"verge/internal/serve"
)

// Config bounds connections and requests.
type Config struct {
	Requests oip.Limits // what an inference request may list and take

	MaxConnections    int           // open at a time, on each listener; more wait
	HeaderBytes       int           // of a request's line and headers
	ReadHeaderTimeout time.Duration // from a request's first byte to the end of its headers
	BodyTimeout       time.Duration // without any byte of a body that is awaited; also for the rest of one that was refused
	BodyMinRate       int           // bytes a second that a body must come at after BodyTimeout, on average; 0: any
	WriteTimeout      time.Duration // for the client to take an answer, or one piece of an answer that comes in pieces
	IdleTimeout       time.Duration // between two requests of a connection
}

// Default returns the settings of a node.
func Default() Config {
	return Config{
		Requests: oip.DefaultLimits(), MaxConnections: 1024, HeaderBytes: 64 << 10,
		ReadHeaderTimeout: 5 * time.Second, BodyTimeout: 10 * time.Second, BodyMinRate: 4 << 10,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
}

// Models is what a handler answers for: the public names, or one candidate.
type Models interface {
	serve.Resolver
	Models() []serve.Entry
	// Ready says why a name cannot be served now, or nil.
	Ready() error
}

var (
	_ Models = (*serve.Server)(nil) // the public door
	_ Models = serve.Single{}       // a candidate's private one
)
