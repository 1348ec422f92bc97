/* A stand-in for NVIDIA's management library, with two GPUs. What is defined in front
   of it makes it misbehave. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned gpu, memory; } utilisation;
enum { ok = 0, unsupported = 3, not_loaded = 9, lost = 15 };

static int devices[2]; /* a handle is the address of one */
static int second(void *handle) { return handle == &devices[1]; }
static char version[80] = "570.124.06";

int nvmlInit_v2(void) {
#ifdef CRASH
    *(volatile int *)0 = 1;
#endif
#ifdef ABORT
    abort();
#endif
#ifdef EXIT
    exit(0);
#endif
#ifdef HANG
    for (;;) pause();
#endif
#ifdef LEAVE_BEHIND
    int child = fork();
    if (child == 0) for (;;) pause();
    snprintf(version, sizeof version, "%d", child);
#endif
#ifdef GARBAGE
    printf("\x1b[31m}{ garbage\n"); fflush(stdout);
    for (int i = 0; i < 100; i++) if (write(1, "[1, 2, \"\0", 9) < 0) return 999;
#endif
#ifdef NO_DRIVER
    return not_loaded;
#endif
    return ok;
}
const char *nvmlErrorString(int status) {
    return status == not_loaded ? "Driver Not Loaded" : status == lost ? "GPU is lost" : "Unknown Error";
}
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "%s", version); return ok; }
#ifndef NO_COUNT
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return ok; }
#endif
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
#ifdef LOST
    if (index == 1) return lost;
#endif
    *handle = &devices[index];
    return ok;
}
int nvmlDeviceGetName(void *h, char *text, unsigned size) { snprintf(text, size, second(h) ? "NVIDIA T400 4GB" : "NVIDIA GeForce RTX 3090"); return ok; }
int nvmlDeviceGetUUID(void *h, char *text, unsigned size) { snprintf(text, size, "GPU-0000000%d", second(h)); return ok; }
int nvmlDeviceGetPciInfo_v3(void *h, pci *p) {
    memset(p, 0xff, sizeof *p);
    p->domain = second(h) ? 0x10000 : 0; p->bus = second(h) ? 0x41 : 1; p->device = 0;
    snprintf(p->bus_id, sizeof p->bus_id, "%08X:%02X:00.0", p->domain, p->bus);
    return ok;
}
int nvmlDeviceGetMinorNumber(void *h, unsigned *n) { *n = second(h); return ok; }
int nvmlDeviceGetMemoryInfo(void *h, memory *m) {
    m->total = second(h) ? 4ull << 30 : 24ull << 30; m->used = 1ull << 30; m->free = m->total - m->used;
    return ok;
}
int nvmlDeviceGetUtilizationRates(void *h, utilisation *u) { u->gpu = second(h) ? 0 : 37; u->memory = 99; return ok; }
int nvmlDeviceGetTemperature(void *h, int sensor, unsigned *celsius) { *celsius = sensor != 0 ? 199 : second(h) ? 41 : 66; return ok; }
int nvmlDeviceGetPowerUsage(void *h, unsigned *milliwatts) { *milliwatts = 215500; return second(h) ? unsupported : ok; }
