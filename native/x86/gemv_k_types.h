// GEMV of all types with super-blocks. Includer: vec_*.h first, then ISA.
#include "unpack_k.h"

#define TYPE q2_k
#define SUB 16
#define DOT nibbles_dot
#define FIT 4
#define OFFSET 0
#define MINIMA
#include "gemv_k.h"

#define TYPE q3_k
#define SUB 16
#define DOT nibbles_dot
#define FIT 4
#define OFFSET 4
#include "gemv_k.h"

#define TYPE q4_k
#define SUB 32
#define DOT nibbles_dot
#define FIT 8
#define OFFSET 0
#define MINIMA
#include "gemv_k.h"

#define TYPE q5_k
#define SUB 32
#define DOT nibbles_dot
#define FIT 4
#define OFFSET 0
#define MINIMA
#include "gemv_k.h"

#define TYPE q6_k
#define SUB 16
#define DOT nibbles_dot
#define FIT 2
#define OFFSET 32
#include "gemv_k.h"

#define TYPE iq4_xs
#define SUB 32
#define DOT products_of_bytes
#define FIT 1
#define OFFSET BYTES_OFFSET
#include "gemv_k.h"
