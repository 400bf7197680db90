// Sampling, in the order that llama.cpp documents: penalties, top-k, top-p, min-p, temperature, draw.
//
// Candidates are ordered by falling logit, equal ones by rising id. Every filter keeps a prefix of that order, which
// comes from a heap one candidate at a time, so that the vocabulary is never sorted as a whole.
//
// Probabilities are integers: weight(x) = floor(e^x * 2^32) for x = logit - maximum <= 0, e^x by q4_expf. Sums of
// integers are exact, so they may be taken in any order; a token less likely than 2^-32 of the likeliest has weight 0.
#include "sampling.h"

#include "ops/q4math.h"

#include <float.h>
#include <string.h>

#define WEIGHT_ONE 0x1p32f // weight of the likeliest token; n < 2^21 of them stay below 2^53, exact in a double
#define LANES 16
#define BLOCK 128 // logits that are looked at together
#define PCG_MULTIPLIER 6364136223846793005u
#define PCG_INCREMENT (54u << 1 | 1u)

uint32_t q4_random_next(uint64_t *state) {
    uint64_t old = *state;
    *state = old * PCG_MULTIPLIER + PCG_INCREMENT;
    uint32_t mixed = (uint32_t)((old >> 18 ^ old) >> 27);
    uint32_t turn = (uint32_t)(old >> 59);
    return mixed >> turn | mixed << (-turn & 31);
}

uint64_t q4_random_seed(uint64_t seed) {
    uint64_t state = 0;
    q4_random_next(&state);
    state += seed;
    q4_random_next(&state);
    return state;
}

// 0 to total - 1, from 53 random bits.
static uint64_t random_below(uint64_t *state, uint64_t total) {
    uint64_t high = q4_random_next(state);
    uint64_t bits = (high << 32 | q4_random_next(state)) >> 11;
    uint64_t drawn = (uint64_t)((double)bits * 0x1p-53 * (double)total);
    return drawn < total ? drawn : total - 1;
}

static uint64_t weight(float x) { return (uint64_t)(q4_expf(x) * WEIGHT_ONE); }

// ---- candidates in order ------------------------------------------------------------------------

// A max-heap of the n - taken candidates that are left, in front; those taken lie behind it, the first one last.
struct order {
    struct q4_candidate *heap;
    int32_t n, taken;
};

static int before(struct q4_candidate a, struct q4_candidate b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// Restores the heap below `at`. best: the likeliest candidate is on top, else the least likely.
static inline void sift_down(struct q4_candidate *heap, int32_t n, int32_t at, int best) {
    struct q4_candidate moving = heap[at];
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(heap[child + 1], heap[child]) == best)
            child++;
        if (before(heap[child], moving) != best)
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

static inline void make_heap(struct q4_candidate *candidates, int32_t n, int best) {
    for (int32_t at = n / 2; at-- > 0;)
        sift_down(candidates, n, at, best);
}

// The highest of n logits, n a multiple of LANES. Lanes, so that compilers make vectors of them.
static inline float highest_of(const float *logits, int32_t n) {
    float best[LANES];
    for (int l = 0; l < LANES; l++)
        best[l] = logits[l];
    for (int32_t i = LANES; i < n; i += LANES)
        for (int l = 0; l < LANES; l++)
            best[l] = logits[i + l] > best[l] ? logits[i + l] : best[l];
    for (int l = 1; l < LANES; l++)
        best[0] = best[l] > best[0] ? best[l] : best[0];
    return best[0];
}

// Whether none of the BLOCK logits from there on is above a bound; where fewer are left, that is not looked into.
static inline int none_above(const float *logits, int32_t start, int32_t n, float bound) {
    return n - start >= BLOCK && highest_of(logits + start, BLOCK) <= bound;
}

// The k likeliest of n, in no order: in a heap of the best so far, a better one replaces the worst. Of equal ones the
// first stays, whose id is lower.
static void select_top_k(const float *logits, int32_t n, struct q4_candidate *heap, int32_t k) {
    for (int32_t i = 0; i < k; i++)
        heap[i] = (struct q4_candidate){logits[i], i};
    if (k < n)
        make_heap(heap, k, 0);
    for (int32_t start = k; start < n; start += BLOCK) {
        if (none_above(logits, start, n, heap[0].logit))
            continue;
        int32_t end = n - start < BLOCK ? n : start + BLOCK;
        for (int32_t i = start; i < end; i++) {
            if (logits[i] > heap[0].logit) {
                heap[0] = (struct q4_candidate){logits[i], i};
                sift_down(heap, k, 0, 0);
            }
        }
    }
}

// The candidate of that rank, 0 for the likeliest. Ranks not asked for are not sorted out.
static struct q4_candidate ranked(struct order *order, int32_t rank) {
    while (order->taken <= rank) {
        int32_t last = order->n - ++order->taken;
        struct q4_candidate first = order->heap[0];
        order->heap[0] = order->heap[last];
        order->heap[last] = first;
        sift_down(order->heap, last, 0, 1);
    }
    return order->heap[order->n - 1 - rank];
}

// ---- filters ------------------------------------------------------------------------------------

// Sum of the weights of the first `kept` candidates at a temperature. Where all are kept, no order is needed.
static uint64_t total_weight(struct order *order, int32_t kept, float highest, float temperature) {
    uint64_t total = 0;
    for (int32_t i = 0; i < kept; i++) {
        struct q4_candidate c = kept == order->n ? order->heap[i] : ranked(order, i);
        total += weight((c.logit - highest) / temperature);
    }
    return total;
}

// The fewest candidates whose weights reach the share top_p of all; at least one.
static int32_t apply_top_p(struct order *order, float highest, float top_p) {
    double wanted = (double)top_p * (double)total_weight(order, order->n, highest, 1.0f);
    uint64_t sum = 0;
    for (int32_t i = 0; i < order->n; i++) {
        sum += weight(ranked(order, i).logit - highest);
        if ((double)sum >= wanted)
            return i + 1;
    }
    return order->n;
}

// The candidates at least min_p times as likely as the likeliest; at least one.
static int32_t apply_min_p(struct order *order, int32_t kept, float highest, float min_p) {
    double wanted = (double)min_p * (double)WEIGHT_ONE;
    int32_t i = 1;
    while (i < kept && (double)weight(ranked(order, i).logit - highest) >= wanted)
        i++;
    return i;
}

static int32_t draw(struct order *order, int32_t kept, float highest, float temperature, uint64_t *state) {
    uint64_t target = random_below(state, total_weight(order, kept, highest, temperature));
    uint64_t sum = 0;
    for (int32_t i = 0;; i++) {
        struct q4_candidate c = ranked(order, i);
        sum += weight((c.logit - highest) / temperature);
        if (sum > target || i == kept - 1)
            return c.id;
    }
}

// ---- the whole ----------------------------------------------------------------------------------

static float clamped(float x) { return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : x; }

static float penalised(float logit, float penalty) { return clamped(logit > 0.0f ? logit / penalty : logit * penalty); }

// Each by itself, so that one that is off changes no bit. Of the candidates those that are recent alone are written;
// one is marked by its id's complement.
static void apply_penalties(struct q4_candidate *candidates, const float *logits, const int32_t *recent, size_t n,
                            const struct q4_sampling *settings) {
    for (size_t i = 0; i < n; i++)
        candidates[recent[i]] = (struct q4_candidate){logits[recent[i]], recent[i]};
    for (size_t i = 0; i < n && settings->repeat_penalty != 1.0f; i++)
        candidates[recent[i]].logit = penalised(logits[recent[i]], settings->repeat_penalty);
    for (size_t i = 0; i < n && settings->frequency != 0.0f; i++)
        candidates[recent[i]].logit = clamped(candidates[recent[i]].logit - settings->frequency);
    if (settings->presence == 0.0f)
        return;
    for (size_t i = 0; i < n; i++) {
        struct q4_candidate *c = &candidates[recent[i]];
        if (c->id >= 0)
            *c = (struct q4_candidate){clamped(c->logit - settings->presence), ~c->id};
    }
    for (size_t i = 0; i < n; i++)
        candidates[recent[i]].id = recent[i];
}

// The lowest id of the highest logit.
static int32_t likeliest(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t start = 0; start < n; start += BLOCK) {
        if (none_above(logits, start, n, logits[best]))
            continue;
        int32_t end = n - start < BLOCK ? n : start + BLOCK;
        for (int32_t i = start; i < end; i++)
            best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

// The index of the first logit that is not finite, n where there is none.
static int32_t first_not_finite(const float *logits, int32_t n) {
    uint32_t found = 0; // an exponent of ones carries into the sign
    for (int32_t i = 0; i < n; i++)
        found |= (q4_float_bits(logits[i]) & 0x7f800000u) + 0x00800000u;
    int32_t at = found >> 31 ? 0 : n;
    while (at < n && (q4_float_bits(logits[at]) & 0x7f800000u) != 0x7f800000u)
        at++;
    return at;
}

int32_t q4_sample(const float *logits, int32_t n, const int32_t *recent, size_t n_recent,
                  const struct q4_sampling *settings, uint64_t *state, struct q4_candidate *scratch, int32_t *bad) {
    *bad = first_not_finite(logits, n);
    if (*bad < n)
        return -1;
    if (n_recent > 0) {
        float *changed = (float *)(scratch + n);
        apply_penalties(scratch, logits, recent, n_recent, settings);
        memcpy(changed, logits, (size_t)n * sizeof *changed);
        for (size_t i = 0; i < n_recent; i++)
            changed[recent[i]] = scratch[recent[i]].logit;
        logits = changed;
    }
    if (settings->temperature <= 0.0f)
        return likeliest(logits, n);

    int32_t kept = settings->top_k > 0 && settings->top_k < n ? settings->top_k : n;
    select_top_k(logits, n, scratch, kept);
    make_heap(scratch, kept, 1);
    struct order order = {scratch, kept, 0};
    float highest = ranked(&order, 0).logit;
    if (settings->top_p < 1.0f)
        kept = apply_top_p(&order, highest, settings->top_p);
    if (settings->min_p > 0.0f)
        kept = apply_min_p(&order, kept, highest, settings->min_p);
    return draw(&order, kept, highest, settings->temperature, state);
}
