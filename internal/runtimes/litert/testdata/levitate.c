/* A delegate for tests: it takes over the custom operator OPERATOR, which is y = x + 1
   for FP32, and counts what is made and freed. The structures are laid out as those of
   tensorflow/lite/c/common.h; only the members in use are named. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef OPERATOR
#define OPERATOR "Levitate"
#endif

typedef struct { int size; int data[]; } ints;

typedef struct tensor {
  int type;
  float* data;
  ints* dims;
  char unused[16];
  size_t bytes;
  char rest[64];
} tensor;

typedef struct { ints* inputs; ints* outputs; } node;

struct context;
struct delegate;

typedef struct {
  void* (*init)(struct context*, const char*, size_t);
  void (*free)(struct context*, void*);
  int (*prepare)(struct context*, node*);
  int (*invoke)(struct context*, node*);
  void* profiling;
  int32_t builtin;
  const char* custom;
  int version;
} registration;

typedef struct context {
  size_t tensors_size;
  int (*plan)(struct context*, ints**);
  tensor* tensors;
  void* impl;
  int (*resize)(struct context*, tensor*, ints*);
  void (*report)(struct context*, const char*, ...);
  void* add_tensors;
  int (*get_node)(struct context*, int, node**, registration**);
  int (*replace)(struct context*, registration, const ints*, struct delegate*);
} context;

typedef struct delegate {
  void* data;
  int (*prepare)(context*, struct delegate*);
  void* copy_from;
  void* copy_to;
  void* free_handle;
  int64_t flags;
} delegate;

static int made, freed, kernels;

int delegates_made(void) { return made; }
int delegates_freed(void) { return freed; }
/* Kernels that outlived the delegate they belong to: always 0 where the interpreter goes first. */
int kernels_left(void) { return kernels; }

static void* kernel_init(context* c, const char* buffer, size_t length) { kernels++; return &kernels; }
static void kernel_free(context* c, void* buffer) { if (made > freed) kernels--; }

static int kernel_prepare(context* c, node* n) {
  ints* dims = c->tensors[n->inputs->data[0]].dims;
  size_t size = sizeof(int) * (dims->size + 1);
  ints* copy = malloc(size);
  memcpy(copy, dims, size);
  return c->resize(c, &c->tensors[n->outputs->data[0]], copy);
}

static int kernel_invoke(context* c, node* n) {
  tensor *x = &c->tensors[n->inputs->data[0]], *y = &c->tensors[n->outputs->data[0]];
  for (size_t i = 0; i < y->bytes / sizeof(float); i++) y->data[i] = x->data[i] + 1;
  return 0;
}

static int prepare(context* c, delegate* d) {
  ints* plan;
  if (c->plan(c, &plan) != 0) return 1;
  ints* taken = malloc(sizeof(int) * (plan->size + 1));
  taken->size = 0;
  for (int i = 0; i < plan->size; i++) {
    node* n;
    registration* r;
    if (c->get_node(c, plan->data[i], &n, &r) != 0) return 1;
    if (r->custom && strcmp(r->custom, OPERATOR) == 0) taken->data[taken->size++] = plan->data[i];
  }
  registration kernel = {kernel_init, kernel_free, kernel_prepare, kernel_invoke, NULL, 0, "LevitateDelegate", 1};
  int status = c->replace(c, kernel, taken, d);
  free(taken);
  return status;
}

static delegate* create(void) {
  delegate* d = calloc(1, sizeof(delegate));
  d->prepare = prepare;
  d->flags = 1; /* any shape: without it, 2.9 prepares the operators first, and fails */
  made++;
  return d;
}

static void destroy(delegate* d) { freed++; free(d); }

#ifdef EDGETPU
typedef struct { int type; const char* path; } device;
typedef struct { const char *name, *value; } option;

/* What the last delegate was made for: "1 path name=value". */
static char asked[256];
const char* last_asked(void) { return asked; }

device* edgetpu_list_devices(size_t* n) {
  *n = EDGETPU;
  if (EDGETPU == 0) return NULL;
  device* all = calloc(EDGETPU, sizeof(device));
  for (int i = 0; i < EDGETPU; i++) { all[i].type = i % 2 == 0; all[i].path = i % 2 == 0 ? "/sys/bus/usb/devices/2-1" : "/dev/apex_0"; }
  return all;
}

void edgetpu_free_devices(device* all) { free(all); }

delegate* edgetpu_create_delegate(int type, const char* path, const option* options, size_t n) {
  asked[0] = '0' + type;
  asked[1] = ' ';
  strcpy(asked + 2, path);
  for (size_t i = 0; i < n; i++) {
    if (strcmp(options[i].name, "busy") == 0) return NULL;
    strcat(strcat(strcat(strcat(asked, " "), options[i].name), "="), options[i].value);
  }
  return create();
}

void edgetpu_free_delegate(delegate* d) { destroy(d); }
#else
delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t n, void (*report)(const char*)) {
  for (size_t i = 0; i < n; i++)
    if (strcmp(keys[i], "height") == 0 && atoi(values[i]) > 9) {
      report("height is over 9");
      return NULL;
    }
  return create();
}

void tflite_plugin_destroy_delegate(delegate* d) { destroy(d); }
#endif
