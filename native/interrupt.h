// Work that takes long asks, on the thread that called it, whether it is to stop: a Ctrl-C does not wait for its end.
#ifndef Q4_INTERRUPT_H
#define Q4_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

struct q4_interrupt {
    bool (*came)(void *context); // whether something asks for the work's end
    void *context;
    uint64_t asked; // when it was asked last, as q4_now_ns says
};

// Asks at most ten times a second. interrupt may be NULL: the work goes on. What came may have forked this process: the
// answer is then to be true, and a team's work ends by q4_team_forked.
bool q4_interrupted(struct q4_interrupt *interrupt);

#endif
