// Package version holds the version of this build, and compares versions of libraries.
package version

// Version is the release this binary belongs to. The release build sets it
// with -ldflags '-X verge/internal/version.Version=…'.
var Version = "0.1.0-dev" //nolint:gochecknoglobals // the linker can set only a package variable
