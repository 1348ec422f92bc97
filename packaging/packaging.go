// Package packaging holds what a node is installed with as a service of the system. The
// files beside it are those of the Debian package too.
package packaging

import (
	_ "embed"
	"strings"
)

//go:embed verge.service
var unit string // an embedded file, never changed

//go:embed verge.sysusers
var sysusers string // an embedded file, never changed

//go:embed verge.yaml
var settings string // an embedded file, never changed

// Unit returns the unit of systemd that runs a program, by its absolute path without
// spaces.
func Unit(program string) string {
	return strings.Replace(unit, "ExecStart=/usr/bin/verge ", "ExecStart="+program+" ", 1)
}

// SystemUsers returns the sysusers.d(5) file that makes the service's user and group.
func SystemUsers() string { return sysusers }

// Settings returns the settings file, which has every key with its default.
func Settings() string { return settings }
