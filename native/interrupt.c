#include "interrupt.h"

#include "clock.h"

#include <stddef.h>

#define ASKED_EVERY_NS 100000000

bool q4_interrupted(struct q4_interrupt *interrupt) {
    if (interrupt == NULL)
        return false;
    uint64_t now = q4_now_ns();
    if (now - interrupt->asked < ASKED_EVERY_NS)
        return false;
    interrupt->asked = now;
    return interrupt->came(interrupt->context);
}
