#include "cpu.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

const char *const q4_cpu_feature_names[Q4_CPU_N_FEATURES] = {"avx2",    "avxvnni", "avx512", "avx512vnni",
                                                             "dotprod", "i8mm",    "fp16",   "fhm"};

static int find_feature(const char *name, size_t length) {
    for (int i = 0; i < Q4_CPU_N_FEATURES; i++)
        if (strlen(q4_cpu_feature_names[i]) == length && memcmp(q4_cpu_feature_names[i], name, length) == 0)
            return i;
    return -1;
}

static void join_names(uint32_t features, char *out, size_t size) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < Q4_CPU_N_FEATURES; i++)
        if (features & 1u << i && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", q4_cpu_feature_names[i]);
}

// Asked once: where a hypervisor answers, it takes its time.
static uint32_t features_present(void) {
    static _Atomic uint64_t answer; // 0: not asked yet
    if (answer == 0)
        answer = (uint64_t)1 << 32 | q4_cpu_detect();
    return (uint32_t)answer;
}

int q4_cpu_select(const char *list, uint32_t *features, char *message, size_t size) {
    uint32_t present = features_present(), named = 0;
    *features = present;
    if (list == NULL || *list == '\0')
        return 1;
    if (strcmp(list, "none") == 0) {
        *features = 0;
        return 1;
    }
    int removing = *list == '-';
    for (const char *at = list; *at;) {
        int minus = *at == '-';
        const char *name = at + minus;
        size_t length = strcspn(name, ",");
        int bit = find_feature(name, length);
        if (bit < 0 || minus != removing || (!removing && !(present & 1u << bit))) {
            char names[128];
            join_names(bit < 0 ? (1u << Q4_CPU_N_FEATURES) - 1 : present, names, sizeof names);
            if (bit >= 0 && minus != removing)
                snprintf(message, size,
                         "Q4_CPU_FEATURES=%.80s: either name features to keep or, each with '-', to drop", list);
            else
                snprintf(message, size, "Q4_CPU_FEATURES: '%.*s' is %s; %s: none, %s", (int)(length < 40 ? length : 40),
                         name, bit < 0 ? "no known feature" : "not offered by this CPU", bit < 0 ? "known" : "offered",
                         names);
            return 0;
        }
        named |= 1u << bit;
        at = name + length + (name[length] == ',');
    }
    *features = removing ? present & ~named : named;
    return 1;
}
