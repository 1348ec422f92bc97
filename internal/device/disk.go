package device

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
)

// Disk is one file system.
type Disk struct {
	Path           string  `json:"path"` // that was asked about
	TotalBytes     int64   `json:"total_bytes"`
	AvailableBytes int64   `json:"available_bytes"` // to this user
	UsagePercent   float64 `json:"usage_percent"`   // as df computes it, not rounded
}

// Disk reads the file system that path lies on. Where path does not exist yet, that
// is the one that it would be made on.
func (m *Machine) Disk(path string) (Disk, error) {
	path = filepath.Clean(path)
	var st unix.Statfs_t
	for at := path; ; at = filepath.Dir(at) {
		here, err := m.files.Path(at)
		if err == nil {
			err = unix.Statfs(here, &st)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return Disk{}, fault.New(fault.Unavailable, "device.disk", "statfs: %w", err).On(path)
		}
	}
	return diskOf(path, st.Blocks, st.Bfree, st.Bavail, uint64(max(0, st.Bsize))), nil // not negative
}

// diskOf computes as df does: of what this user could ever have, how much is taken.
// Blocks that are kept back for root count neither as taken nor as free.
func diskOf(path string, blocks, free, available, size uint64) Disk {
	d := Disk{Path: path, TotalBytes: int64(blocks * size), AvailableBytes: int64(available * size)} //nolint:gosec // no disk has 2^63 bytes
	used := blocks - min(blocks, free)
	if used+available > 0 {
		d.UsagePercent = 100 * float64(used) / float64(used+available)
	}
	return d
}
