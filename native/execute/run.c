#include "run.h"

// Keeps the earliest fault in plan order, then token order, so that the message does not depend on the threads.
void q4_report(struct q4_run *r, const struct q4_op *op, size_t token) {
    uint64_t fault = (uint64_t)(op - r->m->plan) << 32 | token, seen = atomic_load(&r->fault);
    while (fault < seen && !atomic_compare_exchange_weak(&r->fault, &seen, fault))
        ;
}
