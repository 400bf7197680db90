// Calls of llama.cpp's own shared libraries, to be watched: those of llama_cpp_driver.py, for machines that have no
// such Python. On an architecture whose calls pass large structures as x86-64's or AArch64's do.
//
//   llama_driver FOLDER LLAMA GGML MODEL THREADS LOG STEPS
//
// FOLDER holds the libraries, LLAMA and GGML are their names in it. A prompt in two batches, STEPS single tokens, a
// shift of the cache, two sequences. Prints the greedy tokens, writes a line a call (lowest position, tokens,
// sequences) to LOG, ends with exit code 7.
#define _GNU_SOURCE
#include "../../toolchains/emulate/llama_libraries.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { BATCH = 40, ROOM = 64 };

struct batch {
    int32_t n_tokens, *token;
    float *embd;
    int32_t *pos, *n_seq_id, **seq_id;
    int8_t *logits;
};

static struct {
    void (*backend_init)(void);
    void (*load_all)(const char *folder);
    void (*log_set)(void (*log)(int, const char *, void *), void *data);
    struct opaque (*model_params)(void), (*context_params)(void);
    void *(*load_model)(const char *path, struct opaque params);
    void *(*new_context)(void *model, struct opaque params);
    void (*set_threads)(void *context, int32_t decode, int32_t batch);
    const void *(*vocab)(const void *model);
    int32_t (*n_vocab)(const void *vocab);
    int32_t (*decode)(void *context, struct batch batch);
    float *(*logits)(void *context, int32_t i);
    void *(*memory)(const void *context);
    bool (*seq_rm)(void *memory, int32_t sequence, int32_t from, int32_t to);
    void (*seq_add)(void *memory, int32_t sequence, int32_t from, int32_t to, int32_t by);
    void (*seq_cp)(void *memory, int32_t from, int32_t to, int32_t begin, int32_t end);
} llama;

static void quiet(int level, const char *text, void *data) { (void)level, (void)text, (void)data; }

static void find_all(const char *folder, const char *llama_name, const char *ggml_name) {
    const struct wanted_function own[] = {
        {&llama.backend_init, "llama_backend_init"},
        {&llama.log_set, "llama_log_set"},
        {&llama.model_params, "llama_model_default_params"},
        {&llama.context_params, "llama_context_default_params"},
        {&llama.load_model, "llama_model_load_from_file"},
        {&llama.new_context, "llama_init_from_model"},
        {&llama.set_threads, "llama_set_n_threads"},
        {&llama.vocab, "llama_model_get_vocab"},
        {&llama.n_vocab, "llama_vocab_n_tokens"},
        {&llama.decode, "llama_decode"},
        {&llama.logits, "llama_get_logits_ith"},
        {&llama.memory, "llama_get_memory"},
        {&llama.seq_rm, "llama_memory_seq_rm"},
        {&llama.seq_add, "llama_memory_seq_add"},
        {&llama.seq_cp, "llama_memory_seq_cp"},
    };
    const struct wanted_function ggml[] = {{&llama.load_all, "ggml_backend_load_all_from_path"}};
    find_functions(open_library(folder, llama_name), own, sizeof own / sizeof *own);
    find_functions(open_library(folder, ggml_name), ggml, sizeof ggml / sizeof *ggml);
}

static void *new_context(void *model) {
    struct opaque params = llama.context_params();
    uint32_t sizes[4]; // n_ctx, n_batch, n_ubatch, n_seq_max: its first fields
    memcpy(sizes, params.bytes, sizeof sizes);
    if (sizes[1] != 2048 || sizes[2] != 512 || sizes[3] != 1)
        give_up("llama_context_params has another", "form");
    memcpy(params.bytes, (uint32_t[]){512, ROOM, ROOM, 2}, sizeof sizes);
    return llama.new_context(model, params);
}

static void *context;
static int n_vocab;
static FILE *log_file;

// The likeliest token behind the first one of n, each at the next position or each of a sequence of its own.
static int32_t decode(const int32_t *tokens, int32_t n, int32_t first, int32_t n_sequences) {
    int32_t token[ROOM], pos[ROOM], count[ROOM], ids[] = {0, 1}, *sequences[ROOM];
    int8_t wanted[ROOM];
    for (int32_t i = 0; i < n; i++) {
        token[i] = tokens[i], count[i] = 1;
        pos[i] = n_sequences > 1 ? first : first + i;
        sequences[i] = &ids[n_sequences > 1 ? i : 0];
        wanted[i] = n_sequences > 1 || i == n - 1;
    }
    if (llama.decode(context, (struct batch){n, token, NULL, pos, count, sequences, wanted}) != 0)
        give_up("llama_decode", "failed");
    fprintf(log_file, "%d %d %d\n", first, n, n_sequences);
    const float *logits = llama.logits(context, n_sequences > 1 ? 0 : -1);
    int32_t best = 0;
    for (int32_t i = 1; i < n_vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    printf("%d ", best);
    return best;
}

static void drive(int steps) {
    int32_t prompt[2 * BATCH], n_past = 2 * BATCH;
    for (int i = 0; i < 2 * BATCH; i++)
        prompt[i] = (i * 37 + 11) % (n_vocab < 4000 ? n_vocab / 2 : 4000) + 5;
    decode(prompt, BATCH, 0, 1);
    int32_t next = decode(prompt + BATCH, BATCH, BATCH, 1);
    for (int i = 0; i < steps; i++)
        next = decode(&next, 1, n_past++, 1);
    void *memory = llama.memory(context);
    llama.seq_rm(memory, 0, 4, 24);
    llama.seq_add(memory, 0, 24, -1, -20);
    n_past -= 20;
    next = decode(&next, 1, n_past++, 1);
    llama.seq_cp(memory, 0, 1, -1, -1);
    for (int i = 0; i < 3; i++)
        next = decode((int32_t[]){next, (next + 1) % n_vocab}, 2, n_past++, 2);
}

int main(int argc, char **argv) {
    if (argc != 8)
        give_up("expected FOLDER LLAMA GGML MODEL THREADS LOG STEPS, not what came with", argv[0]);
    find_all(argv[1], argv[2], argv[3]);
    llama.log_set(quiet, NULL);
    llama.backend_init();
    llama.load_all(argv[1]);
    void *model = llama.load_model(argv[4], llama.model_params());
    if (model == NULL || (context = new_context(model)) == NULL || (log_file = fopen(argv[6], "w")) == NULL)
        give_up("cannot load", argv[4]);
    llama.set_threads(context, atoi(argv[5]), atoi(argv[5]));
    n_vocab = llama.n_vocab(llama.vocab(model));
    drive(atoi(argv[7]));
    puts("");
    fclose(log_file);
    return 7;
}
