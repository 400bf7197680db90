// Quantisation of fp32 rows to GGUF's formats, which native/types has. Portable C under the arithmetic contract: every
// operation is IEEE and in one written order, so that a file has the same bytes on every machine.
#ifndef Q4_QUANTIZE_H
#define Q4_QUANTIZE_H

#include "types/types.h"

// Whether rows can be quantised to the type with GGUF's number.
bool q4_quantize_supports(int number);

// Quantises rows x columns floats at x to the type at out (contiguous rows). Columns must be a multiple of the type's
// block, and out as large as rows of that type are; the caller checks both. `importance` has a number > 0, at most 1,
// for each column, of how much errors in it count, or is NULL; the reference method knows none.
// Returns `rows`, or the index of the first row with a value that is not finite or that the type cannot hold (a scale
// or value beyond fp16's 65504); rows from there on are then not written.
size_t q4_quantize_rows(int number, enum q4_quantize_method method, const float *x, const float *importance,
                        size_t rows, size_t columns, void *out);

#endif
