// One variant's table of operations.
#include "ops.h"

bool Q4_NAME(q4_rms_norm)(float *, const float *, const float *, size_t, float);
bool Q4_NAME(q4_quantize_q8)(const float *, size_t, int8_t *, float *, int32_t *);
bool Q4_NAME(q4_quantize_q8k)(const float *, size_t, int8_t *, float *, int32_t *);
void Q4_NAME(q4_rope)(float *, const float *, size_t, enum q4_rope_style);
bool Q4_NAME(q4_kv_store)(void *, void *, const float *, const float *, size_t, size_t);
bool Q4_NAME(q4_kv_store_q8_0)(void *, void *, const float *, const float *, size_t, size_t);
void Q4_NAME(q4_attention)(float *, q4_attn_state *, const float *, const q4_attn_args *);
void Q4_NAME(q4_attention_q8_0)(float *, q4_attn_state *, const float *, const q4_attn_args *);
void Q4_NAME(q4_attention_merge)(float *, q4_attn_state *, const float *, q4_attn_state, size_t);
void Q4_NAME(q4_attention_finish)(float *, float, size_t);
void Q4_NAME(q4_swiglu)(float *, const float *, const float *, size_t);
void Q4_NAME(q4_geglu)(float *, const float *, const float *, size_t);
void Q4_NAME(q4_cap)(float *, size_t, float);
void Q4_NAME(q4_scale)(float *, size_t, float);
void Q4_NAME(q4_clamp)(float *, size_t, float);
bool Q4_NAME(q4_layer_norm)(float *, const float *, size_t, float);
void Q4_NAME(q4_add)(float *, const float *, size_t);
void Q4_NAME(q4_add_scaled)(float *, const float *, size_t, float);
bool Q4_NAME(q4_route)(int32_t *, float *, const float *, size_t, size_t, bool);
float Q4_NAME(q4_sigmoid)(float);
extern const struct q4_type *const Q4_NAME(q4_types)[];
bool Q4_NAME(q4_all_finite)(const float *, size_t);
void Q4_NAME(q4_dot16_f32)(float[16], const float *, const float *, size_t);
void Q4_NAME(q4_dot16_f16)(float[16], const uint16_t *, const float *, size_t);
void Q4_NAME(q4_dot16_bf16)(float[16], const uint16_t *, const float *, size_t);

#define Q4_STRING_(x) #x
#define Q4_STRING(x) Q4_STRING_(x)

const struct q4_ops Q4_NAME(q4_ops) = {
    .name = Q4_STRING(Q4_VARIANT),
    .types = Q4_NAME(q4_types),
    .rms_norm = Q4_NAME(q4_rms_norm),
    .quantize = {[Q4_ACT_Q8] = Q4_NAME(q4_quantize_q8), [Q4_ACT_Q8K] = Q4_NAME(q4_quantize_q8k)},
    .rope = Q4_NAME(q4_rope),
    .kv = {[Q4_KV_F16] = {.store = Q4_NAME(q4_kv_store), .attention = Q4_NAME(q4_attention)},
           [Q4_KV_Q8_0] = {.store = Q4_NAME(q4_kv_store_q8_0), .attention = Q4_NAME(q4_attention_q8_0)}},
    .attention_tokens = 8,
    .attention_merge = Q4_NAME(q4_attention_merge),
    .attention_finish = Q4_NAME(q4_attention_finish),
    .gated = {[Q4_ACTIVATION_SILU] = Q4_NAME(q4_swiglu), [Q4_ACTIVATION_GELU] = Q4_NAME(q4_geglu)},
    .cap = Q4_NAME(q4_cap),
    .scale = Q4_NAME(q4_scale),
    .clamp = Q4_NAME(q4_clamp),
    .layer_norm = Q4_NAME(q4_layer_norm),
    .add = Q4_NAME(q4_add),
    .add_scaled = Q4_NAME(q4_add_scaled),
    .route = Q4_NAME(q4_route),
    .sigmoid = Q4_NAME(q4_sigmoid),
    .all_finite = Q4_NAME(q4_all_finite),
    .dot16_f32 = Q4_NAME(q4_dot16_f32),
    .dot16_f16 = Q4_NAME(q4_dot16_f16),
    .dot16_bf16 = Q4_NAME(q4_dot16_bf16),
};
