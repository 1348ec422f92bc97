package app

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"verge/internal/config"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/runtimeinstall"
	"verge/internal/runtimes/litert"
	"verge/internal/runtimes/onnxruntime"
	"verge/internal/runtimes/openvino"
	"verge/internal/runtimes/tensorrt"
	"verge/internal/worker"
)

// opener opens an inference library.
type opener func(library string, log *slog.Logger) (inference.Runtime, error)

// openers is every runtime that this build has an adapter for.
func openers() map[string]opener {
	return map[string]opener{
		onnxruntime.Name:   onnxruntime.Open,
		litert.Name:        litert.Open,
		litert.ClassicName: litert.Open,
		openvino.Name:      openvino.Open,
		tensorrt.Name:      tensorrt.Open,
	}
}

// RuntimeNames returns the names of the runtimes that this build has an adapter for.
func RuntimeNames() []string { return slices.Sorted(maps.Keys(openers())) }

// open opens a library by the name of its runtime.
func open(name, library string, log *slog.Logger) (inference.Runtime, error) {
	opener, ok := openers()[name]
	if !ok {
		return nil, fault.New(fault.Unsupported, "app.runtime", "this version has no %s runtime", name).
			WithHint("It has %s.", strings.Join(RuntimeNames(), ", "))
	}
	return opener(library, log)
}

// Worker is the other side of every worker process: `verge worker` calls it, and
// nothing else.
func Worker(ctx context.Context) error { return worker.Main(ctx, open) }

// Libraries finds native libraries where the settings and the defaults say.
func Libraries(cfg config.Config) (*runtimeinstall.Runtimes, error) {
	return LibrariesOf(cfg, runtimeinstall.Platform{})
}

// LibrariesOf finds those of a platform; the zero Platform is this machine's.
func LibrariesOf(cfg config.Config, platform runtimeinstall.Platform) (*runtimeinstall.Runtimes, error) {
	return runtimeinstall.New(runtimeinstall.Config{
		Dir: cfg.RuntimeDir, Defaults: runtimeinstall.DefaultDirs(os.Getuid(), os.Getenv), Platform: platform,
	})
}

// runtimes hands out runtimes by name, in worker processes or in this one.
type runtimes struct {
	host      *worker.Host
	libraries *runtimeinstall.Runtimes
	log       *slog.Logger

	mu     sync.Mutex                   // guards opened
	opened map[string]inference.Runtime // in this process: library path → runtime
}

func newRuntimes(host *worker.Host, libraries *runtimeinstall.Runtimes, log *slog.Logger) *runtimes {
	return &runtimes{host: host, libraries: libraries, log: log, opened: map[string]inference.Runtime{}}
}

// get implements deploy.Host.Runtime.
func (r *runtimes) get(name, isolation string) (inference.Runtime, error) {
	if _, ok := openers()[name]; !ok {
		return open(name, "", r.log)
	}
	found, err := r.libraries.Find(name)
	if err != nil {
		return nil, err
	}
	if isolation != deployfile.IsolationNone {
		return r.host.Runtime(name, found.Path), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if rt := r.opened[found.Path]; rt != nil {
		return rt, nil
	}
	rt, err := open(name, found.Path, r.log)
	if err != nil {
		return nil, err
	}
	r.opened[found.Path] = rt
	return rt, nil
}

// version implements deploy.Libraries.
func (r *runtimes) version(name string) (string, error) {
	found, err := r.libraries.Find(name)
	return found.Version, err
}
