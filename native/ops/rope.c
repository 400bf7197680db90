#include "ops.h"
#include "q4math.h"

// Pair (x0, x1) turns by the angle whose cosine and sine are c and s. NORM: pairs are neighbours (GGUF's llama);
// NEOX: element i pairs with element i + rope_dim / 2 (qwen2).
void Q4_NAME(q4_rope)(float *x, const float *cos_sin, size_t rope_dim, enum q4_rope_style style) {
    size_t n = rope_dim / 2;
    const float *c = cos_sin, *s = cos_sin + n;
    size_t step = style == Q4_ROPE_NORM ? 2 : 1, offset = style == Q4_ROPE_NORM ? 1 : n;
    for (size_t i = 0; i < n; i++) {
        float *a = x + i * step, *b = a + offset;
        float x0 = *a, x1 = *b;
        *a = fmaf(x0, c[i], -(x1 * s[i]));
        *b = fmaf(x0, s[i], x1 * c[i]);
    }
}
