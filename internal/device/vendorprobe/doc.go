// Package vendorprobe asks the libraries of accelerators' vendors what the kernel does
// not tell: NVIDIA's management library (NVML) and CUDA driver, libedgetpu, OpenVINO.
// Such a library runs a vendor's code, which may crash or hang on a broken driver; so
// each is opened in a process of its own, which lives for that one question:
//
//	queries := vendorprobe.Queries(m, facts.Accelerators, openvino)
//	answers := vendorprobe.New([]string{self, "probe"}, nil).Ask(ctx, queries)
//	vendorprobe.Merge(&facts, answers)
//
// Main is the other side, in that process. Whatever happens to it is a text in the
// answer and never an error of the caller. No process is started for a library that
// is not there.
//
// Libraries are called through package native. What they write their results to is
// memory that stays until the process ends, so that nothing here needs unsafe code.
package vendorprobe
