/* A stand-in for libedgetpu, with one device on USB; with PCI defined, with one on PCI
   Express as well. */
#include <stddef.h>
#include <stdlib.h>

struct edgetpu_device { int type; const char *path; };

const char *edgetpu_version(void) { return "BuildLabel(COMPILER=6.3.0), RuntimeVersion(14)"; }
struct edgetpu_device *edgetpu_list_devices(size_t *count) {
    struct edgetpu_device *list = calloc(2, sizeof *list);
    *count = 1;
    list[0].type = 1;
    list[0].path = "/sys/bus/usb/devices/2-1";
#ifdef PCI
    list[1].path = "/dev/apex_0";
    *count = 2;
#endif
#ifdef NONE
    *count = 0;
    free(list);
    return NULL;
#endif
    return list;
}
void edgetpu_free_devices(struct edgetpu_device *list) { free(list); }
