/* A stand-in for OpenVINO's C library, with a processor, a GPU and an NPU. */
#include <stddef.h>
#include <string.h>

typedef struct { const char *build, *description; } ov_version_t;
typedef struct { char **devices; size_t size; } ov_available_devices_t;

static char *names[] = {"CPU", "GPU", "NPU"};
static char text[256];

int ov_get_openvino_version(ov_version_t *v) { v->build = "2026.4.1-22982"; v->description = "OpenVINO Runtime"; return 0; }
int ov_core_create(void **core) { *core = names; return 0; }
int ov_core_get_available_devices(void *core, ov_available_devices_t *list) {
    list->devices = names; list->size = 3;
    return core == names ? 0 : -14;
}
const char *ov_get_last_err_msg(void) { return "Exception from src/core.cpp:12:\nthe driver is too old\n"; }
int ov_core_get_property(void *core, const char *device, const char *key, char **value) {
    int gpu = strcmp(device, "GPU") == 0;
    *value = text;
    if (core != names) return -14;
    if (strcmp(key, "FULL_DEVICE_NAME") == 0) {
#ifdef NO_NAME
        if (!gpu) return -1;
#endif
        strcpy(text, gpu ? "Intel(R) Arc(TM) Graphics (iGPU)" : "Intel(R) AI Boost");
        return 0;
    }
    if (strcmp(key, "DEVICE_PCI_INFO") == 0) {
        strcpy(text, gpu ? "{domain: 0 bus: 0 device: 0x2 function: 0}" : "{domain: 0 bus: 0 device: 0xb function: 0}");
        return 0;
    }
    if (strcmp(key, "DEVICE_TYPE") == 0 && gpu) { strcpy(text, "integrated"); return 0; }
    return -1;
}
