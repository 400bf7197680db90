// Mixtures of experts: which experts a token goes to, and their results added up (docs/arithmetic.md).
#include "ops.h"
#include "q4math.h"

bool Q4_NAME(q4_all_finite)(const float *, size_t);

// The best so far, the first of them before `n`: by falling score, equal ones by rising index.
static void insert(int32_t *experts, const float *scores, size_t n, int32_t expert) {
    size_t at = n;
    while (at > 0 && scores[experts[at - 1]] < scores[expert])
        at--;
    memmove(experts + at + 1, experts + at, (n - at) * sizeof *experts);
    experts[at] = expert;
}

static float sum_of(const float *scores, const int32_t *chosen, size_t n, float highest) {
    float s[16] = {0};
    for (size_t i = 0; i < n; i++)
        s[i % 16] += q4_expf(scores[chosen ? (size_t)chosen[i] : i] - highest);
    return q4_fold16(s);
}

bool Q4_NAME(q4_route)(int32_t *experts, float *weights, const float *scores, size_t n, size_t used, bool normalised) {
    bool finite = Q4_NAME(q4_all_finite)(scores, n);
    for (size_t i = 0; i < n && finite; i++)
        if (i < used)
            insert(experts, scores, i, (int32_t)i);
        else if (scores[experts[used - 1]] < scores[i])
            insert(experts, scores, used - 1, (int32_t)i);
    for (size_t i = 0; i < used && !finite; i++) // whoever reads them finds experts that there are
        experts[i] = (int32_t)i;
    float highest = finite ? scores[experts[0]] : 0.0f;
    float sum = finite ? sum_of(scores, normalised ? experts : NULL, normalised ? used : n, highest) : 1.0f;
    for (size_t i = 0; i < used; i++)
        weights[i] = finite ? q4_expf(scores[experts[i]] - highest) / sum : 0.0f;
    return finite;
}

float Q4_NAME(q4_sigmoid)(float x) { return 1.0f / (1.0f + q4_expf(-x)); }

void Q4_NAME(q4_add_scaled)(float *y, const float *x, size_t n, float weight) {
    for (size_t i = 0; i < n; i++)
        y[i] = fmaf(weight, x[i], y[i]);
}
