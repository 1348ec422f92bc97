package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"verge/internal/fault"
)

// Memory returns the bytes that a process takes and that are not pages of files:
// its own memory and shared memory that it has mapped and touched. It fails with
// fault.NotFound when there is no such process.
func Memory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fault.New(fault.NotFound, "sandbox.memory", "no process %d: %w", pid, err)
	}
	return parseStatus(string(text)), nil
}

// parseStatus adds RssAnon and RssShmem of a proc(5) status file. A process that
// has ended, but was not waited for, has neither.
func parseStatus(text string) (total int64) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		if name != "RssAnon" && name != "RssShmem" {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err == nil && kb > 0 {
			total += kb << 10
		}
	}
	return total
}
