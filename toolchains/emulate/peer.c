// Runs llama.cpp's own shared libraries through the calls that q4engine makes, and marks calls and operations for the
// counting plugin (plugin.c). aarch64 alone, one thread.
//
//   peer FOLDER LLAMA GGML MODEL STEPS TOKEN…
//
// FOLDER holds the libraries, LLAMA and GGML are their names in it; the tokens are one call, then come STEPS calls of
// one token.
//
// The two functions at the end stand before the library's own, since an executable's symbols come first; each marks
// where an operation begins and goes on to the real one.
//
// stdout: a line a mark, "STAMP call N", "STAMP OP NAME" or "STAMP end".
#define _GNU_SOURCE
#include "llama_libraries.h"

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPTION 0x51344d4bL // native/emulator.c
#define MAX_TOKENS 4096
#define MAX_MARKS 65536
#define EXPORT __attribute__((visibility("default")))

enum { CALL, THREAD };

static struct {
    void (*backend_init)(void);
    void (*load_all)(const char *folder);
    struct opaque (*model_params)(void);
    struct opaque (*context_params)(void);
    void *(*load_model)(const char *path, struct opaque params);
    void *(*new_context)(void *model, struct opaque params);
    void (*set_threads)(void *context, int32_t decode, int32_t batch);
    struct opaque (*batch)(int32_t *tokens, int32_t n);
    int32_t (*decode)(void *context, struct opaque batch);
    const char *(*name)(const void *tensor);
    const char *(*op)(const void *tensor);
    bool (*extra)(void *params, void *node);
    void (*norm_mul)(const void *params, void *norm, void *mul);
} real;

// Written out at the end: a mark costs what is marked a few dozen instructions.
static struct {
    const char *op;
    char name[64]; // as long as the library's own
} marks[MAX_MARKS];

static bool marking;
static long stamp;

static void mark(long kind, const char *op, const char *name) {
    if (stamp == MAX_MARKS)
        give_up("too many operations: ask for fewer", "steps");
    marks[stamp].op = op;
    strncpy(marks[stamp].name, name, sizeof marks->name - 1);
    syscall(SYS_prctl, OPTION, kind, 0L, stamp++, 0L);
}

// ---- finding the library's functions ------------------------------------------------------------
static int find_cpu_library(struct dl_phdr_info *info, size_t size, void *found) {
    (void)size;
    if (strstr(info->dlpi_name, "libggml-cpu") == NULL)
        return 0;
    *(void **)found = dlopen(info->dlpi_name, RTLD_NOW | RTLD_NOLOAD);
    fprintf(stderr, "peer: %s\n", strrchr(info->dlpi_name, '/') + 1);
    return 1;
}

static void find_all(const char *folder, const char *llama_name, const char *ggml_name) {
    const struct wanted_function llama[] = {
        {&real.backend_init, "llama_backend_init"},
        {&real.model_params, "llama_model_default_params"},
        {&real.context_params, "llama_context_default_params"},
        {&real.load_model, "llama_model_load_from_file"},
        {&real.new_context, "llama_init_from_model"},
        {&real.set_threads, "llama_set_n_threads"},
        {&real.batch, "llama_batch_get_one"},
        {&real.decode, "llama_decode"},
    };
    const struct wanted_function ggml[] = {{&real.load_all, "ggml_backend_load_all_from_path"}};
    const struct wanted_function base[] = {{&real.name, "ggml_get_name"}, {&real.op, "ggml_op_desc"}};
    const struct wanted_function of_cpu[] = {
        {&real.extra, "ggml_cpu_extra_compute_forward"},
        {&real.norm_mul, "ggml_compute_forward_rms_norm_mul_fused"},
    };
    find_functions(open_library(folder, llama_name), llama, sizeof llama / sizeof *llama);
    find_functions(open_library(folder, ggml_name), ggml, sizeof ggml / sizeof *ggml);
    find_functions(open_library(folder, "libggml-base.so"), base, sizeof base / sizeof *base);
    real.backend_init();
    real.load_all(folder);
    void *cpu = NULL;
    dl_iterate_phdr(find_cpu_library, &cpu);
    if (cpu == NULL)
        give_up("none of the libraries suits this CPU:", folder);
    find_functions(cpu, of_cpu, sizeof of_cpu / sizeof *of_cpu);
}

// ---- the calls ----------------------------------------------------------------------------------
static void decode(void *context, int32_t *tokens, int32_t n) {
    char count[16];
    snprintf(count, sizeof count, "%d", n);
    struct opaque batch = real.batch(tokens, n);
    mark(CALL, "call", count);
    marking = true;
    int32_t failed = real.decode(context, batch);
    marking = false;
    mark(CALL, "end", "-");
    if (failed)
        give_up("llama_decode failed with", count);
}

static void *new_context(const char *path, uint32_t positions) {
    void *model = real.load_model(path, real.model_params());
    if (model == NULL)
        give_up("cannot load", path);
    struct opaque params = real.context_params();
    memcpy(params.bytes, &positions, sizeof positions); // n_ctx, its first field since there is one
    void *context = real.new_context(model, params);
    if (context == NULL)
        give_up("no context for", path);
    real.set_threads(context, 1, 1);
    return context;
}

int main(int argc, char **argv) {
    static int32_t tokens[MAX_TOKENS];
    int n = argc - 6;
    if (n < 1 || n > MAX_TOKENS)
        give_up("expected FOLDER LLAMA GGML MODEL STEPS TOKEN…, not", argv[0]);
    find_all(argv[1], argv[2], argv[3]);
    int steps = atoi(argv[5]);
    for (int i = 0; i < n; i++)
        tokens[i] = atoi(argv[6 + i]);
    void *context = new_context(argv[4], 512 * (1 + (uint32_t)(n + steps) / 512));
    decode(context, tokens, n);
    for (int i = 0; i < steps; i++)
        decode(context, &tokens[n - 1], 1);
    for (long i = 0; i < stamp; i++)
        printf("%ld %s %s\n", i, marks[i].op, marks[i].name);
    fflush(stdout);
    _exit(0); // nothing that counts follows
}

// ---- in the way of the library's own ------------------------------------------------------------
EXPORT bool ggml_cpu_extra_compute_forward(void *params, void *node) {
    if (marking)
        mark(THREAD, real.op(node), real.name(node));
    return real.extra(params, node);
}

EXPORT void ggml_compute_forward_rms_norm_mul_fused(const void *params, void *norm, void *mul) {
    if (marking)
        mark(THREAD, "RMS_NORM_MUL", real.name(mul));
    real.norm_mul(params, norm, mul);
}
