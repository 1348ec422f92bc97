// A stand-in for ONNX Runtime that is the real library at REAL, but turns bad: in a session
// whose model's bytes hold "verge-bad:MODE:AFTER:", every run after the first AFTER ones of the
// process crashes, fails (refuse: as if the input were wrong), sleeps, leaks (hog: more), or answers NaN or something wrong. MODE noload refuses
// the model once the file that AFTER names is there.
//
// The table of functions is that of struct OrtApi in onnxruntime_c_api.h, which is only ever
// appended to.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { create_status = 0, create_session_from_array = 8, run = 9, get_tensor_mutable_data = 51, entries = 420 };

typedef struct {
	void **(*get_api)(uint32_t version);
	const char *(*get_version)(void);
} base;

static const base *real;
static void **api; // of the real library
static void *table[entries];
static char mode[16], after[256];
static long runs;

static void *fail(const char *why) { return ((void *(*)(int, const char *))table[create_status])(1, why); }

static void *bad_create(void *env, const char *data, size_t size, const void *options, void **out) {
	const char *mark = memmem(data, size, "verge-bad:", 10);
	if (mark) {
		char text[sizeof mode + sizeof after + 16];
		size_t n = size - (size_t)(mark - data);
		if (n >= sizeof text)
			n = sizeof text - 1;
		memcpy(text, mark, n);
		text[n] = 0;
		sscanf(text, "verge-bad:%15[^:]:%255[^:]:", mode, after);
	}
	if (!strcmp(mode, "noload") && !access(after, F_OK))
		return fail("the file is of another kind");
	return ((void *(*)(void *, const char *, size_t, const void *, void **))api[create_session_from_array])(env, data, size, options, out);
}

static void *bad_run(void *session, const void *options, const char *const *in, const void *const *values, size_t ins,
		const char *const *out, size_t outs, void **answers) {
	int bad = mode[0] && __atomic_add_fetch(&runs, 1, __ATOMIC_RELAXED) > atol(after);
	if (bad && !strcmp(mode, "crash"))
		*(volatile int *)0 = 1;
	if (bad && !strcmp(mode, "fail"))
		return fail("it does not want to");
	if (bad && !strcmp(mode, "refuse"))
		return fail("Non-zero status code returned while running Add node."); // as for a wrong input
	if (bad && !strcmp(mode, "slow"))
		usleep(200 * 1000);
	if (bad && (!strcmp(mode, "leak") || !strcmp(mode, "hog"))) {
		size_t lost = mode[0] == 'l' ? 32 << 10 : 12 << 20;
		memset(malloc(lost), 1, lost);
	}
	void *status = ((void *(*)(void *, const void *, const char *const *, const void *const *, size_t, const char *const *, size_t, void **))api[run])(
			session, options, in, values, ins, out, outs, answers);
	float *numbers = NULL;
	if (!status && bad && (!strcmp(mode, "nan") || !strcmp(mode, "wrong"))) {
		status = ((void *(*)(void *, void **))api[get_tensor_mutable_data])(answers[0], (void **)&numbers);
		if (!status)
			numbers[0] = !strcmp(mode, "nan") ? NAN : numbers[0] + 1000;
	}
	return status;
}

static void **bad_api(uint32_t version) {
	api = real->get_api(version);
	if (!api)
		return NULL;
	memcpy(table, api, sizeof table);
	table[create_session_from_array] = (void *)bad_create;
	table[run] = (void *)bad_run;
	return table;
}

static const char *version(void) { return real->get_version(); }

const base *OrtGetApiBase(void) {
	static const base mine = {bad_api, version};
	void *library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		abort();
	}
	real = ((const base *(*)(void))dlsym(library, "OrtGetApiBase"))();
	return &mine;
}
