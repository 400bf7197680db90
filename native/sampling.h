// Chooses the next token from logits. Part of the arithmetic contract: the same logits, settings and random state give
// the same token on every machine.
#ifndef Q4_SAMPLING_H
#define Q4_SAMPLING_H

#include <stddef.h>
#include <stdint.h>

struct q4_sampling {
    float temperature;    // 0: greedy
    int32_t top_k;        // 0: all
    float top_p;          // 1: all
    float min_p;          // 0: all
    float repeat_penalty; // 1: none
    float frequency;      // taken off a logit for each time that its token is recent
    float presence;       // taken off once
};

struct q4_candidate {
    float logit;
    int32_t id;
};

// PCG32 (O'Neill 2014, XSH-RR 64/32) on the stream of constant 54.
uint64_t q4_random_seed(uint64_t seed);
uint32_t q4_random_next(uint64_t *state);

// The id of the chosen token, or -1 where a logit is not finite, with its index in *bad. recent: ids below n whose
// logits the penalties lower, repeats allowed. scratch: n candidates, and n floats behind them. *state moves on by two
// numbers where a choice is random.
int32_t q4_sample(const float *logits, int32_t n, const int32_t *recent, size_t n_recent,
                  const struct q4_sampling *settings, uint64_t *state, struct q4_candidate *scratch, int32_t *bad);

#endif
