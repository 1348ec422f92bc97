package app

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/device"
	"verge/internal/device/provider"
	"verge/internal/device/vendorprobe"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/modelfile"
	"verge/internal/runtimeinstall"
	"verge/internal/runtimes/openvino"
	"verge/internal/serve"
	"verge/internal/version"
	"verge/internal/worker"
)

// convert gives a value the type that package client has for it. The two have
// the same JSON, which tests compare.
func convert[T any](value any) T {
	var out T
	text, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		panic(err) // both types are ours
	}
	return out
}

// Status implements manage.Reports.
func (n *Node) Status() client.Status {
	now, resources := n.now(), n.resources()
	return client.Status{
		Node:   client.NodeStatus{Version: version.Version, PID: os.Getpid(), Started: n.started, UptimeSeconds: now.Sub(n.started).Seconds()},
		Models: n.modelsWith(resources), SystemResources: resources, HealthStatus: n.Health(),
	}
}

// Models implements manage.Reports.
func (n *Node) Models() []client.ModelStatus { return n.modelsWith(n.resources()) }

func (n *Node) modelsWith(resources client.SystemResources) []client.ModelStatus {
	all := []client.ModelStatus{}
	for _, s := range n.manager.Serving() {
		all = append(all, n.modelStatus(s, resources))
	}
	for _, e := range n.server.Models() {
		known := func(m client.ModelStatus) bool { return m.Model == e.Model }
		if e.Version == nil && !slices.ContainsFunc(all, known) {
			all = append(all, n.announced(e, resources))
		}
	}
	slices.SortFunc(all, func(a, b client.ModelStatus) int { return strings.Compare(a.Model, b.Model) })
	return all
}

// Model implements manage.Reports.
func (n *Node) Model(name string) (client.ModelStatus, error) {
	name = n.manager.Named(name)
	for _, s := range n.manager.Serving() {
		if s.Model == name {
			m := n.modelStatus(s, n.resources())
			m.Labels, m.Preprocess, m.ModelInfo.File = s.Labels, s.Preprocess, modelFile(s.Declares())
			return m, nil
		}
	}
	for _, e := range n.server.Models() {
		if e.Version == nil && e.Model == name {
			return n.announced(e, n.resources()), nil
		}
	}
	return client.ModelStatus{}, deploy.NotDeployed("app.model", name)
}

// modelFile is what a file says, for clients.
func modelFile(info *modelfile.Info) *client.ModelFile {
	if info == nil || info.Operators() == nil {
		return nil
	}
	precision, _ := info.Precision()
	return &client.ModelFile{
		Format: string(info.Format), SizeBytes: info.SizeBytes, Precision: precision, Parameters: info.Parameters(), Operators: info.Operators(),
		Inputs: details(info.Signature.Inputs), Outputs: details(info.Signature.Outputs),
	}
}

// announced is a model of which no version serves.
func (n *Node) announced(e serve.Entry, resources client.SystemResources) client.ModelStatus {
	state := "loading"
	if !strings.HasPrefix(e.Reason, "loading") {
		state = serve.StateFailed
	}
	return client.ModelStatus{
		Model: e.Model, State: state, Reason: e.Reason,
		HealthStatus: n.modelHealth(e.Model), SystemResources: resources, ModelInfo: client.ModelInfo{Status: "not_deployed"},
	}
}

func (n *Node) modelStatus(s *deploy.Served, resources client.SystemResources) client.ModelStatus {
	now := s.Version.Status()
	m := client.ModelStatus{
		Model: s.Model, Version: s.Version.Number(), Stage: s.File.Stage, State: now.State, Reason: now.Reason,
		ModelLoaded:      now.State == serve.StateReady,
		PerformanceStats: convert[client.PerformanceStats](s.Monitor.Snapshot()),
		HealthStatus:     n.modelHealth(s.Model), SystemResources: resources,
		ModelInfo: modelInfo(s.Version.Info(), s.Version.Signature()), Deployment: s.Deployment(), Digest: s.Digest(),
	}
	if config, err := s.File.Resolved(); err == nil {
		m.Config = config
	}
	m.PreviousVersion, m.PinnedVersions = n.manager.Kept(s.Model)
	if process, ok := s.Session.(processed); ok {
		m.Worker = workerStatus(process.Status())
	}
	return m
}

// processed is a session in a process of its own.
type processed interface{ Status() worker.Status }

func workerStatus(s worker.Status) *client.WorkerStatus {
	const mib = 1 << 20
	return &client.WorkerStatus{
		State: s.State, PID: s.PID, Started: s.Started, Deaths: s.Deaths, LastDeath: s.LastDeath,
		RestartInMS: float64(s.RestartIn.Microseconds()) / 1000, LastOutput: s.LastOutput,
		Memory:        client.WorkerMemory{CurrentBytes: s.Memory.Current, PeakBytes: s.Memory.Peak, Enforced: s.Memory.Enforced},
		MemoryLimitMB: int(s.MemoryLimit / mib),
	}
}

// deathsOf implements deploy.Host.Deaths.
func deathsOf(s inference.Session) int {
	if process, ok := s.(processed); ok {
		return process.Status().Deaths
	}
	return 0
}

// memoryOf implements deploy.Host.Memory.
func memoryOf(s inference.Session) (gate.Usage, error) {
	process, ok := s.(processed)
	if !ok {
		return gate.Usage{}, errors.New("the model runs inside the node's process (isolation: none), whose memory is not its own")
	}
	memory := process.Status().Memory
	how := "RssAnon + RssShmem of the worker, sampled"
	if memory.Enforced != "no" {
		how += ", and its control group's peak (" + memory.Enforced + ")"
	}
	return gate.Usage{PeakBytes: memory.Peak, CurrentBytes: memory.Current, How: how}, nil
}

func modelInfo(info inference.SessionInfo, g inference.Signature) client.ModelInfo {
	out := convert[client.ModelInfo](info)
	out.InputDetails, out.OutputDetails = details(g.Inputs), details(g.Outputs)
	return out
}

func details(specs []inference.Spec) []client.TensorDetail {
	all := make([]client.TensorDetail, len(specs))
	for i, s := range specs {
		all[i] = client.TensorDetail{Name: s.Name, Shape: s.Shape, DType: s.DType.String()}
		if s.Quantization != nil {
			all[i].Quantization = convert[json.RawMessage](s.Quantization)
		}
	}
	return all
}

// Health implements manage.Reports.
func (n *Node) Health() client.HealthStatus { return n.modelHealth("") }

func (n *Node) modelHealth(model string) client.HealthStatus {
	return convert[client.HealthStatus](n.checker.Report(model))
}

// Device implements manage.Reports.
func (n *Node) Device() client.Device {
	facts := n.machine.Facts(n.cfg.StateDir)
	installed := Installed(n.runtimes.libraries)
	// The time that this takes is bounded, so that it needs no context.
	AskVendors(context.Background(), n.probes, n.machine, &facts, installed)
	provider.Add(n.machine, &facts, installed)
	return convert[client.Device](facts)
}

// Asker asks vendors' libraries, in processes of their own.
type Asker interface {
	Ask(ctx context.Context, queries []vendorprobe.Query) []vendorprobe.Answer
}

// AskVendors adds to the facts of this machine what vendors' libraries tell of its
// accelerators. Where there is no such library, nothing is started.
func AskVendors(ctx context.Context, asker Asker, m *device.Machine, facts *device.Facts, installed []provider.Installed) {
	path := ""
	for _, i := range installed {
		if i.Runtime == openvino.Name && i.Problem == "" && path == "" {
			path = i.Path
		}
	}
	if queries := vendorprobe.Queries(m, facts.Accelerators, path); len(queries) > 0 {
		vendorprobe.Merge(facts, asker.Ask(ctx, queries))
	}
}

// Installed returns the libraries that were found, as package provider takes them.
func Installed(libraries *runtimeinstall.Runtimes) []provider.Installed {
	var all []provider.Installed
	for _, f := range libraries.List() {
		i := provider.Installed{Runtime: f.Name, Path: f.Path}
		if f.Err != nil {
			i.Problem = fault.Message(f.Err)
		}
		all = append(all, i)
	}
	return all
}

// Runtimes implements manage.Reports.
func (n *Node) Runtimes() []client.Runtime {
	all := []client.Runtime{}
	for _, f := range n.runtimes.libraries.List() {
		r := client.Runtime{Name: f.Name, Version: f.Version, Path: f.Path, Source: f.Source, SHA256: f.SHA256}
		if f.Err != nil {
			r.Error = fault.Message(f.Err)
		}
		all = append(all, r)
	}
	return all
}

// resources is what the machine has left, as far as it can be read.
func (n *Node) resources() client.SystemResources {
	const mib = 1 << 20
	var r client.SystemResources
	if percent, err := n.usage.Percent(); err == nil {
		r.CPUUsagePercent = percent
	}
	if memory, err := n.machine.Memory(); err == nil {
		r.MemoryUsagePercent, r.AvailableMemoryMB = memory.UsagePercent(), float64(memory.AvailableBytes)/mib
	}
	if disk, err := n.machine.Disk(n.cfg.StateDir); err == nil {
		r.DiskUsagePercent = disk.UsagePercent
	}
	r.Celsius = n.celsius()
	return r
}

// celsius implements deploy.Host.Celsius.
func (n *Node) celsius() *float64 {
	if celsius, ok := n.machine.CPUTemperature(); ok {
		return &celsius
	}
	return nil
}
