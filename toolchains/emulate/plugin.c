// A plugin for qemu's user-mode emulation of aarch64 that counts what a program does between marks.
//
//   qemu-aarch64 -plugin libemulate.so,out=FILE,l1=65536/4,l2=1048576/8,l3=4194304/16,line=64 PROGRAM …
//
// A mark is a call of prctl with the option below and (kind, thread, stamp), three numbers of the program's choice; see
// native/emulator.h. FILE gets a line of column names, then a line a mark: these three, and the counts so far of the
// thread that made it. Instructions are exact: a block without an exception runs from its first to its last
// instruction, and a system call ends its block.
//
// Memory is looked at from the first mark on. Bytes and refills leave out what qemu does in one go without telling
// plugins (DC ZVA), and prefetches, which it ignores. L1 and L2 belong to a thread, the L3 to all.
#include "cache.h"
#include "instructions.h"
#include "qemu_plugin.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTION 0x51344d4b
#define SYS_PRCTL 167 // aarch64
#define MAX_THREADS 256
#define MAX_LEVELS 3

enum { BYTES_LOADED = INSTRUCTION_COUNTERS, BYTES_STORED, REFILLS, COUNTERS = REFILLS + MAX_LEVELS };

static const char *const names[COUNTERS] = {
    [ALL] = "INST_RETIRED",
    [LOAD] = "LD_SPEC",
    [STORE] = "ST_SPEC",
    [INTEGER] = "DP_SPEC",
    [SIMD] = "ASE_SPEC",
    [SCALAR_FP] = "VFP_SPEC",
    [BRANCH_IMMEDIATE] = "BR_IMMED_SPEC",
    [BRANCH_INDIRECT] = "BR_INDIRECT_SPEC",
    [CRYPTO] = "CRYPTO_SPEC",
    [DOT] = "dot_products",
    [MATRIX] = "matrix_products",
    [BYTES_LOADED] = "bytes_loaded",
    [BYTES_STORED] = "bytes_stored",
    [REFILLS] = "L1D_CACHE_REFILL",
    [REFILLS + 1] = "L2D_CACHE_REFILL",
    [REFILLS + 2] = "L3D_CACHE_REFILL",
};

EXPORT int qemu_plugin_version = 1;

struct thread {
    uint64_t counts[COUNTERS];
    struct cache private[2];
    uint64_t last_line; // plus one; used last, so it is in the L1
    char padding[64];   // neighbours belong to other threads
};

struct block {
    uint16_t counts[INSTRUCTION_COUNTERS];
};

static struct thread threads[MAX_THREADS];
static struct cache shared;
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER, out_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cache_shape shapes[MAX_LEVELS] = {{65536, 4}, {1 << 20, 8}, {4 << 20, 16}};
static size_t line_bytes = 64;
static unsigned line_shift;
static const char *out_path;
static FILE *out;
static atomic_bool active;

static void give_up(const char *why) {
    fprintf(stderr, "emulate plugin: %s\n", why);
    exit(1);
}

static struct thread *thread_of(unsigned int vcpu) {
    if (vcpu >= MAX_THREADS)
        give_up("more than 256 threads");
    return &threads[vcpu];
}

// ---- instructions -------------------------------------------------------------------------------
static void on_block(unsigned int vcpu, void *user) {
    struct thread *t = thread_of(vcpu);
    const struct block *b = user;
    for (int i = 0; i < INSTRUCTION_COUNTERS; i++)
        t->counts[i] += b->counts[i];
}

// ---- memory -------------------------------------------------------------------------------------
static bool use_level(struct thread *t, int level, uint64_t line) {
    if (level < 2)
        return cache_use(&t->private[level], line);
    pthread_mutex_lock(&shared_lock);
    bool found = cache_use(&shared, line);
    pthread_mutex_unlock(&shared_lock);
    return found;
}

static void use_line(struct thread *t, uint64_t line) {
    if (line + 1 == t->last_line)
        return;
    t->last_line = line + 1;
    for (int level = 0; level < MAX_LEVELS && shapes[level].bytes; level++) {
        if (use_level(t, level, line))
            return;
        t->counts[REFILLS + level]++;
    }
}

static void make_caches(struct thread *t) {
    for (int level = 0; level < 2; level++)
        if (shapes[level].bytes && !cache_init(&t->private[level], &shapes[level], line_bytes))
            give_up("no memory for the simulated caches");
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *user) {
    (void)user;
    if (!atomic_load_explicit(&active, memory_order_relaxed))
        return;
    struct thread *t = thread_of(vcpu);
    if (t->private[0].lines == NULL)
        make_caches(t);
    uint64_t bytes = (uint64_t)1 << qemu_plugin_mem_size_shift(info), first = address >> line_shift;
    t->counts[qemu_plugin_mem_is_store(info) ? BYTES_STORED : BYTES_LOADED] += bytes;
    use_line(t, first);
    uint64_t last = (address + bytes - 1) >> line_shift;
    if (last != first)
        use_line(t, last);
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    struct block *b = calloc(1, sizeof *b); // for as long as the program runs: the block may be in use
    if (b == NULL)
        give_up("out of memory");
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(insn), sizeof word);
        uint32_t counters = q4_instruction_counters(word);
        for (int c = 0; c < INSTRUCTION_COUNTERS; c++)
            b->counts[c] += counters >> c & 1;
        qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, b);
}

// ---- marks --------------------------------------------------------------------------------------
static bool counted(int counter) { return counter < REFILLS || shapes[counter - REFILLS].bytes; }

// At the first mark, so that processes which the program starts do not touch the file.
static void open_file(void) {
    out = fopen(out_path, "w");
    if (out == NULL)
        give_up("cannot write the file of out=…");
    fputs("kind thread stamp", out);
    for (int c = 0; c < COUNTERS; c++)
        if (counted(c))
            fprintf(out, " %s", names[c]);
    fputc('\n', out);
}

static void on_syscall(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t option, uint64_t kind,
                       uint64_t thread, uint64_t stamp, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    (void)id, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != SYS_PRCTL || option != OPTION)
        return;
    pthread_mutex_lock(&out_lock);
    if (out == NULL)
        open_file();
    fprintf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64, kind, thread, stamp);
    for (int c = 0; c < COUNTERS; c++)
        if (counted(c))
            fprintf(out, " %" PRIu64, thread_of(vcpu)->counts[c]);
    fputc('\n', out);
    pthread_mutex_unlock(&out_lock);
    atomic_store_explicit(&active, true, memory_order_relaxed);
}

static void at_exit(qemu_plugin_id_t id, void *user) {
    (void)id, (void)user;
    if (out && fclose(out) != 0)
        fprintf(stderr, "emulate plugin: cannot write the file of out=…\n");
}

// ---- options ------------------------------------------------------------------------------------
static bool parse_shape(const char *text, struct cache_shape *shape) {
    char *end;
    shape->bytes = strtoull(text, &end, 10);
    shape->ways = *end == '/' ? strtoull(end + 1, &end, 10) : 0;
    return *end == '\0' && end != text;
}

static bool parse_option(const char *text) {
    if (strncmp(text, "out=", 4) == 0)
        return (out_path = text + 4)[0] != '\0';
    if (strncmp(text, "line=", 5) == 0)
        return (line_bytes = strtoull(text + 5, NULL, 10)) != 0;
    if (text[0] == 'l' && text[1] >= '1' && text[1] <= '3' && text[2] == '=')
        return parse_shape(text + 3, &shapes[text[1] - '1']);
    return false;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!parse_option(argv[i])) {
            fprintf(stderr, "emulate plugin: option '%s' is not understood\n", argv[i]);
            return -1;
        }
    if (out_path == NULL || (out_path = strdup(out_path)) == NULL) {
        fprintf(stderr, "emulate plugin: out=FILE is missing\n");
        return -1;
    }
    for (int level = 0; level < MAX_LEVELS; level++) {
        const char *problem = cache_problem(&shapes[level], line_bytes);
        if (problem == NULL && (shapes[level].bytes ? level && !shapes[level - 1].bytes : level == 0))
            problem = "there must be an L1, and no level without the one before";
        if (problem) {
            fprintf(stderr, "emulate plugin: L%d cache: %s\n", level + 1, problem);
            return -1;
        }
    }
    line_shift = (unsigned)__builtin_ctzll(line_bytes);
    if (shapes[2].bytes && !cache_init(&shared, &shapes[2], line_bytes))
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
