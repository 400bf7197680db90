// Marks for an emulator's plugin (toolchains/emulate), which sees a program's system calls and their arguments but none
// of its registers.
#ifndef Q4_EMULATOR_H
#define Q4_EMULATOR_H

#include <stdbool.h>
#include <stdint.h>

enum q4_emulator_kind {
    Q4_EMULATOR_CALL,   // a call of the executor starts or ends
    Q4_EMULATOR_THREAD, // one thread reaches the next of its boundaries
};

// stamp: the time that captures give for this moment. Costs the program a system call that does nothing.
void q4_emulator_mark(enum q4_emulator_kind kind, int thread, uint64_t stamp);

// Whether the environment asks for marks.
bool q4_emulator_wants_marks(void);

#endif
