#include "super_search.h"

#define STEPS 21            // of the grid: the sub-block's range is cut into top - 1, top - 0.9 ... top + 1 parts
#define NEGLIGIBLE 0x1p-40f // of a super-block whose largest value is 1: far below its smallest step

// A sub-block: its values, how much the error of each counts, and the sums of both that every line needs.
struct values {
    const float *y;
    float weight[2 * LANES];
    float weights, weighted; // sum of weights, of weight * y
    int n;
};

struct line {
    float slope, minimum; // y = slope q - minimum
};

static void weigh(struct values *v, const float *y, const float *importance, int n) {
    float weights[LANES] = {0}, weighted[LANES] = {0};
    emphasise(y, importance, n, v->weight);
    for (int i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            weights[j] += v->weight[i + j];
            weighted[j] += v->weight[i + j] * y[i + j];
        }
    v->y = y;
    v->n = n;
    v->weights = q4_fold16(weights);
    v->weighted = q4_fold16(weighted);
}

// The quants nearest to a line, and the weighted squared error that they leave.
static float round_to_line(const struct values *v, struct line line, float top, float *restrict q) {
    float errors[LANES] = {0}, inverse = line.slope > 0.0f ? 1.0f / line.slope : 0.0f;
    for (int i = 0; i < v->n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            q[i + j] = round_to((v->y[i + j] + line.minimum) * inverse, 0.0f, top);
            float e = v->y[i + j] - (line.slope * q[i + j] - line.minimum);
            errors[j] += v->weight[i + j] * (e * e);
        }
    return q4_fold16(errors);
}

// The least-squares line for given quants; one with a minimum below zero goes through the origin instead.
static struct line fit(const struct values *v, const float *q) {
    float sum[LANES] = {0}, squares[LANES] = {0}, cross[LANES] = {0};
    for (int i = 0; i < v->n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            float wq = v->weight[i + j] * q[i + j];
            sum[j] += wq;
            squares[j] += wq * q[i + j];
            cross[j] += wq * v->y[i + j];
        }
    float s = q4_fold16(sum), ss = q4_fold16(squares), c = q4_fold16(cross);
    float determinant = v->weights * ss - s * s;
    struct line line = {0.0f, 0.0f};
    if (determinant > 0.0f) {
        line.slope = (v->weights * c - v->weighted * s) / determinant;
        line.minimum = (s * c - ss * v->weighted) / determinant;
    }
    if (line.minimum < 0.0f || !(determinant > 0.0f))
        line = (struct line){ss > 0.0f ? c / ss : 0.0f, 0.0f};
    line.slope = line.slope > 0.0f ? line.slope : 0.0f;
    return line;
}

static struct line best_line(const struct values *v, const struct lines *lines) {
    float low = v->y[0], high = v->y[0], best_error = 0.0f, q[2 * LANES];
    for (int i = 1; i < v->n; i++) {
        low = v->y[i] < low ? v->y[i] : low;
        high = v->y[i] > high ? v->y[i] : high;
    }
    low = low < 0.0f ? low : 0.0f;
    struct line best = {0.0f, -low};
    if (high - low < NEGLIGIBLE)
        return best;
    for (int k = 0; k < STEPS; k++) {
        struct line line = {(high - low) / ((float)lines->top + 0.1f * (float)(k - STEPS / 2)), -low};
        round_to_line(v, line, (float)lines->top, q);
        line = fit(v, q);
        float error = round_to_line(v, line, (float)lines->top, q);
        if (k == 0 || error < best_error) {
            best_error = error;
            best = line;
        }
    }
    return best;
}

// The integer scale and minimum of a sub-block under rounded super-scales, among those next to the line's.
static void fit_integers(const struct values *v, struct line line, float d, float dmin, const struct lines *lines,
                         int s, struct found_lines *found) {
    float most = (float)lines->top_scale, best_error = 0.0f, q[2 * LANES];
    float scale = d > 0.0f ? round_to(line.slope / d, 0.0f, most) : 0.0f;
    float minimum = dmin > 0.0f ? round_to(line.minimum / dmin, 0.0f, most) : 0.0f;
    bool first = true;
    for (float a = scale - 1.0f; a <= scale + 1.0f; a += 1.0f)
        for (float b = minimum - 1.0f; b <= minimum + 1.0f; b += 1.0f) {
            if (a < 0.0f || a > most || b < 0.0f || b > most)
                continue;
            float error = round_to_line(v, (struct line){d * a, dmin * b}, (float)lines->top, q);
            if (!first && error >= best_error)
                continue;
            first = false;
            best_error = error;
            found->scale[s] = (uint8_t)a;
            found->minimum[s] = (uint8_t)b;
            for (int i = 0; i < v->n; i++)
                found->q[s * v->n + i] = (uint8_t)q[i];
        }
}

bool find_lines(const float *x, const float *importance, const struct lines *lines, struct found_lines *found) {
    float size = fabsf(extreme(x, Q4_SUPER)), y[Q4_SUPER], largest = 0.0f, lowest = 0.0f;
    struct values values[Q4_MAX_SUBS];
    struct line line[Q4_MAX_SUBS];
    int n_subs = Q4_SUPER / lines->sub;
    memset(found, 0, sizeof *found);
    if (size >= LARGEST)
        return false;
    if (size < SMALLEST)
        return true;
    float unit = inverse_power(size);
    for (int i = 0; i < Q4_SUPER; i++)
        y[i] = x[i] * unit;
    for (int s = 0; s < n_subs; s++) {
        const float *counts = importance ? importance + s * lines->sub : NULL;
        weigh(&values[s], y + s * lines->sub, counts, lines->sub);
        line[s] = best_line(&values[s], lines);
        largest = line[s].slope > largest ? line[s].slope : largest;
        lowest = line[s].minimum > lowest ? line[s].minimum : lowest;
    }
    found->d = q4_float_to_half(largest / (float)lines->top_scale / unit);
    found->dmin = q4_float_to_half(lowest / (float)lines->top_scale / unit);
    if (!q4_half_is_finite(found->d) || !q4_half_is_finite(found->dmin))
        return false;
    for (int s = 0; s < n_subs; s++)
        fit_integers(&values[s], line[s], q4_half_to_float(found->d) * unit, q4_half_to_float(found->dmin) * unit,
                     lines, s, found);
    return true;
}
