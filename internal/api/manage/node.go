package manage

import (
	"context"
	"io"

	"verge/client"
)

// Node is what the API shows and changes.
type Node struct {
	Artifacts   Artifacts
	Deployments Deployments
	Reports     Reports
}

// Artifacts is a store of files by digest. Its errors are those of package artifact.
type Artifacts interface {
	// Size returns an artifact's size in bytes, or fault.NotFound.
	Size(digest string) (int64, error)
	// Received returns how many bytes of an artifact that is not whole are there.
	Received(digest string) int64
	// Put takes the bytes from offset to total.
	Put(ctx context.Context, digest string, r io.Reader, offset, total int64) error
}

// Deployments runs deployments and remembers them. Its errors are those of
// package deploy.
type Deployments interface {
	Submit(req client.DeploymentRequest, by client.Actor) (*client.Deployment, error)
	Get(id string) (*client.Deployment, error)
	List(model string, limit int, after string) []*client.Deployment
	Events(ctx context.Context, id string, from uint64, fn func(client.Event) error) error
	Cancel(id string, by client.Actor) error
	Undeploy(model string, by client.Actor) error
	Rollback(model string, to int, reason string, by client.Actor) (*client.Deployment, error)
	// Test tests what serves, and tells fn what happens as Events does.
	Test(ctx context.Context, model string, fn func(client.Event) error) error
	// Shadow compares a version with the one that clients ask, and tells fn likewise.
	Shadow(ctx context.Context, model string, req client.ShadowRequest, fn func(client.Event) error) error
	Promote(model string, req client.PromoteRequest, by client.Actor) (*client.Deployment, error)
	Pin(model string, version int, pinned bool, by client.Actor) error
	// Export writes a version, 0 for the one that serves, as one file.
	Export(ctx context.Context, model string, version int, w io.Writer) error
	// Report returns what is kept of a deployment, or fault.NotFound.
	Report(id string) (*client.Report, error)
	// Audit returns at most limit entries of the audit log behind one with a sequence.
	Audit(after uint64, limit int) (*client.AuditPage, error)
}

// Reports is what the node tells about itself.
type Reports interface {
	Status() client.Status
	Models() []client.ModelStatus
	// Model returns the status of one model, or fault.NotFound.
	Model(name string) (client.ModelStatus, error)
	Device() client.Device
	Runtimes() []client.Runtime
	Health() client.HealthStatus
}

// Config bounds what a request may take.
type Config struct {
	SpecBytes int64 // most bytes of the body of a deployment request
	PageSize  int   // deployments or entries in one answer, where the request names no limit, and the most that it may name
}

// Default returns the settings of a node.
func Default() Config { return Config{SpecBytes: 2 << 20, PageSize: 100} }
