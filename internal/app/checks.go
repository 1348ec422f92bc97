package app

import (
	"context"
	"errors"
	"time"

	"verge/internal/config"
	"verge/internal/deploy"
	"verge/internal/device"
	"verge/internal/fault"
	"verge/internal/health"
)

// leastCPUWindow is over how long the processors' use is measured at the least.
// The start of a node alone keeps them busy for a moment.
const leastCPUWindow = time.Second

// cpuReading measures from one reading to the next.
func cpuReading(m *device.Machine, now func() time.Time) func() (health.CPUReading, error) {
	meter, since := m.NewCPUMeter(), now()
	return func() (health.CPUReading, error) {
		if now().Sub(since) < leastCPUWindow {
			return health.CPUReading{}, fault.New(fault.Unavailable, "app.cpu", "not measured yet: it takes %v", leastCPUWindow)
		}
		percent, err := meter.Percent()
		since = now()
		return health.CPUReading{UsagePercent: percent, LoadAverage: m.LoadAverage()}, err
	}
}

// deviceChecks are the health checks of the machine.
func deviceChecks(cfg config.Config, m *device.Machine, now func() time.Time) []health.Check {
	const mib, gib = 1 << 20, 1 << 30
	checks := []health.Check{
		health.Memory(cfg.Health.MemoryPercent, func() (health.MemoryReading, error) {
			memory, err := m.Memory()
			return health.MemoryReading{UsagePercent: memory.UsagePercent(), AvailableMB: float64(memory.AvailableBytes) / mib}, err
		}),
		health.Disk(cfg.Health.DiskPercent, cfg.StateDir, func() (health.DiskReading, error) {
			disk, err := m.Disk(cfg.StateDir)
			return health.DiskReading{UsagePercent: disk.UsagePercent, FreeGB: float64(disk.AvailableBytes) / gib}, err
		}),
		health.CPU(cfg.Health.CPUPercent, cpuReading(m, now)),
	}
	if _, ok := m.CPUTemperature(); ok {
		checks = append(checks, health.Temperature(cfg.Health.TemperatureCelsius, func() (float64, error) {
			celsius, ok := m.CPUTemperature()
			if !ok {
				return 0, errors.New("the sensor gave no reading")
			}
			return celsius, nil
		}))
	}
	return checks
}

// modelCheck asks a served version the question whose answer is known, and looks
// at the bytes that it was loaded from.
func (n *Node) modelCheck(s *deploy.Served) health.Check {
	return health.Model(s.Model, func(ctx context.Context) (time.Duration, error) {
		latency, err := s.CheckModel(ctx, time.Now)
		if err != nil {
			return latency, err
		}
		for _, digest := range s.Digests() {
			if err := n.artifacts.Recheck(ctx, digest); err != nil {
				return latency, err
			}
		}
		return latency, nil
	})
}

// served tells the health checks of a version that has begun to serve.
func (n *Node) served(s *deploy.Served) { n.checker.Add(n.modelCheck(s)) }

// gone tells them that a model is served no more.
func (n *Node) gone(model string) { n.checker.Remove(model) }

// healthChanged lets readiness follow the check of a model.
func (n *Node) healthChanged(c health.Change) {
	if c.Model == "" {
		return
	}
	v, err := n.server.Resolve(c.Model, "")
	if err != nil {
		return // it went meanwhile
	}
	if c.After == health.Unhealthy {
		v.SetHealth(fault.New(fault.Unavailable, "app.health", "%s", c.Message))
	} else {
		v.SetHealth(nil)
	}
}
