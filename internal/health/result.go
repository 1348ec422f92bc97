package health

import (
	"context"
	"encoding/json"
	"maps"
	"time"
)

// Status is what a check, or all of them, found.
type Status string

// The statuses.
const (
	Healthy   Status = "healthy"
	Unhealthy Status = "unhealthy"
	Unknown   Status = "unknown" // not checked yet, or the check could not measure
)

// Check is one question about the device or about a model.
type Check struct {
	Model string // the model that it is about; "" for the device
	Name  string // its key in a Report: "memory", "disk", "cpu", "temperature", "model"
	// Run answers, and returns when ctx has ended. Calls of one Check do not
	// overlap.
	Run func(ctx context.Context) Result
}

// Result is what a check found.
type Result struct {
	Status  Status
	Message string         // why, for people; may be "" where the figures say it
	Figures map[string]any // by the names that a Report gives them in JSON; not changed any more
}

// MarshalJSON puts the status, the message and the figures side by side in one object.
func (r Result) MarshalJSON() ([]byte, error) {
	all := make(map[string]any, len(r.Figures)+2)
	maps.Copy(all, r.Figures)
	all["status"] = r.Status
	if r.Message != "" {
		all["message"] = r.Message
	}
	return json.Marshal(all)
}

// Report is the last result of each check. In JSON it is the health_status of the
// management API.
type Report struct {
	Status    Status            `json:"status"`     // unhealthy if one check is, else unknown if one is, else healthy
	LastCheck *time.Time        `json:"last_check"` // when the last of them ended; null before the first
	Checks    map[string]Result `json:"checks"`
}

// worse returns the status of two together.
func worse(a, b Status) Status {
	if a == Unhealthy || b == Unhealthy {
		return Unhealthy
	}
	if a == Unknown || b == Unknown {
		return Unknown
	}
	return Healthy
}
