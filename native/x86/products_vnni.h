// Sums of products where one instruction adds them to int32: nothing has to fit 16 bits (vec_avx2.h). Includer:
// vec_*.h
#define AT_ONCE(FIT, ALL) (ALL)
#define OFFSETS_APART 0
static inline vi products_start(vi sum) { return sum; }
static inline vi products_sum(vi products, vi sum) { return (void)sum, products; }
static inline vi products_of_bytes(vi sum, vi w, vi s) { return dot4(sum, w, s); }
static inline vi scale_form(vi scale) { return scale; }
static inline vi products_scaled(vi products, vi scale, vi sum) {
    return vi_keep(vi_add(sum, vi_mul(products, scale)));
}
