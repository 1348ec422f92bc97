package report

import (
	"fmt"
	"strconv"
	"strings"

	"verge/client"
	"verge/internal/stats"
)

// summary is what is known about the deployment as a whole.
func summary(r *client.Report) []fact {
	d := &r.Deployment
	return facts(
		fact{"deployment", plain(d.ID)},
		fact{"promoted from", plain(d.PromotedFrom)},
		fact{"rolls back", plain(d.RollsBack)},
		fact{"model file", plain(d.Digest)},
		fact{"stage", plain(d.Stage)},
		fact{"asked by", actor(r.AskedBy)},
		fact{"reason", plain(d.Reason)},
		fact{"forced", plain(d.ForceReason)},
		fact{"began", moment(d.Created)},
		fact{"took", span(r.DurationMS)},
		fact{"verge", plain(r.VergeVersion)},
	)
}

// machine is what the deployment ran on.
func machine(v *client.ReportDevice) []fact {
	processors := ""
	if v.Processors > 0 {
		processors = strconv.Itoa(v.Processors)
	}
	memory := ""
	if v.MemoryBytes > 0 {
		memory = size(v.MemoryBytes)
	}
	temperature := celsius(v.CelsiusAtBegin)
	if end := celsius(v.CelsiusAtEnd); end != "" {
		temperature += " at the begin, " + end + " at the end"
	}
	return facts(
		fact{"device", plain(v.Label)},
		fact{"board", plain(v.Board)},
		fact{"processor", strings.Join(nonEmpty(plain(v.CPU), plain(v.Architecture)), ", ")},
		fact{"processors", processors},
		fact{"memory", memory},
		fact{"accelerators", strings.Join(plainAll(v.Accelerators), "; ")},
		fact{"temperature", temperature},
		fact{"system", strings.Join(nonEmpty(plain(v.OS), plain(v.Kernel), plain(v.Libc)), ", ")},
	)
}

func celsius(x *float64) string {
	if x == nil {
		return ""
	}
	return stats.Figure(*x, 3) + " °C"
}

// libraryFacts is how the model was run.
func libraryFacts(r *client.ReportRuntime) []fact {
	if r == nil {
		return nil
	}
	threads := ""
	if r.Threads > 0 {
		threads = fmt.Sprintf("%d, %d runs at a time", r.Threads, r.Parallel)
	}
	return facts(
		fact{"runtime", library(r)},
		fact{"ran on", plain(r.Device)},
		fact{"providers asked for", strings.Join(plainAll(r.ProvidersRequested), ", ")},
		fact{"providers used", strings.Join(plainAll(r.Providers), ", ")},
		fact{"not used", strings.Join(plainAll(r.Fallbacks), "; ")},
		fact{"threads of a run", threads},
	)
}

// comparison is one row of the table of the version before and this one.
type comparison struct{ Name, Before, This string }

// compared are the rows of that table; none where there is nothing to compare.
func compared(r *client.Report) []comparison {
	if r.Before == nil || r.This == nil {
		return nil
	}
	var rows []comparison
	row := func(name string, say func(*client.ReportVersion) string) {
		before, this := say(r.Before), say(r.This)
		if before != "" || this != "" {
			rows = append(rows, comparison{name, orDash(before), orDash(this)})
		}
	}
	row("version", func(v *client.ReportVersion) string { return strconv.Itoa(v.Version) })
	row("deployment", func(v *client.ReportVersion) string { return plain(v.Deployment) })
	row("digest", func(v *client.ReportVersion) string { return digest(v.Digest) })
	row("size of the model", func(v *client.ReportVersion) string { return bytesOf(v.ModelBytes) })
	row("p50 at the gate", func(v *client.ReportVersion) string { return withUnit(v.GateP50MS, "ms") })
	row("p95 at the gate", func(v *client.ReportVersion) string { return withUnit(v.GateP95MS, "ms") })
	row("p50 for clients", func(v *client.ReportVersion) string { return withUnit(v.ServedP50MS, "ms") })
	row("p95 for clients", func(v *client.ReportVersion) string { return withUnit(v.ServedP95MS, "ms") })
	row("requests", func(v *client.ReportVersion) string { return requests(v) })
	row("peak memory", func(v *client.ReportVersion) string {
		if v.MemoryPeakBytes == nil {
			return ""
		}
		return bytesOf(*v.MemoryPeakBytes)
	})
	row("runtime", func(v *client.ReportVersion) string { return library(v.Runtime) })
	row("providers", func(v *client.ReportVersion) string {
		if v.Runtime == nil {
			return ""
		}
		return strings.Join(plainAll(v.Runtime.Providers), ", ")
	})
	return rows
}

func requests(v *client.ReportVersion) string {
	if v.Requests == nil {
		return ""
	}
	text := strconv.FormatInt(*v.Requests, 10)
	if v.Errors != nil {
		text += fmt.Sprintf(", %d failed", *v.Errors)
	}
	return text
}

func bytesOf(n int64) string {
	if n <= 0 {
		return ""
	}
	return size(n)
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}
