// A thread's turns on a CPU that another program uses too: when to give the CPU up before it is taken.
#ifndef Q4_SLICE_H
#define Q4_SLICE_H

#include <stdbool.h>
#include <stdint.h>

// The scheduler gives a CPU to each of several programs for a few milliseconds. A thread that loses it amid its work
// keeps others waiting for as long; one that gives it up while it holds nothing keeps nobody. Times are nanoseconds.
struct q4_slice {
    bool shared;     // another program has been seen on the CPU
    uint32_t asked;  // questions so far, while alone
    uint32_t alone;  // rests in a row from which the thread came back at once
    uint64_t since;  // when the thread got the CPU
    uint64_t seen;   // when it was last seen there
    uint64_t used;   // its CPU time by then
    uint64_t length; // it gives the CPU up after that
    uint64_t robbed; // when it last lost the CPU amid its work
    int64_t taken;   // how often, by then, it had lost the CPU …
    int64_t slept;   // … and how often it had slept
};

// On the thread, where it holds nothing that others wait for: whether it had better rest now.
bool q4_slice_ends(struct q4_slice *slice);
// Gives the CPU to others, for a turn of theirs.
void q4_slice_rest(struct q4_slice *slice);

#endif
