package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"verge/internal/api/httpapi"
	"verge/internal/fault"
)

// Validate returns every problem at once as fault.Problems, each with its key
// path, the value and what is allowed, or nil.
func (c Config) Validate() error {
	var ps fault.Problems
	c.checkAddresses(&ps)
	for _, err := range []error{
		c.Serve.Validate(), c.Worker.Validate(), c.Monitor.Validate(), c.Health.Checks.Validate(), c.Limits.HTTP.Requests.Validate(),
	} {
		addJoined(&ps, err)
	}
	c.checkRanges(&ps)
	return ps.Err()
}

// addJoined adds the errors of a package's Validate, whose texts begin with the
// key path.
func addJoined(ps *fault.Problems, err error) {
	joined, ok := err.(interface{ Unwrap() []error }) // what errors.Join returns
	if !ok {
		return
	}
	for _, err := range joined.Unwrap() {
		key, rest, _ := strings.Cut(err.Error(), " ")
		ps.Add(key, 0, "%s", rest)
	}
}

func (c Config) checkAddresses(ps *fault.Problems) {
	if problem := checkLoopback(c.HTTPAddress); problem != nil {
		*ps = append(*ps, *problem)
	}
	if n := len(c.UnixSocket); n > httpapi.MaxSocketPath {
		*ps = append(*ps, fault.Problem{
			Path:    "unix_socket",
			Message: "is " + strconv.Quote(c.UnixSocket) + ", which has " + strconv.Itoa(n) + " bytes; a socket's path has at most " + strconv.Itoa(httpapi.MaxSocketPath),
			Hint:    "Set unix_socket to a shorter path.",
		})
	}
}

// checkLoopback says why the node cannot listen on an address, or nil.
func checkLoopback(address string) *fault.Problem {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || strconv.FormatUint(n, 10) != port {
		return &fault.Problem{
			Path: "http_address", Message: "is " + strconv.Quote(address) + ", want host:port with a port from 0 to 65535",
			Hint: `Set http_address to an address such as "127.0.0.1:8000".`,
		}
	}
	ip, err := netip.ParseAddr(host)
	if host == "localhost" || err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	return &fault.Problem{
		Path:    "http_address",
		Message: "is " + strconv.Quote(address) + ", want a loopback address: this version serves its own machine only",
		Hint:    `Set http_address to an address such as "127.0.0.1:8000".`,
	}
}

// checkRanges holds the settings that no other package checks against their range.
func (c Config) checkRanges(ps *fault.Problems) {
	percent := func(key string, got float64) {
		if got <= 0 || got > 100 {
			ps.Add(key, 0, "is %g, want above 0 and up to 100", got)
		}
	}
	whole := func(key string, got, least, most int64) {
		if got < least || got > most {
			ps.Add(key, 0, "is %d, want %d to %d", got, least, most)
		}
	}
	span := func(key string, got, least, most time.Duration) {
		if got < least || got > most {
			ps.Add(key, 0, "is %s, want %s to %s", shortDuration(got), shortDuration(least), shortDuration(most))
		}
	}
	percent("health.memory_percent", c.Health.MemoryPercent)
	percent("health.disk_percent", c.Health.DiskPercent)
	percent("health.cpu_percent", c.Health.CPUPercent)
	if got := c.Health.TemperatureCelsius; got < 0 || got > 200 {
		ps.Add("health.temperature_celsius", 0, "is %g, want 0 to 200", got)
	}
	h, l := c.Limits.HTTP, c.Limits
	whole("limits.max_connections", int64(h.MaxConnections), 1, 1<<16)
	whole("limits.header_bytes", int64(h.HeaderBytes), 4<<10, 1<<20)
	span("limits.read_header_timeout", h.ReadHeaderTimeout, 100*time.Millisecond, time.Minute)
	span("limits.body_timeout", h.BodyTimeout, 100*time.Millisecond, time.Hour)
	whole("limits.body_min_rate", int64(h.BodyMinRate), 0, 1<<30)
	span("limits.write_timeout", h.WriteTimeout, 100*time.Millisecond, time.Hour)
	span("limits.idle_timeout", h.IdleTimeout, time.Second, time.Hour)
	span("limits.drain_timeout", l.DrainTimeout, 0, time.Hour)
	whole("limits.artifacts_bytes", l.ArtifactsBytes, 1<<20, 1<<50)
	whole("limits.deployments", int64(l.Deployments), 1, 100_000)
	whole("limits.spec_bytes", l.Management.SpecBytes, 4<<10, 16<<20)
	whole("limits.page_size", int64(l.Management.PageSize), 1, 10_000)
}
