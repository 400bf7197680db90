// The x86 kernels, best first, and the choice between the variants of the other operations.
#include "../cpu.h"
#include "layouts.h"

#include <pthread.h>

#define NEEDS_AVX2 Q4_CPU_AVX2
#define NEEDS_AVXVNNI (Q4_CPU_AVX2 | Q4_CPU_AVXVNNI)
#define NEEDS_AVX512VNNI (Q4_CPU_AVX2 | Q4_CPU_AVX512 | Q4_CPU_AVX512VNNI)

#define BLOCK_TYPES(X, ISA, NEEDS)                                                                                     \
    X(q4_0, ISA, NEEDS)                                                                                                \
    X(q4_1, ISA, NEEDS) X(q5_0, ISA, NEEDS) X(q5_1, ISA, NEEDS) X(q8_0, ISA, NEEDS) X(iq4_nl, ISA, NEEDS)
#define K_TYPES(X, ISA, NEEDS)                                                                                         \
    X(q2_k, ISA, NEEDS)                                                                                                \
    X(q3_k, ISA, NEEDS) X(q4_k, ISA, NEEDS) X(q5_k, ISA, NEEDS) X(q6_k, ISA, NEEDS) X(iq4_xs, ISA, NEEDS)

#define DECLARE_BLOCKS(TYPE, ISA, NEEDS)                                                                               \
    void q4_gemv_##TYPE##_##ISA(const struct q4_task *);                                                               \
    void q4_gemm_##TYPE##_##ISA(const struct q4_task *);                                                               \
    size_t q4_gemm_##TYPE##_##ISA##_scratch(size_t k);
#define DECLARE_K(TYPE, ISA, NEEDS)                                                                                    \
    size_t q4_gemv_##TYPE##_##ISA##_scratch(size_t k);                                                                 \
    DECLARE_BLOCKS(TYPE, ISA, NEEDS)
#define DECLARE(ISA) BLOCK_TYPES(DECLARE_BLOCKS, ISA, ) K_TYPES(DECLARE_K, ISA, )

DECLARE(avx2)
DECLARE(avxvnni)
DECLARE(avx512vnni)

#define GEMV(TYPE, ISA, NEEDS, ...)                                                                                    \
    {.name = #TYPE "_gemv_" #ISA,                                                                                      \
     .layout = &q4_x86_layout_##TYPE,                                                                                  \
     .features = NEEDS,                                                                                                \
     .max_tokens = FEW_TOKENS_##ISA,                                                                                   \
     .run = q4_gemv_##TYPE##_##ISA,                                                                                    \
     __VA_ARGS__},
#define GEMM(TYPE, ACTS, ISA, NEEDS)                                                                                   \
    {.name = #TYPE "_gemm_" #ISA,                                                                                      \
     .layout = &q4_x86_layout_##TYPE,                                                                                  \
     .features = NEEDS,                                                                                                \
     .max_tokens = SIZE_MAX,                                                                                           \
     .adds = true,                                                                                                     \
     .packing = &q4_x86_acts_##ACTS,                                                                                   \
     .scratch = q4_gemm_##TYPE##_##ISA##_scratch,                                                                      \
     .run = q4_gemm_##TYPE##_##ISA},
#define BLOCK_KERNELS(TYPE, ISA, NEEDS) GEMV(TYPE, ISA, NEEDS) GEMM(TYPE, q8, ISA, NEEDS)
#define K_KERNELS(TYPE, ISA, NEEDS)                                                                                    \
    GEMV(TYPE, ISA, NEEDS, .scratch = q4_gemv_##TYPE##_##ISA##_scratch) GEMM(TYPE, k, ISA, NEEDS)
#define KERNELS(ISA, NEEDS) BLOCK_TYPES(BLOCK_KERNELS, ISA, NEEDS) K_TYPES(K_KERNELS, ISA, NEEDS)

const struct q4_kernel q4_arch_kernels[] = {
    KERNELS(avx512vnni, NEEDS_AVX512VNNI) KERNELS(avxvnni, NEEDS_AVXVNNI) KERNELS(avx2, NEEDS_AVX2){0},
};

extern const struct q4_ops q4_ops_avx2, q4_ops_avx512;

#define DECLARE_OPS(ISA)                                                                                               \
    bool q4_quantize_q8_vector_##ISA(const float *, size_t, int8_t *, float *, int32_t *);                             \
    bool q4_quantize_q8k_vector_##ISA(const float *, size_t, int8_t *, float *, int32_t *);                            \
    void q4_rope_vector_##ISA(float *, const float *, size_t, enum q4_rope_style);                                     \
    bool q4_kv_store_vector_##ISA(void *, void *, const float *, const float *, size_t, size_t);                       \
    bool q4_kv_store_q8_0_vector_##ISA(void *, void *, const float *, const float *, size_t, size_t);                  \
    bool q4_kv_store_16_vector_##ISA(void *, void *, const float *, const float *, size_t, size_t, size_t);            \
    void q4_attention_grouped_##ISA(float *, q4_attn_state *, const float *, const q4_attn_args *);                    \
    void q4_swiglu_vector_##ISA(float *, const float *, const float *, size_t);                                        \
    void q4_geglu_vector_##ISA(float *, const float *, const float *, size_t);                                         \
    void q4_cap_vector_##ISA(float *, size_t, float);

DECLARE_OPS(avx2)
DECLARE_OPS(avx512)
void q4_attention_q8_0_grouped_avx2(float *, q4_attn_state *, const float *, const q4_attn_args *);
void q4_attention_q8_0_grouped_avxvnni(float *, q4_attn_state *, const float *, const q4_attn_args *);
void q4_attention_q8_0_grouped_avx512vnni(float *, q4_attn_state *, const float *, const q4_attn_args *);

// The compiled variants with kernels of this folder in place of some entries.
static struct q4_ops ops_avx2, ops_avxvnni, ops_avx512, ops_avx512vnni;

#define FILL_OPS(ISA)                                                                                                  \
    ops_##ISA = q4_ops_##ISA;                                                                                          \
    ops_##ISA.quantize[Q4_ACT_Q8] = q4_quantize_q8_vector_##ISA;                                                       \
    ops_##ISA.quantize[Q4_ACT_Q8K] = q4_quantize_q8k_vector_##ISA;                                                     \
    ops_##ISA.rope = q4_rope_vector_##ISA;                                                                             \
    ops_##ISA.kv[Q4_KV_F16].store = q4_kv_store_vector_##ISA;                                                          \
    ops_##ISA.kv[Q4_KV_F16].store_16 = q4_kv_store_16_vector_##ISA;                                                    \
    ops_##ISA.kv[Q4_KV_Q8_0].store = q4_kv_store_q8_0_vector_##ISA;                                                    \
    ops_##ISA.kv[Q4_KV_F16].attention = q4_attention_grouped_##ISA;                                                    \
    ops_##ISA.kv[Q4_KV_Q8_0].attention = q4_attention_q8_0_grouped_avx2;                                               \
    ops_##ISA.attention_tokens = 6; /* of whole groups, for any number of heads */                                     \
    ops_##ISA.attention_rows = 36;                                                                                     \
    ops_##ISA.gated[Q4_ACTIVATION_SILU] = q4_swiglu_vector_##ISA;                                                      \
    ops_##ISA.gated[Q4_ACTIVATION_GELU] = q4_geglu_vector_##ISA;                                                       \
    ops_##ISA.cap = q4_cap_vector_##ISA;

static void fill_ops(void) {
    FILL_OPS(avx2)
    FILL_OPS(avx512)
    ops_avxvnni = ops_avx2;
    ops_avxvnni.name = "avxvnni";
    ops_avxvnni.kv[Q4_KV_Q8_0].attention = q4_attention_q8_0_grouped_avxvnni;
    ops_avx512vnni = ops_avx512;
    ops_avx512vnni.name = "avx512vnni";
    ops_avx512vnni.kv[Q4_KV_Q8_0].attention = q4_attention_q8_0_grouped_avx512vnni;
}

const struct q4_ops *q4_arch_ops(uint32_t features) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_ops);
    if (features & Q4_CPU_AVX512)
        return features & Q4_CPU_AVX512VNNI ? &ops_avx512vnni : &ops_avx512;
    if (features & Q4_CPU_AVX2)
        return features & Q4_CPU_AVXVNNI ? &ops_avxvnni : &ops_avx2;
    return &q4_ops_base;
}
