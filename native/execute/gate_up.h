#ifndef Q4_GATE_UP_H
#define Q4_GATE_UP_H

// Tokens that go through at once: whole tiles of any packing.
#define Q4_GATE_UP_TOKENS 192

#endif
