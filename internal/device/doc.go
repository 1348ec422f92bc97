// Package device says what this machine is and how it is doing: board, processors,
// clocks, memory, disk, temperatures, throttling, accelerators. It reads the
// kernel's own files, opens no vendor library and starts no process:
//
//	m := device.New()
//	m.CPUs()                      // threads that it makes sense to run
//	meter := m.NewCPUMeter()      // processor time from here on
//	facts := m.Facts("/var/lib/verge")
//
// What the kernel does not tell is left out, not guessed, and is no error: half of
// these files are missing on any machine. A control group that bounds this process
// counts as the machine's bound: memory and processors are those that it may use.
//
// An accelerator is one device, however many nodes and classes the kernel shows it
// in, and is what its driver says it is. Its memory is told only where it is its own:
// what shares the machine's is counted once, in Memory. Package provider adds which
// runtimes are made for it, and package vendorprobe what only its vendor's library knows.
//
// Every file is read anew at each call and below one directory, "/" unless a test or
// a person gives another; symbolic links are followed below it. A Machine holds no
// state and is safe for concurrent use.
package device
