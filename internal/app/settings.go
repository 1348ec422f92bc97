package app

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"verge/client"
	"verge/internal/api/httpapi"
	"verge/internal/deploy"
	"verge/internal/device"
	"verge/internal/device/provider"
	"verge/internal/monitor"
)

// deployHost is the node as deployments see it.
func (n *Node) deployHost(temporary string) deploy.Host {
	private := &privateRoutes{
		dir:   temporary,
		serve: func(h http.Handler) *httpapi.Server { return httpapi.NewServer(n.cfg.Limits.HTTP, h, n.log) },
		route: func(m httpapi.Models) http.Handler { return httpapi.New(n.cfg.Limits.HTTP, m, n.log) },
	}
	name := n.machine.Board().Model
	if name == "" {
		name = n.machine.CPU().Model
	}
	return deploy.Host{
		StatePath: filepath.Join(n.cfg.StateDir, "state.db"), Device: name,
		Artifacts: n.artifacts, Machine: provider.Machine{Machine: n.machine, Installed: func() []provider.Installed { return Installed(n.runtimes.libraries) }}, Libraries: n.runtimes.version, Celsius: n.celsius,
		Runtime: n.runtimes.get, Server: n.server, Memory: memoryOf, Deaths: deathsOf,
		Recorder: func() *monitor.Model { return monitor.New(n.cfg.Monitor, n.now) },
		Expose:   private.expose, Served: n.served, Gone: n.gone,
		ProfilePrefix: func(model string, version int) string {
			dir := filepath.Join(n.cfg.StateDir, "profiles")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				n.log.Warn("no directory for profiles", "err", err)
			}
			return filepath.Join(dir, model+"-"+strconv.Itoa(version))
		},
		Facts: func() client.ReportDevice { return reportDevice(n.machine.Facts(""), name) },

		CacheDir:        filepath.Join(n.cfg.StateDir, "cache"),
		KeepDeployments: n.cfg.Limits.Deployments, Log: n.log, Now: n.now,
	}
}

// reportDevice is this machine as reports of deployments show it. label is what verdicts
// call it.
func reportDevice(f device.Facts, label string) client.ReportDevice {
	d := client.ReportDevice{
		Label: label, Board: strings.Join(slices.DeleteFunc([]string{f.Board.Model, f.Board.Release, f.Board.PowerMode}, func(s string) bool { return s == "" }), ", "),
		CPU: f.CPU.Model, Architecture: f.CPU.Architecture, Processors: f.CPU.Usable, MemoryBytes: f.Memory.TotalBytes, OS: f.OS, Kernel: f.Kernel, Libc: f.Libc,
	}
	if limit := f.Memory.LimitBytes; limit > 0 {
		d.MemoryBytes = min(d.MemoryBytes, limit)
	}
	for _, a := range f.Accelerators {
		d.Accelerators = append(d.Accelerators, strings.TrimSpace(a.Kind+" "+a.Name)+", "+a.State)
	}
	return d
}
