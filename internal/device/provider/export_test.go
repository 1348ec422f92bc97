package provider

import (
	"slices"

	"verge/internal/device"
)

// AddWithAdapters is Add in a version that has an adapter for every provider.
func AddWithAdapters(m *device.Machine, facts *device.Facts, installed []Installed) {
	all := slices.Clone(table)
	for i := range all {
		all[i].adapter = true
	}
	add(all, m, facts, installed)
}
