// A plugin for qemu user emulation that records which code ran between two addresses of the guest program.
//
//   qemu-aarch64 -plugin libkernel_cost.so,begin=0x…,end=0x…,out=FILE[,mode=trace] PROGRAM …
//
// Recording starts when the instruction at `begin` runs and stops at `end`. FILE holds lines of three numbers:
//   mode=count (default)  address, instructions, executions: one line a translation block that ran
//   mode=trace            address, instructions, 1: one line an executed block, in order
// Instructions are exact: a block without an exception runs from its first to its last instruction.
#include "../emulate/qemu_plugin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

EXPORT int qemu_plugin_version = 1;

struct block {
    uint64_t address, executions;
    size_t instructions;
    struct block *next;
};

static uint64_t begin_address, end_address;
static bool tracing, active;
static struct block *blocks; // every translation; one address may be translated more than once
static FILE *out;

static void on_exec(unsigned int vcpu, void *user) {
    (void)vcpu;
    struct block *b = user;
    if (b->address == end_address)
        active = false;
    if (active && tracing)
        fprintf(out, "%" PRIx64 " %zu 1\n", b->address, b->instructions);
    else if (active)
        b->executions++;
    if (b->address == begin_address)
        active = true;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    struct block *b = calloc(1, sizeof *b);
    if (b == NULL)
        abort();
    b->address = qemu_plugin_tb_vaddr(tb);
    b->instructions = qemu_plugin_tb_n_insns(tb);
    b->next = blocks;
    blocks = b;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_exec, QEMU_PLUGIN_CB_NO_REGS, b);
}

static void at_exit(qemu_plugin_id_t id, void *user) {
    (void)id;
    (void)user;
    for (struct block *b = blocks; b; b = b->next)
        if (b->executions)
            fprintf(out, "%" PRIx64 " %zu %" PRIu64 "\n", b->address, b->instructions, b->executions);
    fclose(out);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    (void)info;
    const char *path = NULL;
    for (int i = 0; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        if (value == NULL)
            return -1;
        value++;
        if (strncmp(argv[i], "begin=", 6) == 0)
            begin_address = strtoull(value, NULL, 0);
        else if (strncmp(argv[i], "end=", 4) == 0)
            end_address = strtoull(value, NULL, 0);
        else if (strncmp(argv[i], "out=", 4) == 0)
            path = value;
        else if (strncmp(argv[i], "mode=", 5) == 0)
            tracing = strcmp(value, "trace") == 0;
        else
            return -1;
    }
    out = path ? fopen(path, "w") : NULL;
    if (out == NULL) {
        fprintf(stderr, "kernel_cost plugin: cannot write '%s'\n", path ? path : "(no out=FILE)");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
