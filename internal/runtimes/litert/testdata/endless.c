/* A stand-in for a TensorFlow Lite that can be interrupted, with one model: y FP32[1] is
   x FP32[1], and does not end while x is over 0. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct { int size, data[1]; } ints;
static ints shape = {1, {1}};

typedef struct {
  int type;
  float* data;
  ints* dims;
  char unused[16];
  size_t bytes;
  void* allocation;
  const char* name;
  char rest[48];
} tensor;

static float values[2];
static tensor x = {1, &values[0], &shape, {0}, 4, NULL, "x"}, y = {1, &values[1], &shape, {0}, 4, NULL, "y"};
static volatile int running, canceled;
static int enabled;

int is_running(void) { return running; }

const char* TfLiteVersion(void) { return "2.99.0"; }
void* TfLiteModelCreate(const void* data, size_t n) { return &x; }
void TfLiteModelDelete(void* m) {}
void* TfLiteInterpreterOptionsCreate(void) { return &x; }
void TfLiteInterpreterOptionsDelete(void* o) {}
void TfLiteInterpreterOptionsSetNumThreads(void* o, int32_t n) {}
void TfLiteInterpreterOptionsAddDelegate(void* o, void* d) {}
void TfLiteInterpreterOptionsSetErrorReporter(void* o, void* f, void* data) {}
int TfLiteInterpreterOptionsEnableCancellation(void* o, _Bool enable) { enabled = enable; return 0; }
void* TfLiteInterpreterCreate(void* m, void* o) { return &x; }
void TfLiteInterpreterDelete(void* i) {}
int TfLiteInterpreterAllocateTensors(void* i) { return 0; }
int TfLiteInterpreterInvoke(void* i) {
  canceled = 0;
  running = 1;
  while (values[0] > 0 && !canceled) continue;
  running = 0;
  values[1] = values[0];
  return canceled ? 8 : 0;
}
int TfLiteInterpreterCancel(void* i) { canceled = enabled; return 0; }
int TfLiteInterpreterResizeInputTensor(void* i, int32_t k, const int* dims, int32_t n) { return 1; }
int32_t TfLiteInterpreterGetInputTensorCount(void* i) { return 1; }
int32_t TfLiteInterpreterGetOutputTensorCount(void* i) { return 1; }
tensor* TfLiteInterpreterGetInputTensor(void* i, int32_t k) { return &x; }
tensor* TfLiteInterpreterGetOutputTensor(void* i, int32_t k) { return &y; }
int TfLiteTensorType(const tensor* t) { return t->type; }
int32_t TfLiteTensorNumDims(const tensor* t) { return t->dims->size; }
int32_t TfLiteTensorDim(const tensor* t, int32_t k) { return t->dims->data[k]; }
size_t TfLiteTensorByteSize(const tensor* t) { return t->bytes; }
void* TfLiteTensorData(const tensor* t) { return t->data; }
const char* TfLiteTensorName(const tensor* t) { return t->name; }
int TfLiteTensorCopyFromBuffer(tensor* t, const void* p, size_t n) { memcpy(t->data, p, n); return 0; }
