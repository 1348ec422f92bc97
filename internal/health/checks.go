package health

import (
	"context"
	"fmt"
	"math"
	"time"

	"verge/internal/fault"
)

// MemoryReading is the device's memory.
type MemoryReading struct {
	UsagePercent float64 // 0 to 100
	AvailableMB  float64 // 1 MB = 2^20 bytes
}

// Memory is healthy while less than limit percent of the memory is in use.
func Memory(limit float64, read func() (MemoryReading, error)) Check {
	return device("memory", read, func(m MemoryReading) Result {
		return Result{
			Status: below(m.UsagePercent, limit), Message: over("memory", m.UsagePercent, limit, "%"),
			Figures: map[string]any{"usage_percent": round(m.UsagePercent), "available_mb": round(m.AvailableMB)},
		}
	})
}

// DiskReading is one file system.
type DiskReading struct {
	UsagePercent float64 // 0 to 100
	FreeGB       float64 // 1 GB = 2^30 bytes
}

// Disk is healthy while less than limit percent of the file system that path lies
// on is in use.
func Disk(limit float64, path string, read func() (DiskReading, error)) Check {
	return device("disk", read, func(d DiskReading) Result {
		return Result{
			Status: below(d.UsagePercent, limit), Message: over("disk", d.UsagePercent, limit, "%"),
			Figures: map[string]any{"usage_percent": round(d.UsagePercent), "free_gb": round(d.FreeGB), "path": path},
		}
	})
}

// CPUReading is the device's processors.
type CPUReading struct {
	UsagePercent float64   // of all, since the reading before; 0 to 100
	LoadAverage  []float64 // over 1, 5 and 15 minutes
}

// CPU is healthy while less than limit percent of the processors' time is in use.
func CPU(limit float64, read func() (CPUReading, error)) Check {
	return device("cpu", read, func(c CPUReading) Result {
		return Result{
			Status: below(c.UsagePercent, limit), Message: over("processor time", c.UsagePercent, limit, "%"),
			Figures: map[string]any{"usage_percent": round(c.UsagePercent), "load_average": c.LoadAverage},
		}
	})
}

// Temperature is healthy while the processor is cooler than limit degrees Celsius.
// A limit of 0 is none. A device without a sensor has no such check.
func Temperature(limit float64, read func() (celsius float64, err error)) Check {
	return device("temperature", read, func(celsius float64) Result {
		r := Result{Status: Healthy, Figures: map[string]any{"celsius": round(celsius)}}
		if limit > 0 {
			r.Status, r.Message = below(celsius, limit), over("temperature", celsius, limit, " °C")
			r.Figures["limit"] = limit
		}
		return r
	})
}

// Model is healthy while ask returns no error. ask puts a question with a known
// answer to the model and returns how long the answer took.
func Model(model string, ask func(ctx context.Context) (latency time.Duration, err error)) Check {
	return Check{Model: model, Name: "model", Run: func(ctx context.Context) Result {
		latency, err := ask(ctx)
		r := Result{
			Status: Healthy, Message: "the known input was answered as expected",
			Figures: map[string]any{"latency_ms": float64(latency.Microseconds()) / 1000},
		}
		if err != nil {
			r.Status, r.Message = Unhealthy, fault.Message(err)
		}
		return r
	}}
}

// device is a check of the device; a reading that fails says nothing about it.
func device[T any](name string, read func() (T, error), judge func(T) Result) Check {
	return Check{Name: name, Run: func(context.Context) Result {
		reading, err := read()
		if err != nil {
			return Result{Status: Unknown, Message: fault.Message(err)}
		}
		return judge(reading)
	}}
}

// below holds a figure against its limit. What is no number is unknown.
func below(figure, limit float64) Status {
	switch {
	case math.IsNaN(figure):
		return Unknown
	case figure < limit:
		return Healthy
	}
	return Unhealthy
}

// over says that a figure is over its limit, or "".
func over(what string, figure, limit float64, unit string) string {
	if below(figure, limit) != Unhealthy {
		return ""
	}
	return fmt.Sprintf("%s at %.1f%s, want less than %g%s", what, figure, unit, limit, unit)
}

// round keeps two decimals: JSON has no NaN, which becomes 0.
func round(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return math.Round(x*100) / 100
}
