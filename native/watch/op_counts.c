#include "op_counts.h"

#include <string.h>

// Readings of a slot's counters, each [n_words].
enum reading { BEGAN, ENTERED, WAITED, NOW };

_Static_assert(NOW < Q4_WATCH_READINGS_KEPT, "room for each of them");

static uint64_t *kept(const struct q4_watch_slot *slot, enum reading which) {
    return slot->readings + (size_t)which * q4_watch.n_words;
}

static void look(const struct q4_watch_slot *slot, enum reading which) { q4_pmu_read(slot->pmu, 0, kept(slot, which)); }

// Written at each end of a wait: threads end, and processes are ended, without a word.
static void write_record(const struct q4_watch_slot *slot) {
    const uint64_t *began = kept(slot, BEGAN), *waited = kept(slot, WAITED), *now = kept(slot, NOW);
    uint64_t *work = slot->counted->words, *wait = work + q4_watch.n_words;
    for (size_t g = 0, at = 0; g < q4_watch.n_groups; g++) {
        size_t n = Q4_PMU_HEAD_WORDS + q4_watch.groups[g].n_events;
        // a group that could not be read at one end counted nothing that is known
        work[at] = wait[at] = now[at] == began[at] ? now[at] : 0;
        for (size_t i = at + 1; i < at + n; i++) {
            wait[i] = waited[i];
            work[i] = now[i] - began[i] - waited[i];
        }
        at += n;
    }
}

static void end(struct q4_watch_slot *slot, bool waited) {
    if (!waited)
        look(slot, NOW);
    if (slot->counted && !waited)
        write_record(slot);
    slot->counted = NULL;
}

void q4_watch_count_operation(struct q4_watch_slot *slot, bool waited) {
    size_t bytes = q4_watch.n_words * sizeof(uint64_t), record = sizeof *slot->counted + 2 * bytes;
    end(slot, waited);
    memcpy(kept(slot, BEGAN), kept(slot, NOW), bytes);
    memset(kept(slot, WAITED), 0, bytes);
    slot->counted = q4_watch_room(&slot->op_counts, Q4_WATCH_OP_COUNTS, slot->number, record);
    if (slot->counted == NULL)
        return;
    slot->counted->operation = slot->n_operations - 1;
    memset(slot->counted->words, 0, 2 * bytes);
    q4_watch_done(slot->op_counts, record);
}

void q4_watch_count_wait(struct q4_watch_slot *slot) { look(slot, ENTERED); }

void q4_watch_count_waited(struct q4_watch_slot *slot) {
    const uint64_t *entered = kept(slot, ENTERED), *now = kept(slot, NOW);
    uint64_t *waited = kept(slot, WAITED);
    look(slot, NOW);
    for (size_t i = 0; i < q4_watch.n_words; i++)
        waited[i] += now[i] - entered[i];
    if (slot->counted)
        write_record(slot);
}

void q4_watch_count_end(struct q4_watch_slot *slot, bool waited) { end(slot, waited); }

uint64_t q4_watch_count_cost(struct q4_watch_slot *slot) {
    enum { ROUNDS = 100, READINGS = 2 }; // of an operation: where it begins to wait, and where it ends
    uint64_t start = q4_now_ns();
    for (int i = 0; i < ROUNDS; i++)
        look(slot, NOW);
    return (q4_now_ns() - start) * 1000 * READINGS / ROUNDS;
}
