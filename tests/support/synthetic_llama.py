"""A stand-in of llama.cpp's shared libraries, built on the spot: their symbols, calls through the PLT and threads.

No model is in it, and its tensors have a layout of their own, which nobody but its functions knows. SYNTHETIC_BUILD in
the environment makes it another version: `fusing` does RoPE along with the store of the cache, and no function that can
be seen is called of it; `turned` gives an operation's function its arguments the other way round; `selecting` has a
node that is not flagged to be carried out, and is not; `extended` evaluates batches whose form nobody knows, by parts,
and `extended anew` parts of another form; `renaming` calls a product otherwise from the third batch on.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

TENSOR = """
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
struct ggml_tensor {
    char odd[24]; int64_t ne[4]; const char *op; struct ggml_tensor *src[6]; int type; int flags; void *data;
    char name[64];
};
struct ggml_cgraph { struct ggml_tensor *nodes[32], *leafs[8]; int n_nodes, n_leafs, n_threads; };
"""

BASE = (
    TENSOR
    + """
struct init_params { size_t size; void *buffer; bool no_alloc; };
static size_t used;
void *ggml_init(struct init_params p) { used = 64; return p.no_alloc && p.size > 4096 ? p.buffer : 0; }
void ggml_free(void *context) { (void)context; }
struct ggml_tensor *ggml_new_tensor_4d(void *c, int type, int64_t a, int64_t b, int64_t d, int64_t e) {
    struct ggml_tensor *t = (void *)((char *)c + used);
    used += 512;
    memset(t, 0, sizeof *t);
    t->type = type, t->ne[0] = a, t->ne[1] = b, t->ne[2] = d, t->ne[3] = e, t->op = "NONE";
    return t;
}
struct ggml_tensor *ggml_mul_mat(void *c, struct ggml_tensor *a, struct ggml_tensor *b) {
    struct ggml_tensor *t = ggml_new_tensor_4d(c, 0, a->ne[1], b->ne[1], b->ne[2], b->ne[3]);
    t->op = "MUL_MAT", t->src[0] = a, t->src[1] = b;
    return t;
}
const char *ggml_get_name(const struct ggml_tensor *t) { return t->name; }
const char *ggml_op_desc(const struct ggml_tensor *t) { return t->op; }
const char *ggml_type_name(int type) { return type == 2 ? "q4_0" : type == 26 ? "i32" : type == 1 ? "f16" : "f32"; }
int64_t ggml_nelements(const struct ggml_tensor *t) { return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]; }
size_t ggml_nbytes(const struct ggml_tensor *t) {
    return ggml_nelements(t) * (t->type == 2 ? 18 : t->type == 1 ? 64 : 128) / 32;
}
void *ggml_get_data(const struct ggml_tensor *t) { return t->data; }
void ggml_backend_tensor_get(const struct ggml_tensor *t, void *to, size_t at, size_t n) {
    memcpy(to, (char *)t->data + at, n);
}
void ggml_set_output(struct ggml_tensor *t) { t->flags |= 2; }
const char *ggml_version(void) { return "synthetic"; }
struct ggml_tensor *ggml_graph_get_tensor(struct ggml_cgraph *g, const char *name) {
    for (int i = 0; i < g->n_leafs; i++)
        if (strcmp(g->leafs[i]->name, name) == 0)
            return g->leafs[i];
    return 0;
}
int ggml_graph_n_nodes(struct ggml_cgraph *g) { return g->n_nodes; }
struct ggml_tensor *ggml_graph_node(struct ggml_cgraph *g, int i) { return g->nodes[i]; }
int (*synthetic_compute)(struct ggml_cgraph *, void *);
int ggml_backend_sched_graph_compute_async(void *scheduler, struct ggml_cgraph *g) {
    return synthetic_compute(g, scheduler);
}
"""
)

CPU = (
    TENSOR
    + """
#include <pthread.h>
#include <stdlib.h>
static pthread_barrier_t barrier;
static const char *build;
void ggml_barrier(void *pool) { if (pool) pthread_barrier_wait(&barrier); }
bool ggml_cpu_extra_compute_forward(void *params, struct ggml_tensor *node) { (void)params, (void)node; return false; }
static void work(void) { for (volatile int i = 0; i < 20000; i++) ; }
void ggml_compute_forward_rms_norm_mul_fused(const void *p, struct ggml_tensor *a, struct ggml_tensor *b) {
    (void)p, (void)a, (void)b;
    work();
}
static void *walk(void *data) {
    struct ggml_cgraph *g = data;
    for (int i = 0; i < g->n_nodes; i++) {
        struct ggml_tensor *node = g->nodes[i];
        if (strcmp(build, "selecting") == 0 && (node->flags & 16) == 0)
            continue;
        if (strcmp(node->op, "VIEW") == 0 || (strcmp(build, "fusing") == 0 && strcmp(node->op, "ROPE") == 0))
            continue;
        if (strcmp(node->op, "RMS_NORM") == 0)
            ggml_compute_forward_rms_norm_mul_fused(g, node, g->nodes[++i]);
        else if (strcmp(build, "turned") == 0)
            ggml_cpu_extra_compute_forward(node, (void *)(intptr_t)g->n_threads);
        else if (!ggml_cpu_extra_compute_forward(g, node))
            work();
        if (i + 1 < g->n_nodes)
            ggml_barrier(g->n_threads > 1 ? g : 0);
    }
    ggml_barrier(g->n_threads > 1 ? g : 0);
    return 0;
}
int ggml_graph_compute(struct ggml_cgraph *g, void *plan) {
    pthread_t threads[16];
    (void)plan;
    build = getenv("SYNTHETIC_BUILD") ? getenv("SYNTHETIC_BUILD") : "";
    pthread_barrier_init(&barrier, 0, g->n_threads);
    for (int i = 1; i < g->n_threads; i++)
        pthread_create(&threads[i], 0, walk, g);
    walk(g);
    for (int i = 1; i < g->n_threads; i++)
        pthread_join(threads[i], 0);
    return 0;
}
int synthetic_backend(struct ggml_cgraph *g, void *plan) { return ggml_graph_compute(g, plan); }
"""
)

LLAMA = (
    TENSOR
    + """
#include <dlfcn.h>
#include <stdlib.h>
struct llama_batch {
    int32_t n_tokens, *token; float *embd; int32_t *pos, *n_seq_id, **seq_id; int8_t *logits; int32_t more[3];
};
extern int (*synthetic_compute)(struct ggml_cgraph *, void *);
int ggml_backend_sched_graph_compute_async(void *scheduler, struct ggml_cgraph *g);
int _ZN13llama_context6decodeERK11llama_batch(void *context, const struct llama_batch *batch);
struct llama_batch_ext { double odd; const struct llama_batch *batch; };
int _ZN13llama_context6decodeERK15llama_batch_ext(void *context, const struct llama_batch_ext *batch);
struct llama_ubatch {
    uint32_t equal_seqs, n_tokens, n_seq_tokens, n_seqs, n_seqs_unq; const struct llama_batch *batch;
};
void *_ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_typeP22llama_memory_context_iR11ggml_status(
    void *context, const struct llama_ubatch *part, int type, void *memory, int *status);
struct context { int n_threads, n_past; struct ggml_tensor t[32]; struct ggml_cgraph g; };
void synthetic_load(const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/libggml-cpu-synthetic.so", folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == 0) { puts(dlerror()); exit(99); }
    *(void **)&synthetic_compute = dlsym(library, "synthetic_backend");
}
void *synthetic_context(int n_threads) {
    struct context *c = calloc(1, sizeof *c);
    c->n_threads = n_threads;
    return c;
}
void *llama_get_memory(void *context) { return context; }
int llama_memory_seq_pos_max(void *memory, int sequence) {
    return ((struct context *)memory)->n_past - 1 + 0 * sequence;
}
enum { ROOM = 1 << 14 };
static char memory[32 * ROOM];
static struct ggml_tensor *tensor(struct context *c, int i, const char *op, const char *name, int type, int64_t a,
                                  int64_t b, int64_t d) {
    struct ggml_tensor *t = &c->t[i];
    t->op = op, t->type = type, t->ne[0] = a, t->ne[1] = b, t->ne[2] = d, t->ne[3] = 1;
    snprintf(t->name, sizeof t->name, "%s", name);
    t->data = memory + i * ROOM;
    return t;
}
static struct ggml_tensor *node(struct context *c, struct ggml_tensor *t, struct ggml_tensor *a,
                                struct ggml_tensor *b) {
    t->src[0] = a, t->src[1] = b, t->flags |= 16;
    return c->g.nodes[c->g.n_nodes++] = t;
}
static const char *build(void) { return getenv("SYNTHETIC_BUILD") ? getenv("SYNTHETIC_BUILD") : ""; }
static int evaluate(void *context, const struct llama_batch *batch) {
    struct context *c = context;
    int n = batch->n_tokens, positions[64];
    c->g.n_nodes = 0, c->g.n_threads = c->n_threads;
    for (int i = 0; i < n; i++)
        positions[i] = batch->pos ? batch->pos[i] : c->n_past + i;
    c->n_past = positions[n - 1] + 1;
    struct ggml_tensor *tokens = tensor(c, 0, "NONE", "inp_tokens", 26, n, 1, 1);
    struct ggml_tensor *pos = tensor(c, 1, "NONE", "inp_pos", 26, n, 1, 1);
    pos->data = positions;
    c->g.leafs[0] = tokens, c->g.leafs[1] = pos, c->g.n_leafs = 2;
    struct ggml_tensor *table = tensor(c, 2, "NONE", "token_embd.weight", 2, 64, 320, 1);
    struct ggml_tensor *gain = tensor(c, 3, "NONE", "blk.0.attn_norm.weight", 0, 64, 1, 1);
    struct ggml_tensor *q = tensor(c, 4, "NONE", "blk.0.attn_q.weight", 2, 64, 96, 1);
    struct ggml_tensor *cache = tensor(c, 5, "NONE", "cache_k_l0", 1, 32, 256, 1);
    struct ggml_tensor *x = node(c, tensor(c, 6, "GET_ROWS", "embd", 0, 64, n, 1), table, tokens);
    struct ggml_tensor *norm = node(c, tensor(c, 7, "RMS_NORM", "norm-0", 0, 64, n, 1), x, 0);
    struct ggml_tensor *scaled = node(c, tensor(c, 8, "MUL", "attn_norm-0", 0, 64, n, 1), norm, gain);
    const char *name = strcmp(build(), "renaming") == 0 && c->n_past > 8 ? "Qcur-1" : "Qcur-0";
    struct ggml_tensor *product = node(c, tensor(c, 9, "MUL_MAT", name, 0, 96, n, 1), q, scaled);
    struct ggml_tensor *view = node(c, tensor(c, 10, "VIEW", "Qcur-0 (view)", 0, 32, 3, n), product, 0);
    struct ggml_tensor *turned = node(c, tensor(c, 11, "ROPE", "Qcur-0", 0, 32, 3, n), view, pos);
    node(c, tensor(c, 12, "SET_ROWS", "cache_k_l0 (view)", 1, 32, 256, 1), turned, cache)->data = cache->data;
    struct ggml_tensor *kq = node(c, tensor(c, 13, "MUL_MAT", "kq-0", 0, 256, n, 3), cache, turned);
    node(c, tensor(c, 14, "MUL_MAT", "result_output", 0, 320, n, 1), table, kq);
    if (strcmp(build(), "selecting") == 0)
        node(c, tensor(c, 15, "DUP", "not selected", 0, 64, n, 1), x, 0)->flags = 2;
    return ggml_backend_sched_graph_compute_async(c, &c->g);
}
int _ZN13llama_context6decodeERK11llama_batch(void *context, const struct llama_batch *batch) {
    return evaluate(context, batch);
}
void *_ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_typeP22llama_memory_context_iR11ggml_status(
    void *context, const struct llama_ubatch *part, int type, void *memory, int *status) {
    *status = type == 2 && memory == 0 ? evaluate(context, part->batch) : 1;
    return context;
}
int _ZN13llama_context6decodeERK15llama_batch_ext(void *context, const struct llama_batch_ext *batch) {
    const struct llama_batch *of = batch->batch;
    uint32_t n = of->n_tokens, n_seqs = n > 1 && of->seq_id[1] != of->seq_id[0] ? 2 : 1;
    struct llama_ubatch part = {1, n, n / n_seqs, n_seqs, n_seqs, of};
    int status;
    if (strcmp(build(), "extended anew") == 0)
        part.n_seq_tokens = 7;
    _ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_typeP22llama_memory_context_iR11ggml_status(
        context, &part, 2, 0, &status);
    return status;
}
int32_t llama_decode(void *context, struct llama_batch batch) {
    if (batch.more[0] != 11 || batch.more[1] != 12 || batch.more[2] != 13)
        return 1;
    if (strncmp(build(), "extended", 8) == 0)
        return _ZN13llama_context6decodeERK15llama_batch_ext(context, &(struct llama_batch_ext){0.5, &batch});
    return _ZN13llama_context6decodeERK11llama_batch(context, &batch);
}
void synthetic_shift(void *context) {
    struct context *c = context;
    struct ggml_tensor *shifted = tensor(c, 20, "NONE", "k_shift", 26, 256, 1, 1);
    c->g.n_nodes = 0, c->g.n_leafs = 1, c->g.leafs[0] = shifted, c->g.n_threads = c->n_threads;
    node(c, tensor(c, 21, "ROPE", "K_shifted-0", 0, 32, 256, 1), shifted, 0);
    ggml_backend_sched_graph_compute_async(c, &c->g);
}
"""
)

# A driver that opens the library by itself, as Python's ctypes does: PROGRAM FOLDER THREADS HOW
PROGRAM = """
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
struct llama_batch { /* of 2024, which is longer */
    int32_t n_tokens, *token; float *embd; int32_t *pos, *n_seq_id, **seq_id; int8_t *logits; int32_t more[3];
};
static int (*decode)(void *, struct llama_batch);
static void *(*make)(int);
static void (*shift)(void *);
static int threads;
static volatile sig_atomic_t heard;
static void hear(int number) { heard = number; }
static int call(void *c, int first, int n, int sequences) {
    int32_t pos[64], ids[2] = {0, 1}, counts[64], *seqs[64];
    for (int i = 0; i < n; i++)
        pos[i] = first + (sequences > 1 ? 0 : i), counts[i] = 1, seqs[i] = &ids[sequences > 1 ? i % 2 : 0];
    struct llama_batch batch = {n, 0, 0, first < 0 ? 0 : pos, counts, seqs, 0, {11, 12, 13}};
    return decode(c, batch);
}
static void *steps(void *data) {
    for (int i = 0; i < 40; i++)
        call(data, i, 1, 1);
    return 0;
}
int main(int argc, char **argv) {
    char path[4096];
    if (argc < 4)
        return 98;
    snprintf(path, sizeof path, "%s/libllama.so", argv[1]);
    void *llama = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (llama == 0) { puts(dlerror()); return 99; }
    void (*load)(const char *);
    *(void **)&load = dlsym(llama, "synthetic_load");
    *(void **)&make = dlsym(llama, "synthetic_context");
    *(void **)&decode = dlsym(llama, "llama_decode");
    *(void **)&shift = dlsym(llama, "synthetic_shift");
    load(argv[1]);
    threads = atoi(argv[2]);
    void *c = make(threads);
    const char *how = argv[3];
    call(c, 0, 5, 1);
    call(c, 5, 3, 1);
    call(c, -1, 1, 1);
    if (strcmp(how, "shift") == 0)
        shift(c);
    call(c, 9, 2, 2);
    if (strcmp(how, "fork") == 0) {
        if (fork() == 0) {
            call(c, 0, 4, 1);
            _exit(0);
        }
        wait(0);
        call(c, 10, 1, 1);
    }
    if (strcmp(how, "two") == 0) {
        pthread_t other;
        void *second = make(threads);
        if (threads == 1) {
            pthread_create(&other, 0, steps, second);
            steps(c);
            pthread_join(other, 0);
        } else {
            steps(second);
        }
    }
    if (strcmp(how, "pause") == 0) {
        void (*record)(int);
        *(void **)&record = dlsym(RTLD_DEFAULT, "q4_watch_record");
        for (int what = 0; record && what < 3; what++) {
            record(what);
            call(c, 11 + what, 1, 1);
        }
    }
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(how, "wait") == 0) {
        signal(SIGTERM, hear); // on whichever thread
        puts("ready");
        fflush(stdout);
        while (!heard)
            usleep(1000);
        printf("heard %d\\n", (int)heard);
        return 21;
    }
    puts("text of the program");
    return 7;
}
"""


def compiler() -> str | None:
    return next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)


def build(folder: Path, cross: Sequence[str] = ()) -> Path:
    """The program; the libraries lie beside it. cross: the compiler's words for another machine."""
    words = cross or [str(compiler())]
    texts = {"libggml-base.so": BASE, "libggml-cpu-synthetic.so": CPU, "libllama.so": LLAMA, "program": PROGRAM}
    for name, text in texts.items():
        source = folder / f"{name}.c"
        source.write_text(text)
        shared = ["-shared", "-fPIC"] if name.endswith(".so") else []
        uses = {
            "libggml-cpu-synthetic.so": ["-lggml-base"],
            "libllama.so": ["-lggml-base"],
        }.get(name, [])
        flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-fsemantic-interposition", *shared]
        where = [f"-L{folder}", f"-Wl,-rpath,{folder}", "-Wl,--no-as-needed"]
        command = [*words, *flags, str(source), "-o", str(folder / name), *where, *uses, "-ldl", "-pthread"]
        subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / "program"
