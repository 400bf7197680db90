#include "ops.h"
#include "q4math.h"

bool Q4_NAME(q4_all_finite)(const float *x, size_t n) {
    uint32_t worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t a = q4_float_bits(x[i]) & 0x7fffffffu; // infinity and NaN sort above every finite magnitude
        worst = a > worst ? a : worst;
    }
    return worst < 0x7f800000u;
}

bool Q4_NAME(q4_rms_norm)(float *y, const float *x, const float *w, size_t n, float eps) {
    float s[16] = {0};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t j = 0; j < 16; j++)
            s[j] = fmaf(x[i + j], x[i + j], s[j]);
    for (size_t j = 0; i + j < n; j++)
        s[j] = fmaf(x[i + j], x[i + j], s[j]);
    float mean = q4_fold16(s) / (float)n;
    float scale = 1.0f / sqrtf(mean + eps);
    for (i = 0; i < n; i++)
        y[i] = (x[i] * scale) * w[i];
    // a sum of squares that overflowed, or met NaN or infinity, is not below infinity
    return mean < INFINITY;
}

bool Q4_NAME(q4_layer_norm)(float *y, const float *x, size_t n, float eps) {
    float s[16] = {0};
    for (size_t i = 0; i < n; i++)
        s[i % 16] += x[i];
    float mean = q4_fold16(s) / (float)n;
    memset(s, 0, sizeof s);
    for (size_t i = 0; i < n; i++) {
        float apart = x[i] - mean;
        s[i % 16] = fmaf(apart, apart, s[i % 16]);
    }
    float variance = q4_fold16(s) / (float)n;
    float scale = 1.0f / sqrtf(variance + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * scale;
    return variance < INFINITY;
}

void Q4_NAME(q4_clamp)(float *y, size_t n, float limit) {
    for (size_t i = 0; i < n; i++) {
        y[i] = y[i] > limit ? limit : y[i];
        y[i] = y[i] < -limit ? -limit : y[i];
    }
}

void Q4_NAME(q4_add)(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

void Q4_NAME(q4_scale)(float *y, size_t n, float scale) {
    for (size_t i = 0; i < n; i++)
        y[i] *= scale;
}

void Q4_NAME(q4_swiglu)(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++)
        y[i] = q4_silu(gate[i]) * up[i];
}

void Q4_NAME(q4_geglu)(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++)
        y[i] = q4_gelu(gate[i]) * up[i];
}

void Q4_NAME(q4_cap)(float *y, size_t n, float cap) {
    for (size_t i = 0; i < n; i++)
        y[i] = q4_soft_cap(y[i], cap);
}
