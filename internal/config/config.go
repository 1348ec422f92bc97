package config

import (
	"log/slog"
	"time"

	"verge/internal/api/httpapi"
	"verge/internal/api/manage"
	"verge/internal/health"
	"verge/internal/monitor"
	"verge/internal/serve"
	"verge/internal/worker"
)

// Config is every setting of a node.
type Config struct {
	StateDir    string // absolute after Load
	HTTPAddress string // host:port on the loopback interface; "" for none
	UnixSocket  string // absolute after Load
	RuntimeDir  string // absolute, or "" for the directories that runtimeinstall knows
	LogLevel    string // "debug", "info", "warning", "error"
	LogFormat   string // "text", "json"

	Serve   serve.Config
	Worker  worker.Config
	Monitor monitor.Config
	Health  Health
	Limits  Limits
}

// Health says how often the node looks after itself, and from where on it is
// unhealthy.
type Health struct {
	Checks             health.Config
	MemoryPercent      float64 // of the memory in use
	DiskPercent        float64 // of the state directory's file system in use
	CPUPercent         float64 // of the processors' time in use
	TemperatureCelsius float64 // of the processor; 0 for no limit
}

// Limits bounds what clients may send and what is kept for them.
type Limits struct {
	HTTP       httpapi.Config
	Management manage.Config

	DrainTimeout   time.Duration // for requests in flight when the node is told to stop
	ArtifactsBytes int64         // that all uploaded files may take on disk
	Deployments    int           // ended ones that are remembered
}

// Default returns the settings of a node that was told nothing. Paths are left
// empty; Load chooses them by user and environment.
func Default() Config {
	return Config{
		HTTPAddress: "127.0.0.1:8000", LogLevel: "info", LogFormat: "text",
		Serve: serve.Default(), Worker: worker.Default(), Monitor: monitor.Default(),
		Health: Health{Checks: health.Default(), MemoryPercent: 90, DiskPercent: 95, CPUPercent: 95},
		Limits: Limits{
			HTTP: httpapi.Default(), Management: manage.Default(),
			DrainTimeout: 30 * time.Second, ArtifactsBytes: 8 << 30, Deployments: 100,
		},
	}
}

// Level is LogLevel as log/slog counts.
func (c Config) Level() slog.Level {
	switch c.LogLevel {
	case "debug":
		return slog.LevelDebug
	case "warning":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}
