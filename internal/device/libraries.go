package device

import (
	"path"
	"slices"
	"strings"
)

// Libraries are the names of the shared libraries in a machine's system folders.
type Libraries struct {
	files files
	dirs  []string
}

// Libraries returns where the system's libraries are: the folders of ld.so.conf
// (ldconfig(8)), the built-in ones, and those that JetPack, CUDA and Intel's
// packages put theirs in.
func (m *Machine) Libraries() Libraries {
	multiarch := m.multiarch()
	var dirs []string
	for _, conf := range append(m.files.Glob("/etc/ld.so.conf.d/*.conf"), "/etc/ld.so.conf") {
		const most = 256
		text, _ := m.files.read(conf)
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); path.IsAbs(line) && len(dirs) < most && !strings.ContainsAny(line, "*?[") {
				dirs = append(dirs, path.Clean(line))
			}
		}
	}
	for _, dir := range []string{"/usr/lib/" + multiarch, "/lib/" + multiarch, "/usr/local/lib/" + multiarch} {
		dirs = append(dirs, dir, dir+"/tegra", dir+"/nvidia", dir+"/intel-opencl")
	}
	dirs = append(dirs, "/usr/local/lib", "/usr/lib64", "/usr/lib", "/lib64", "/lib", "/opt/xilinx/xrt/lib")
	for _, pattern := range []string{"/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/opt/rocm*/lib"} {
		dirs = append(dirs, m.files.Glob(pattern)...)
	}
	slices.Sort(dirs)
	return Libraries{files: m.files, dirs: slices.Compact(dirs)}
}

// Find returns the paths of the libraries whose names match a pattern, such as
// "libnvinfer.so.*". That a name is there does not say that it can be opened.
func (l Libraries) Find(pattern string) []string {
	var found []string
	for _, dir := range l.dirs {
		found = append(found, l.files.Glob(path.Join(dir, pattern))...)
	}
	return found
}
