#include "run.h"

// Keeps the earliest fault in plan order, then token order, so that the message does not depend on the threads.
void q4_report(struct q4_run *r, const struct q4_op *op, size_t token) {
    uint64_t fault = (uint64_t)(op - r->m->plan) << 32 | token, seen = atomic_load(&r->fault);
    while (fault < seen && !atomic_compare_exchange_weak(&r->fault, &seen, fault))
        ;
}

// Member 0 asks for all; once it was told so, never again.
bool q4_call_ends(struct q4_run *r, const struct q4_op *op, int member) {
    if (q4_call_ended(r, op))
        return true;
    if (member != 0 || !q4_interrupted(r->call->interrupt))
        return false;
    q4_team_forked(r->m->team);
    atomic_store_explicit(&r->last, (size_t)(op - r->m->plan), memory_order_relaxed);
    return true;
}
