#include "quantize.h"

#include "cpu.h"
#include "ops/q4math.h"

static bool all_finite(const float *x, size_t n) {
    uint32_t worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t a = q4_float_bits(x[i]) & 0x7fffffffu;
        worst = a > worst ? a : worst;
    }
    return worst < 0x7f800000u;
}

bool q4_quantize_supports(int number) {
    const struct q4_type *type = q4_find_type(q4_types_base, number);
    return type && type->search;
}

static size_t quantize_rows(const struct q4_type *type, enum q4_quantize_method method, const float *x,
                            const float *importance, size_t rows, size_t columns, uint8_t *out) {
    bool reference = method == Q4_QUANTIZE_REFERENCE && type->reference;
    for (size_t row = 0; row < rows; row++) {
        if (!all_finite(x, columns))
            return row;
        for (size_t column = 0; column < columns; column += type->columns, x += type->columns, out += type->bytes)
            if (!(reference ? type->reference(x, out) : type->search(x, importance ? importance + column : NULL, out)))
                return row;
    }
    return rows;
}

size_t q4_quantize_rows(int number, enum q4_quantize_method method, const float *x, const float *importance,
                        size_t rows, size_t columns, void *out) {
    if (!q4_quantize_supports(number))
        return 0;
    uint64_t fp = q4_fp_enter();
    size_t done = quantize_rows(q4_find_type(q4_types_base, number), method, x, importance, rows, columns, out);
    q4_fp_leave(fp);
    return done;
}
