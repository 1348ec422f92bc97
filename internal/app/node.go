package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"verge/client"
	"verge/internal/api/httpapi"
	"verge/internal/api/manage"
	"verge/internal/artifact"
	"verge/internal/config"
	"verge/internal/deploy"
	"verge/internal/device"
	"verge/internal/device/vendorprobe"
	"verge/internal/fault"
	"verge/internal/health"
	"verge/internal/serve"
	"verge/internal/worker"
)

// Node is a running node.
type Node struct {
	cfg     config.Config
	log     *slog.Logger
	now     func() time.Time
	started time.Time

	lock      *stateLock
	machine   *device.Machine
	usage     *device.CPUMeter // of status; the health check has its own
	artifacts *artifact.Store
	host      *worker.Host
	probes    *vendorprobe.Cached
	runtimes  *runtimes
	server    *serve.Server
	manager   *deploy.Manager
	checker   *health.Checker

	public   []*listener
	self     *client.Client     // at its own Unix socket
	cancel   context.CancelFunc // ends what runs behind
	running  sync.WaitGroup
	restored chan struct{} // closed when every committed model has been tried
}

// listener is one public door.
type listener struct {
	net.Listener
	server *httpapi.Server
}

// hide takes a Unix socket's name away: who comes now finds no node, rather than
// one that closes the door before it has heard them.
func (l *listener) hide() error {
	unix, ok := l.Listener.(*net.UnixListener)
	if !ok {
		return nil
	}
	unix.SetUnlinkOnClose(false)
	if err := os.Remove(unix.Addr().String()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Start builds a node and opens its doors; committed models are loaded behind it.
// workerCommand starts this program's worker: its path and "worker", in whose place
// "probe" starts what asks vendors' libraries. Start fails,
// with nothing left behind, when another node has the state directory, a door is
// taken, or the state cannot be read.
func Start(cfg config.Config, workerCommand []string, log *slog.Logger) (_ *Node, err error) {
	n := &Node{cfg: cfg, log: log, now: time.Now, started: time.Now(), restored: make(chan struct{})}
	defer func() {
		if err != nil {
			err = fault.Join(err, n.close(context.Background()))
		}
	}()
	if n.lock, err = lockState(cfg.StateDir, n.started); err != nil {
		return nil, err
	}
	temporary := filepath.Join(cfg.StateDir, "tmp")
	if err = os.RemoveAll(temporary); err != nil {
		return nil, err
	}
	n.machine = device.New()
	n.usage = n.machine.NewCPUMeter()
	if n.artifacts, err = artifact.Open(cfg.StateDir, cfg.Limits.ArtifactsBytes); err != nil {
		return nil, err
	}
	libraries, err := Libraries(cfg)
	if err != nil {
		return nil, err
	}
	if n.host, err = worker.NewHost(cfg.Worker, worker.Launch{Argv: workerCommand}, log); err != nil {
		return nil, err
	}
	const probesEvery = time.Minute
	probeCommand := append(slices.Clone(workerCommand[:len(workerCommand)-1]), "probe")
	n.probes = vendorprobe.NewCached(vendorprobe.New(probeCommand, nil), probesEvery, n.now)
	n.runtimes = newRuntimes(n.host, libraries, log)
	n.server = serve.New(cfg.Serve, log)
	n.checker = health.New(cfg.Health.Checks, deviceChecks(cfg, n.machine, n.now), n.healthChanged, n.now, log)
	if n.manager, err = deploy.Open(n.deployHost(temporary)); err != nil {
		return nil, err
	}
	if err := n.listen(); err != nil {
		return nil, err
	}
	n.run()
	return n, nil
}

// listen opens the doors, before anything answers at them.
func (n *Node) listen() error {
	node := manage.Node{Artifacts: n.artifacts, Deployments: n.manager, Reports: n}
	management := manage.New(n.cfg.Limits.Management, node, n.log)
	inference := httpapi.New(n.cfg.Limits.HTTP, n.server, n.log)
	const socketMode = 0o660
	unix, err := httpapi.ListenUnix(n.cfg.UnixSocket, socketMode)
	if err != nil {
		return err
	}
	n.public = append(n.public, n.door(unix, both(inference, management)))
	if n.self, err = client.New("unix:" + n.cfg.UnixSocket); err != nil {
		return err
	}
	if n.cfg.HTTPAddress == "" {
		return nil
	}
	tcp, err := httpapi.ListenTCP(n.cfg.HTTPAddress)
	if err != nil {
		return err
	}
	n.public = append(n.public, n.door(tcp, both(inference, http.HandlerFunc(manage.Forbidden))))
	return nil
}

func (n *Node) door(l net.Listener, handler http.Handler) *listener {
	return &listener{Listener: l, server: httpapi.NewServer(n.cfg.Limits.HTTP, handler, n.log)}
}

// both serves two APIs at one door.
func both(inference, management http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == manage.Prefix || strings.HasPrefix(r.URL.Path, manage.Prefix+"/") {
			management.ServeHTTP(w, r)
			return
		}
		inference.ServeHTTP(w, r)
	})
}

// run starts everything that runs behind.
func (n *Node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.running.Go(func() { n.checker.Run(ctx) })
	for _, l := range n.public {
		n.running.Go(func() {
			if err := l.server.Serve(l.Listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
				n.log.Error("listener ended", "address", l.Addr().String(), "err", err)
			}
		})
		n.log.Info("listening", "network", l.Addr().Network(), "address", l.Addr().String())
	}
	n.running.Go(func() {
		n.manager.Restore()
		close(n.restored)
	})
}

// Addresses returns where the node answers, in the form that client.New takes;
// the Unix socket, which has the management API, comes first.
func (n *Node) Addresses() []string {
	all := make([]string, len(n.public))
	for i, l := range n.public {
		all[i] = "http://" + l.Addr().String()
		if l.Addr().Network() == "unix" {
			all[i] = "unix:" + l.Addr().String()
		}
	}
	return all
}

// linger is how long the doors stay open after the last answer, for clients that
// have a connection and are about to ask: they are told that the node stops.
const linger = 200 * time.Millisecond

// Stop ends deployments that have not switched, refuses new requests, finishes
// those that were admitted, and closes everything. Where ctx ends first, what is
// left is cut off, and Stop says so. It is called once.
func (n *Node) Stop(ctx context.Context) error {
	n.log.Info("stopping")
	for _, l := range n.public {
		l.server.Leave()
	}
	errs := []error{n.manager.Close(), n.server.Drain(ctx)}
	for _, l := range n.public {
		errs = append(errs, l.hide())
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return errors.Join(append(errs, n.close(ctx))...)
}

// close closes what has been opened.
func (n *Node) close(ctx context.Context) error {
	var errs []error
	if n.cancel != nil {
		n.cancel()
	}
	if n.manager != nil {
		errs = append(errs, n.manager.Close())
	}
	if n.self != nil {
		n.self.Close()
	}
	for _, l := range n.public {
		errs = append(errs, l.server.Shutdown(ctx))
		if n.cancel == nil { // it never served
			errs = append(errs, l.Close())
		}
	}
	n.running.Wait()
	if n.server != nil {
		errs = append(errs, n.server.Close(ctx))
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	if n.artifacts != nil {
		errs = append(errs, n.artifacts.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}
