// A stand-in for libcuda.so.1: the functions of cuda.h (the driver interface) that
// the adapter calls, without a GPU. Device memory is the process's. Work on a stream
// is put off until the stream is synchronised, as a slow GPU would: whoever reads a
// result before that reads what was there before.
//
// It enforces rules and remembers who breaks them: the context has to be current on
// the calling thread, copies have to lie in live device memory, streams have to exist,
// and nothing is freed while work that may use it is on a stream.
#include "cuda.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, ILLEGAL_ADDRESS = 700 };

struct work {
    struct work *next;
    void (*run)(void *);
    void *argument;
    void *to;         // of a copy, or NULL
    const void *from;
    size_t bytes;
};

struct stream {
    struct stream *next;
    struct work *first, **last;
    int busy; // in cuStreamSynchronize
};

struct memory {
    struct memory *next;
    uint64_t address;
    size_t bytes;
};

struct option {
    struct option *next;
    char name[32];
    int64_t value;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards all but what each thread has
static struct stream *streams;
static struct memory *memories;
static struct option *options;
static size_t used;
static char broken[4096];
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER; // guards waiting and released
static pthread_cond_t gate = PTHREAD_COND_INITIALIZER;
static int waiting, released;

static int initialised, retained;
static int primary; // its address is the primary context
static _Thread_local void *current;

int stub_current(void) { return current == &primary; }

void stub_violation(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    if (strlen(broken) + strlen(line) + 3 < sizeof broken) {
        strcat(broken, line);
        strcat(broken, "\n");
    }
    pthread_mutex_unlock(&lock);
}

int64_t stub_set(const char *name, int64_t value) {
    pthread_mutex_lock(&lock);
    struct option *o = options;
    while (o && strcmp(o->name, name))
        o = o->next;
    if (!o) {
        o = calloc(1, sizeof *o);
        snprintf(o->name, sizeof o->name, "%s", name);
        o->next = options;
        options = o;
    }
    int64_t old = o->value;
    o->value = value;
    pthread_mutex_unlock(&lock);
    return old;
}

int64_t stub_clear(const char *name) { return stub_set(name, 0); }

int64_t stub_option(const char *name) {
    int64_t value = 0;
    pthread_mutex_lock(&lock);
    for (struct option *o = options; o; o = o->next)
        if (!strcmp(o->name, name))
            value = o->value;
    pthread_mutex_unlock(&lock);
    return value;
}

// stub_broken copies what rules were broken to text, and forgets it.
void stub_broken(char *text, size_t room) {
    pthread_mutex_lock(&lock);
    snprintf(text, room, "%s", broken);
    broken[0] = 0;
    pthread_mutex_unlock(&lock);
}

// stub_used returns the bytes of device memory that are not freed.
int64_t stub_used(void) {
    pthread_mutex_lock(&lock);
    int64_t bytes = used;
    pthread_mutex_unlock(&lock);
    return bytes;
}

// stub_streams returns how many streams are not destroyed.
int64_t stub_streams(void) {
    int64_t count = 0;
    pthread_mutex_lock(&lock);
    for (struct stream *s = streams; s; s = s->next)
        count++;
    pthread_mutex_unlock(&lock);
    return count;
}

void stub_wait(void) {
    pthread_mutex_lock(&gate_lock);
    waiting++;
    pthread_cond_broadcast(&gate);
    while (!released)
        pthread_cond_wait(&gate, &gate_lock);
    released--;
    waiting--;
    pthread_mutex_unlock(&gate_lock);
}

// stub_await returns when somebody is in stub_wait.
void stub_await(void) {
    pthread_mutex_lock(&gate_lock);
    while (!waiting)
        pthread_cond_wait(&gate, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
}

void stub_release(void) {
    pthread_mutex_lock(&gate_lock);
    released++;
    pthread_cond_broadcast(&gate);
    pthread_mutex_unlock(&gate_lock);
}

int stub_capability(void) {
    int value = (int)stub_option("capability");
    return value ? value : 806;
}

static size_t total(void) {
    size_t bytes = (size_t)stub_option("total");
    return bytes ? bytes : (size_t)1 << 30;
}

static int ready(const char *function) {
    if (stub_current())
        return 1;
    stub_violation("%s: the context is not current on this thread", function);
    return 0;
}

static struct stream *find(void *handle) { // lock is held
    struct stream *s = streams;
    while (s && s != handle)
        s = s->next;
    return s;
}

int stub_inside(uint64_t address, size_t bytes) {
    int found = 0;
    pthread_mutex_lock(&lock);
    for (struct memory *m = memories; m; m = m->next)
        if (address >= m->address && bytes <= m->bytes && address - m->address <= m->bytes - bytes)
            found = 1;
    pthread_mutex_unlock(&lock);
    return found;
}

static int add(void *handle, struct work w) {
    pthread_mutex_lock(&lock);
    struct stream *s = find(handle);
    if (s) {
        struct work *copy = malloc(sizeof *copy);
        *copy = w;
        copy->next = NULL;
        *s->last = copy;
        s->last = &copy->next;
    }
    pthread_mutex_unlock(&lock);
    return s != NULL;
}

int stub_push(void *stream, void (*run)(void *), void *argument) {
    struct work w = {0};
    w.run = run;
    w.argument = argument;
    return add(stream, w);
}

int cuInit(unsigned flags) {
    int code = (int)stub_option("init");
    if (flags || code)
        return code ? code : INVALID_VALUE;
    initialised = 1;
    return OK;
}

int cuDriverGetVersion(int *version) {
    *version = 12080;
    return OK;
}

int cuDeviceGetCount(int *count) {
    if (!initialised)
        return NOT_INITIALIZED;
    *count = stub_option("no_device") ? 0 : 1;
    return OK;
}

int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal == 0 ? OK : INVALID_DEVICE;
}

int cuDeviceGetName(char *name, int room, int device) {
    snprintf(name, (size_t)room, "Stand-in GPU");
    return device == 0 ? OK : INVALID_DEVICE;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int capability = stub_capability();
    *value = attribute == 75 ? capability / 100 : attribute == 76 ? capability % 100 : -1;
    return device == 0 && *value >= 0 ? OK : INVALID_VALUE;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    if (!initialised || device != 0)
        return initialised ? INVALID_DEVICE : NOT_INITIALIZED;
    retained++;
    *context = &primary;
    return OK;
}

int cuCtxSetCurrent(void *context) {
    if (context && (context != &primary || !retained))
        return INVALID_CONTEXT;
    current = context;
    return OK;
}

int cuMemGetInfo_v2(size_t *available, size_t *all) {
    if (!ready("cuMemGetInfo"))
        return INVALID_CONTEXT;
    *all = total();
    *available = *all - (size_t)stub_used();
    return OK;
}

int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    if (!ready("cuMemAlloc"))
        return INVALID_CONTEXT;
    if (!bytes)
        return INVALID_VALUE;
    if ((size_t)stub_used() + bytes > total())
        return OUT_OF_MEMORY;
    struct memory *m = malloc(sizeof *m);
    m->address = (uint64_t)(uintptr_t)aligned_alloc(256, (bytes + 255) / 256 * 256);
    m->bytes = bytes;
    memset((void *)(uintptr_t)m->address, 0xA5, bytes);
    pthread_mutex_lock(&lock);
    m->next = memories;
    memories = m;
    used += bytes;
    pthread_mutex_unlock(&lock);
    *address = m->address;
    return OK;
}

int cuMemFree_v2(uint64_t address) {
    if (!ready("cuMemFree"))
        return INVALID_CONTEXT;
    pthread_mutex_lock(&lock);
    struct memory **at = &memories;
    while (*at && (*at)->address != address)
        at = &(*at)->next;
    struct memory *m = *at;
    if (m) {
        *at = m->next;
        used -= m->bytes;
    }
    pthread_mutex_unlock(&lock);
    if (!m) {
        stub_violation("cuMemFree: no device memory begins there");
        return INVALID_VALUE;
    }
    memset((void *)(uintptr_t)address, 0x5A, m->bytes);
    free((void *)(uintptr_t)address);
    free(m);
    return OK;
}

static int copy(const char *function, uint64_t device, void *to, const void *from, size_t bytes, void *stream) {
    if (!ready(function))
        return INVALID_CONTEXT;
    if (!stub_inside(device, bytes)) {
        stub_violation("%s: %zu bytes do not lie in device memory", function, bytes);
        return INVALID_VALUE;
    }
    struct work w = {0};
    w.to = to;
    w.from = from;
    w.bytes = bytes;
    if (add(stream, w))
        return OK;
    stub_violation("%s: no such stream", function);
    return INVALID_HANDLE;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
    return copy("cuMemcpyHtoDAsync", to, (void *)(uintptr_t)to, from, bytes, stream);
}

int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
    return copy("cuMemcpyDtoHAsync", from, to, (const void *)(uintptr_t)from, bytes, stream);
}

int cuStreamCreate(void **stream, unsigned flags) {
    if (!ready("cuStreamCreate"))
        return INVALID_CONTEXT;
    if (flags > 1)
        return INVALID_VALUE;
    struct stream *s = calloc(1, sizeof *s);
    s->last = &s->first;
    pthread_mutex_lock(&lock);
    s->next = streams;
    streams = s;
    pthread_mutex_unlock(&lock);
    *stream = s;
    return OK;
}

int cuStreamSynchronize(void *stream) {
    if (!ready("cuStreamSynchronize"))
        return INVALID_CONTEXT;
    pthread_mutex_lock(&lock);
    struct stream *s = find(stream);
    struct work *w = NULL;
    if (s) {
        w = s->first;
        s->first = NULL;
        s->last = &s->first;
        s->busy++;
    }
    pthread_mutex_unlock(&lock);
    if (!s) {
        stub_violation("cuStreamSynchronize: no such stream");
        return INVALID_HANDLE;
    }
    while (w) {
        struct work *next = w->next;
        if (w->run)
            w->run(w->argument);
        else if (w->bytes)
            memcpy(w->to, w->from, w->bytes);
        free(w);
        w = next;
    }
    pthread_mutex_lock(&lock);
    s->busy--;
    pthread_mutex_unlock(&lock);
    return stub_clear("illegal_address") ? ILLEGAL_ADDRESS : OK;
}

int cuStreamDestroy_v2(void *stream) {
    if (!ready("cuStreamDestroy"))
        return INVALID_CONTEXT;
    pthread_mutex_lock(&lock);
    struct stream **at = &streams;
    while (*at && *at != stream)
        at = &(*at)->next;
    struct stream *s = *at;
    int early = s && (s->first || s->busy);
    if (s)
        *at = s->next;
    pthread_mutex_unlock(&lock);
    if (!s || early)
        stub_violation(s ? "cuStreamDestroy: the stream has work" : "cuStreamDestroy: no such stream");
    free(s);
    return s ? OK : INVALID_HANDLE;
}

int cuGetErrorName(int code, const char **text) {
    *text = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : code == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_UNKNOWN";
    return OK;
}

int cuGetErrorString(int code, const char **text) {
    *text = code == OUT_OF_MEMORY ? "out of memory" : code == NO_DEVICE ? "no CUDA-capable device is detected" : code == ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : "unknown error";
    return OK;
}
