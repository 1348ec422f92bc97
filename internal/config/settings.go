package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// setting is one key path: where its value lives, and what is said of it.
type setting struct {
	key   string
	value any      // *string, *int, *int64, *float64 or *time.Duration
	words []string // that a string may be; nil for any
	doc   string   // for people, in lines of one comment
}

// settings is every setting of c, in the order of the file. It is the one place
// that knows how keys and fields belong together.
func (c *Config) settings() []setting {
	h, r := &c.Limits.HTTP, &c.Limits.HTTP.Requests
	return []setting{
		{"state_dir", &c.StateDir, nil, "Deployments and models. Empty: /var/lib/verge for root, else $XDG_STATE_HOME/verge\nor ~/.local/state/verge."},
		{"http_address", &c.HTTPAddress, nil, "host:port for inference over TCP, on the loopback interface only. Empty: no TCP."},
		{"unix_socket", &c.UnixSocket, nil, "Socket for inference and management, a path of at most 107 bytes. Empty:\n/run/verge/verge.sock for root, else $XDG_RUNTIME_DIR/verge.sock, else in state_dir."},
		{"runtime_dir", &c.RuntimeDir, nil, "Native libraries. Empty: the directories that `verge runtime list` names."},
		{"log_level", &c.LogLevel, []string{"debug", "info", "warning", "error"}, "debug, info, warning or error."},
		{"log_format", &c.LogFormat, []string{"text", "json"}, "text or json."},

		{"serve.queue_size", &c.Serve.QueueSize, nil, "Requests that may wait for one model version. 0 refuses at once what cannot run."},
		{"serve.slots_per_thread", &c.Serve.SlotsPerThread, nil, "Requests that are held in memory for each one that runs."},
		{"serve.input_bytes", &c.Serve.InputBytes, nil, "Most bytes that the inputs of one request take."},
		{"serve.output_bytes", &c.Serve.OutputBytes, nil, "Most bytes that the outputs of one request take."},
		{"serve.default_timeout", &c.Serve.DefaultTimeout, nil, "For a request that asks for no time-out."},
		{"serve.max_timeout", &c.Serve.MaxTimeout, nil, "What a request may ask for; more is cut to it."},

		{"worker.start_timeout", &c.Worker.StartTimeout, nil, "From the start of a worker until its model is loaded."},
		{"worker.ping_interval", &c.Worker.PingInterval, nil, "Between two questions whether a worker is there, and two looks at its memory."},
		{"worker.ping_timeout", &c.Worker.PingTimeout, nil, "A worker that does not answer for so long is replaced. At least ping_interval."},
		{"worker.cancel_grace", &c.Worker.CancelGrace, nil, "For a run to stop once its request has ended; then its worker is replaced."},
		{"worker.stop_grace", &c.Worker.StopGrace, nil, "From the word to stop to SIGTERM, and from there to SIGKILL."},
		{"worker.restart_delay", &c.Worker.RestartDelay, nil, "Before the first restart; it doubles with each death in a row."},
		{"worker.max_restart_delay", &c.Worker.MaxRestartDelay, nil, "Up to this."},
		{"worker.stable_after", &c.Worker.StableAfter, nil, "A worker that served for so long starts the delay anew."},
		{"worker.max_deaths", &c.Worker.MaxDeaths, nil, "So many deaths within death_window mark the version failed."},
		{"worker.death_window", &c.Worker.DeathWindow, nil, "See max_deaths."},
		{"worker.log_records", &c.Worker.LogRecords, nil, "Records of a worker's library that are logged in ten seconds; further ones are counted."},
		{"worker.cgroup", &c.Worker.CGroup, nil, "Directory of the control group under which workers get theirs. Empty: the node's own."},

		{"monitor.window", &c.Monitor.Window, nil, "Latencies that the figures of a status rest on."},
		{"monitor.throughput_window", &c.Monitor.ThroughputWindow, nil, "Time that throughput is counted over; whole seconds."},
		{"monitor.minutes", &c.Monitor.Minutes, nil, "Minutes that have a histogram of their own."},

		{"health.interval", &c.Health.Checks.Interval, nil, "Between two runs of a health check."},
		{"health.retry", &c.Health.Checks.Retry, nil, "The same after a run that was not healthy."},
		{"health.timeout", &c.Health.Checks.Timeout, nil, "Of one run."},
		{"health.memory_percent", &c.Health.MemoryPercent, nil, "Unhealthy from so much memory in use on; above 0, up to 100."},
		{"health.disk_percent", &c.Health.DiskPercent, nil, "The same for the file system of state_dir."},
		{"health.cpu_percent", &c.Health.CPUPercent, nil, "The same for the processors' time."},
		{"health.temperature_celsius", &c.Health.TemperatureCelsius, nil, "Unhealthy from this temperature on. 0: no limit."},

		{"limits.json_bytes", &r.JSONBytes, nil, "Of the JSON part of an inference request, and of its answer."},
		{"limits.tensor_bytes", &r.TensorBytes, nil, "Of all tensors of a request."},
		{"limits.inputs", &r.Inputs, nil, "Inputs that a request may list."},
		{"limits.outputs", &r.Outputs, nil, "Outputs that a request may list."},
		{"limits.parameters", &r.Parameters, nil, "Parameters of a request, of an input, of an output."},
		{"limits.id_bytes", &r.IDBytes, nil, "Of a request's id."},
		{"limits.name_bytes", &r.NameBytes, nil, "Of a tensor's name, of a parameter's key."},
		{"limits.value_bytes", &r.ValueBytes, nil, "Of a parameter's string."},
		{"limits.classes", &r.Classes, nil, "Classes that a request may ask for."},
		{"limits.max_connections", &h.MaxConnections, nil, "Open at a time, on each listener."},
		{"limits.header_bytes", &h.HeaderBytes, nil, "Of a request's line and headers."},
		{"limits.read_header_timeout", &h.ReadHeaderTimeout, nil, "From a request's first byte to the end of its headers."},
		{"limits.body_timeout", &h.BodyTimeout, nil, "Without any byte of a body that is awaited."},
		{"limits.body_min_rate", &h.BodyMinRate, nil, "Bytes a second that a body must come at, on average after body_timeout. 0: any."},
		{"limits.write_timeout", &h.WriteTimeout, nil, "For the client to take an answer."},
		{"limits.idle_timeout", &h.IdleTimeout, nil, "Between two requests of a connection."},
		{"limits.drain_timeout", &c.Limits.DrainTimeout, nil, "For requests in flight when the node is told to stop."},
		{"limits.artifacts_bytes", &c.Limits.ArtifactsBytes, nil, "That all uploaded files may take on disk."},
		{"limits.deployments", &c.Limits.Deployments, nil, "Ended deployments that are remembered."},
		{"limits.spec_bytes", &c.Limits.Management.SpecBytes, nil, "Of the body of a deployment request."},
		{"limits.page_size", &c.Limits.Management.PageSize, nil, "Entries of a list in one answer."},
	}
}

// set reads a value from text. It says what is wanted where text is not that.
func (s setting) set(text string) (want string) {
	switch v := s.value.(type) {
	case *string:
		return s.setWord(v, text)
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return `a time such as "30s", "1m30s" or "200ms"`
		}
		*v = d
	case *int:
		n, err := strconv.ParseInt(text, 10, strconv.IntSize)
		if err != nil {
			return "a whole number"
		}
		*v = int(n)
	case *int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "a whole number"
		}
		*v = n
	case *float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return "a number"
		}
		*v = x
	}
	return ""
}

func (s setting) setWord(v *string, text string) (want string) {
	if strings.ContainsRune(text, 0) {
		return "text without NUL bytes"
	}
	if s.words == nil {
		*v = text
		return ""
	}
	for _, word := range s.words {
		if strings.EqualFold(word, text) {
			*v = word
			return ""
		}
	}
	return strings.Join(s.words[:len(s.words)-1], ", ") + " or " + s.words[len(s.words)-1]
}

// show returns the value as the file has it.
func (s setting) show() string {
	switch v := s.value.(type) {
	case *string:
		return strconv.Quote(*v)
	case *time.Duration:
		return shortDuration(*v)
	case *int:
		return strconv.Itoa(*v)
	case *int64:
		return strconv.FormatInt(*v, 10)
	case *float64:
		return strconv.FormatFloat(*v, 'f', -1, 64)
	}
	return fmt.Sprint(s.value)
}

// shortDuration is d without the zeros that its String ends in: "2m", not "2m0s".
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// variable is the name of a key path in the environment.
func variable(key string) string {
	return "VERGE_" + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
}

// flag is how the command line gives a key path.
func flag(key string) string {
	if strings.Contains(key, ".") {
		return "--set " + key
	}
	return "--" + strings.ReplaceAll(key, "_", "-")
}
