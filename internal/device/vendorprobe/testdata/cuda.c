/* A stand-in for NVIDIA's CUDA driver, with two GPUs, of which the second is part of
   the processor. What is defined in front of it makes it misbehave. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { success = 0, no_device = 100, invalid_value = 1, first_handle = 7 };

int cuInit(unsigned flags) {
#ifdef CRASH
    *(volatile int *)0 = 1;
#endif
#ifdef HANG
    for (;;) pause();
#endif
#ifdef NO_DEVICE
    return no_device;
#endif
    return flags == 0 ? success : invalid_value;
}
int cuDriverGetVersion(int *version) { *version = 12080; return success; }
#ifndef NO_COUNT
int cuDeviceGetCount(int *count) { *count = 2; return success; }
#endif
int cuDeviceGet(int *device, int ordinal) { *device = first_handle + ordinal; return success; }
int cuDeviceGetName(char *text, int size, int device) { snprintf(text, size, device == first_handle ? "NVIDIA GeForce RTX 3090" : "Orin"); return success; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int integrated = device != first_handle;
    switch (attribute) {
    case 18: *value = integrated; return success;
    case 75: *value = 8; return success;
    case 76: *value = integrated ? 7 : 6; return success;
    }
    return invalid_value;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = device == first_handle ? 24ull << 30 : 8ull << 30; return success; }
int cuDeviceGetPCIBusId(char *text, int size, int device) { snprintf(text, size, device == first_handle ? "0000:01:00.0" : "0000:0A:00.0"); return success; }
int cuGetErrorName(int result, const char **text) { *text = "CUDA_ERROR_NO_DEVICE"; return result == no_device ? success : invalid_value; }
int cuGetErrorString(int result, const char **text) { *text = "no CUDA-capable device is detected"; return result == no_device ? success : invalid_value; }
