// The Arm kernels, best first, and the choice between the variants of the other operations.
#include "../cpu.h"
#include "../matmul/matmul.h"
#include "acts_pack.h"
#include "k16.h"
#include "lane16.h"
#include "q6b.h"

#include <pthread.h>

#define DECLARE_GEMV(NAME) void NAME(const struct q4_task *);
#define DECLARE_GEMM(NAME)                                                                                             \
    void NAME(const struct q4_task *);                                                                                 \
    size_t NAME##_scratch(size_t k);

DECLARE_GEMV(q4_gemv_q4_0_dotprod_fhm)
DECLARE_GEMV(q4_gemv_q4_1_dotprod_fhm)
DECLARE_GEMV(q4_gemv_q5_0_dotprod_fhm)
DECLARE_GEMV(q4_gemv_q5_1_dotprod_fhm)
DECLARE_GEMV(q4_gemv_iq4_nl_dotprod_fhm)
DECLARE_GEMV(q4_gemv_q8_0_dotprod_fhm)
DECLARE_GEMV(q4_gemv_q4_0_dotprod)
DECLARE_GEMV(q4_gemv_q4_1_dotprod)
DECLARE_GEMV(q4_gemv_q5_0_dotprod)
DECLARE_GEMV(q4_gemv_q5_1_dotprod)
DECLARE_GEMV(q4_gemv_iq4_nl_dotprod)
DECLARE_GEMV(q4_gemv_q8_0_dotprod)
DECLARE_GEMV(q4_gemv_q6_k_dotprod)
DECLARE_GEMV(q4_gemv_q4_k_dotprod)
DECLARE_GEMV(q4_gemv_q5_k_dotprod)
DECLARE_GEMV(q4_gemv_iq4_xs_dotprod)
DECLARE_GEMV(q4_gemv_q3_k_dotprod)
DECLARE_GEMV(q4_gemv_q2_k_dotprod)
DECLARE_GEMM(q4_few_q4_0_dotprod)
DECLARE_GEMM(q4_few_q4_1_dotprod)
DECLARE_GEMM(q4_few_q5_0_dotprod)
DECLARE_GEMM(q4_few_q5_1_dotprod)
DECLARE_GEMM(q4_few_iq4_nl_dotprod)
DECLARE_GEMM(q4_few_q8_0_dotprod)
DECLARE_GEMM(q4_few_q6_k_dotprod)
DECLARE_GEMM(q4_few_q4_k_dotprod)
DECLARE_GEMM(q4_few_q5_k_dotprod)
DECLARE_GEMM(q4_few_iq4_xs_dotprod)
DECLARE_GEMM(q4_few_q3_k_dotprod)
DECLARE_GEMM(q4_few_q2_k_dotprod)
DECLARE_GEMM(q4_few_q4_0_i8mm_fhm)
DECLARE_GEMM(q4_few_q5_0_i8mm_fhm)
DECLARE_GEMM(q4_few_q8_0_i8mm_fhm)
DECLARE_GEMM(q4_few_q4_0_i8mm)
DECLARE_GEMM(q4_few_q4_1_i8mm)
DECLARE_GEMM(q4_few_q5_0_i8mm)
DECLARE_GEMM(q4_few_q5_1_i8mm)
DECLARE_GEMM(q4_few_iq4_nl_i8mm)
DECLARE_GEMM(q4_few_q8_0_i8mm)
DECLARE_GEMM(q4_few_q6_k_i8mm)
DECLARE_GEMM(q4_few_q4_k_i8mm)
DECLARE_GEMM(q4_few_q5_k_i8mm)
DECLARE_GEMM(q4_few_iq4_xs_i8mm)
DECLARE_GEMM(q4_few_q3_k_i8mm)
DECLARE_GEMM(q4_few_q2_k_i8mm)
DECLARE_GEMM(q4_gemm_q4_0_i8mm)
DECLARE_GEMM(q4_gemm_q4_1_i8mm)
DECLARE_GEMM(q4_gemm_q5_0_i8mm)
DECLARE_GEMM(q4_gemm_q5_1_i8mm)
DECLARE_GEMM(q4_gemm_iq4_nl_i8mm)
DECLARE_GEMM(q4_gemm_q8_0_i8mm)
DECLARE_GEMM(q4_gemm_q6_k_i8mm)
DECLARE_GEMM(q4_gemm_q4_k_i8mm)
DECLARE_GEMM(q4_gemm_q5_k_i8mm)
DECLARE_GEMM(q4_gemm_iq4_xs_i8mm)
DECLARE_GEMM(q4_gemm_q3_k_i8mm)
DECLARE_GEMM(q4_gemm_q2_k_i8mm)
DECLARE_GEMM(q4_gemm_q4_0_dotprod)
DECLARE_GEMM(q4_gemm_q4_1_dotprod)
DECLARE_GEMM(q4_gemm_q5_0_dotprod)
DECLARE_GEMM(q4_gemm_q5_1_dotprod)
DECLARE_GEMM(q4_gemm_iq4_nl_dotprod)
DECLARE_GEMM(q4_gemm_q8_0_dotprod)
DECLARE_GEMM(q4_gemm_q6_k_dotprod)
DECLARE_GEMM(q4_gemm_q4_k_dotprod)
DECLARE_GEMM(q4_gemm_q5_k_dotprod)
DECLARE_GEMM(q4_gemm_iq4_xs_dotprod)
DECLARE_GEMM(q4_gemm_q3_k_dotprod)
DECLARE_GEMM(q4_gemm_q2_k_dotprod)

// NAME: of the kernel, whose function for one token is ONE's, and for a few more FEW's. The latter's scratch is the
// larger. MOST tokens: more are faster by GEMM. Types whose kernels are assembly take all.
#define GEMV(TYPE, LAYOUT, NAME, ONE, FEW, MOST, FEATURES)                                                             \
    {.name = #TYPE "_gemv_" #NAME,                                                                                     \
     .layout = &q4_##LAYOUT##_##TYPE,                                                                                  \
     .features = FEATURES,                                                                                             \
     .max_tokens = MOST,                                                                                               \
     .scratch = q4_few_##TYPE##_##FEW##_scratch,                                                                       \
     .run = q4_gemv_##TYPE##_##ONE,                                                                                    \
     .few = q4_few_##TYPE##_##FEW},

// FEW_ASSEMBLY: of the types whose kernels for a few tokens by SMMLA are assembly, of which there are two.
#define GEMV_BLOCKS(NAME, ONE, FEW_ASSEMBLY, FEW, MOST, FEATURES)                                                      \
    GEMV(q4_0, lane16, NAME, ONE, FEW_ASSEMBLY, Q4_FEW_TOKENS, FEATURES)                                               \
    GEMV(q4_1, lane16, NAME, ONE, FEW, MOST, FEATURES)                                                                 \
    GEMV(q5_0, lane16, NAME, ONE, FEW_ASSEMBLY, Q4_FEW_TOKENS, FEATURES)                                               \
    GEMV(q5_1, lane16, NAME, ONE, FEW, MOST, FEATURES)                                                                 \
    GEMV(iq4_nl, lane16, NAME, ONE, FEW, MOST, FEATURES)                                                               \
    GEMV(q8_0, lane16, NAME, ONE, FEW_ASSEMBLY, Q4_FEW_TOKENS, FEATURES)
#define GEMV_SUPER(NAME, FEW, MOST, FEATURES)                                                                          \
    GEMV(q6_k, q6b, NAME, dotprod, FEW, Q4_FEW_TOKENS, FEATURES)                                                       \
    GEMV(q4_k, k16, NAME, dotprod, FEW, Q4_FEW_TOKENS, FEATURES)                                                       \
    GEMV(q5_k, k16, NAME, dotprod, FEW, Q4_FEW_TOKENS, FEATURES)                                                       \
    GEMV(iq4_xs, k16, NAME, dotprod, FEW, MOST, FEATURES)                                                              \
    GEMV(q3_k, k16, NAME, dotprod, FEW, MOST, FEATURES)                                                                \
    GEMV(q2_k, k16, NAME, dotprod, FEW, MOST, FEATURES)

#define GEMM(TYPE, LAYOUT, ISA, FEATURES, PACKING)                                                                     \
    {.name = #TYPE "_gemm_" #ISA,                                                                                      \
     .layout = &q4_##LAYOUT##_##TYPE,                                                                                  \
     .features = FEATURES,                                                                                             \
     .max_tokens = SIZE_MAX,                                                                                           \
     .packing = &PACKING,                                                                                              \
     .scratch = q4_gemm_##TYPE##_##ISA##_scratch,                                                                      \
     .run = q4_gemm_##TYPE##_##ISA}

// Q4_NO_…: kernels that were left out of this build. All of them need dotprod: the i8mm kernels share its layout.
const struct q4_kernel q4_arch_kernels[] = {
#ifndef Q4_NO_DOTPROD
#if !defined Q4_NO_FHM && !defined Q4_NO_I8MM
    GEMV_BLOCKS(i8mm_fhm, dotprod_fhm, i8mm_fhm, i8mm, 4, Q4_CPU_DOTPROD | Q4_CPU_FHM | Q4_CPU_I8MM)
#endif
#ifndef Q4_NO_FHM
        GEMV_BLOCKS(dotprod_fhm, dotprod_fhm, dotprod, dotprod, 8, Q4_CPU_DOTPROD | Q4_CPU_FHM)
#endif
#ifndef Q4_NO_I8MM
            GEMV_BLOCKS(i8mm, dotprod, i8mm, i8mm, 4, Q4_CPU_DOTPROD | Q4_CPU_I8MM)
                GEMV_SUPER(i8mm, i8mm, 4, Q4_CPU_DOTPROD | Q4_CPU_I8MM)
#endif
                    GEMV_BLOCKS(dotprod, dotprod, dotprod, dotprod, 8, Q4_CPU_DOTPROD)
                        GEMV_SUPER(dotprod, dotprod, 8, Q4_CPU_DOTPROD)
#ifndef Q4_NO_I8MM
                            GEMM(q4_0, lane16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8),
    GEMM(q4_1, lane16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8_sum),
    GEMM(q5_0, lane16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8),
    GEMM(q5_1, lane16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8_sum),
    GEMM(iq4_nl, lane16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8),
    GEMM(q8_0, lane16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8),
    GEMM(q6_k, q6b, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8_k),
    GEMM(q4_k, k16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8_k),
    GEMM(q5_k, k16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8_k),
    GEMM(iq4_xs, k16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8_k),
    GEMM(q3_k, k16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8_k),
    GEMM(q2_k, k16, i8mm, Q4_CPU_DOTPROD | Q4_CPU_I8MM, q4_pairs8_k_16),
#endif
    GEMM(q4_0, lane16, dotprod, Q4_CPU_DOTPROD, q4_quad4),
    GEMM(q4_1, lane16, dotprod, Q4_CPU_DOTPROD, q4_quad4),
    GEMM(q5_0, lane16, dotprod, Q4_CPU_DOTPROD, q4_quad4),
    GEMM(q5_1, lane16, dotprod, Q4_CPU_DOTPROD, q4_quad4),
    GEMM(iq4_nl, lane16, dotprod, Q4_CPU_DOTPROD, q4_quad4),
    GEMM(q8_0, lane16, dotprod, Q4_CPU_DOTPROD, q4_quad4),
    GEMM(q6_k, q6b, dotprod, Q4_CPU_DOTPROD, q4_quad4_k),
    GEMM(q4_k, k16, dotprod, Q4_CPU_DOTPROD, q4_quad4_k),
    GEMM(q5_k, k16, dotprod, Q4_CPU_DOTPROD, q4_quad4_k),
    GEMM(iq4_xs, k16, dotprod, Q4_CPU_DOTPROD, q4_quad4_k),
    GEMM(q3_k, k16, dotprod, Q4_CPU_DOTPROD, q4_quad4_k),
    GEMM(q2_k, k16, dotprod, Q4_CPU_DOTPROD, q4_quad4_k_16),
#endif
    {0},
};

bool q4_quantize_q8_neon(const float *, size_t, int8_t *, float *, int32_t *);
bool q4_quantize_q8k_neon(const float *, size_t, int8_t *, float *, int32_t *);
bool q4_kv_store_neon(void *, void *, const float *, const float *, size_t, size_t);
bool q4_kv_store_q8_0_neon(void *, void *, const float *, const float *, size_t, size_t);
void q4_rope_neon(float *, const float *, size_t, enum q4_rope_style);
void q4_swiglu_neon(float *, const float *, const float *, size_t);
void q4_geglu_neon(float *, const float *, const float *, size_t);
void q4_cap_neon(float *, size_t, float);
void q4_add_neon(float *, const float *, size_t);
bool q4_all_finite_neon(const float *, size_t);
void q4_attention_neon(float *, q4_attn_state *, const float *, const q4_attn_args *);
void q4_attention_q8_0_neon(float *, q4_attn_state *, const float *, const q4_attn_args *);
void q4_attention_fhm(float *, q4_attn_state *, const float *, const q4_attn_args *);
void q4_attention_q8_0_dotprod(float *, q4_attn_state *, const float *, const q4_attn_args *);

// The compiled operations with those of this folder in place of some entries.
static struct q4_ops ops_neon, ops_dotprod, ops_fhm, ops_dotprod_fhm;

static void fill_ops(void) {
    ops_neon = q4_ops_base;
    ops_neon.name = "neon";
    ops_neon.quantize[Q4_ACT_Q8] = q4_quantize_q8_neon;
    ops_neon.quantize[Q4_ACT_Q8K] = q4_quantize_q8k_neon;
    ops_neon.rope = q4_rope_neon;
    ops_neon.kv[Q4_KV_F16].store = q4_kv_store_neon;
    ops_neon.kv[Q4_KV_Q8_0].store = q4_kv_store_q8_0_neon;
    ops_neon.gated[Q4_ACTIVATION_SILU] = q4_swiglu_neon;
    ops_neon.gated[Q4_ACTIVATION_GELU] = q4_geglu_neon;
    ops_neon.cap = q4_cap_neon;
    ops_neon.add = q4_add_neon;
    ops_neon.all_finite = q4_all_finite_neon;
    ops_neon.kv[Q4_KV_F16].attention = q4_attention_neon;
    ops_neon.kv[Q4_KV_Q8_0].attention = q4_attention_q8_0_neon;
    ops_dotprod = ops_neon;
#ifndef Q4_NO_DOTPROD
    ops_dotprod.name = "neon_dotprod";
    ops_dotprod.kv[Q4_KV_Q8_0].attention = q4_attention_q8_0_dotprod;
#endif
    ops_fhm = ops_neon;
    ops_dotprod_fhm = ops_dotprod;
#ifndef Q4_NO_FHM
    ops_fhm.name = "neon_fhm";
    ops_dotprod_fhm.name = "neon_dotprod_fhm";
    ops_fhm.kv[Q4_KV_F16].attention = ops_dotprod_fhm.kv[Q4_KV_F16].attention = q4_attention_fhm;
#endif
}

const struct q4_ops *q4_arch_ops(uint32_t features) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_ops);
    if (features & Q4_CPU_DOTPROD)
        return features & Q4_CPU_FHM ? &ops_dotprod_fhm : &ops_dotprod;
    return features & Q4_CPU_FHM ? &ops_fhm : &ops_neon;
}
