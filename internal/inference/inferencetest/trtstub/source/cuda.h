// What the stand-in for TensorRT uses of the stand-in for the CUDA driver.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int cuMemAlloc_v2(uint64_t *address, size_t bytes);
int cuMemFree_v2(uint64_t address);

// stub_current says whether the primary context is current on this thread.
int stub_current(void);
// stub_capability returns the device's compute capability, 100 * major + minor.
int stub_capability(void);
// stub_push adds work to a stream, which is done when the stream is synchronised.
// It returns 0 where there is no such stream.
int stub_push(void *stream, void (*work)(void *), void *argument);
// stub_inside says whether so many bytes lie in one live piece of device memory.
int stub_inside(uint64_t address, size_t bytes);
// stub_violation keeps the first sentences about rules that were broken.
void stub_violation(const char *format, ...);
// stub_option returns what a test has set, or 0.
int64_t stub_option(const char *name);
// stub_clear sets an option to 0, and returns what it was.
int64_t stub_clear(const char *name);
// stub_wait blocks until stub_release, or an earlier stub_release that nobody has
// waited for.
void stub_wait(void);

#ifdef __cplusplus
}
#endif
