package app

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"verge/internal/api/httpapi"
	"verge/internal/config"
	"verge/internal/deploy"
	"verge/internal/monitor"
)

// httpConfig is what the listeners need of the settings.
func httpConfig(cfg config.Config) httpapi.Config {
	h := cfg.Limits.HTTP
	return httpapi.Config{
		Requests: cfg.Limits.Requests, MaxConnections: h.MaxConnections, HeaderBytes: h.HeaderBytes,
		ReadHeaderTimeout: h.ReadHeaderTimeout, BodyTimeout: h.BodyTimeout, BodyMinRate: h.BodyMinRate,
		WriteTimeout: h.WriteTimeout, IdleTimeout: h.IdleTimeout,
	}
}

// deployHost is the node as deployments see it.
func (n *Node) deployHost(temporary string) deploy.Host {
	private := &privateRoutes{
		dir:   temporary,
		serve: func(h http.Handler) *httpapi.Server { return httpapi.NewServer(httpConfig(n.cfg), h, n.log) },
		route: func(m httpapi.Models) http.Handler { return httpapi.New(httpConfig(n.cfg), m, n.log) },
	}
	facts := n.machine.Facts(n.cfg.StateDir)
	name := facts.Board
	if name == "" {
		name = facts.CPU.Model
	}
	return deploy.Host{
		StatePath: filepath.Join(n.cfg.StateDir, "state.db"), Device: name,
		Artifacts: n.artifacts, Machine: n.machine, Libraries: n.runtimes.version, Celsius: n.celsius,
		Runtime: n.runtimes.get, Server: n.server, Memory: memoryOf,
		Recorder: func() *monitor.Model { return monitor.New(n.cfg.Monitor, n.now) },
		Expose:   private.expose, Served: n.served, Gone: n.gone,
		ProfilePrefix: func(model string, version int) string {
			dir := filepath.Join(n.cfg.StateDir, "profiles")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				n.log.Warn("no directory for profiles", "err", err)
			}
			return filepath.Join(dir, model+"-"+strconv.Itoa(version))
		},
		KeepDeployments: n.cfg.Limits.Deployments, Log: n.log, Now: n.now,
	}
}
