// The one list of operations.
#include "operations.h"

extern const struct q4_op_class q4_op_embed, q4_op_rms_norm, q4_op_quantize, q4_op_matmul, q4_op_rope, q4_op_kv_store,
    q4_op_attention, q4_op_swiglu, q4_op_layer_norm, q4_op_clamp, q4_op_router, q4_op_experts, q4_op_experts_sum,
    q4_op_gate_up;

const struct q4_op_class *const q4_operations[Q4_OP_KINDS] = {
    [Q4_OP_EMBED] = &q4_op_embed,
    [Q4_OP_RMS_NORM] = &q4_op_rms_norm,
    [Q4_OP_QUANTIZE] = &q4_op_quantize,
    [Q4_OP_MATMUL] = &q4_op_matmul,
    [Q4_OP_ROPE] = &q4_op_rope,
    [Q4_OP_KV_STORE] = &q4_op_kv_store,
    [Q4_OP_ATTENTION] = &q4_op_attention,
    [Q4_OP_SWIGLU] = &q4_op_swiglu,
    [Q4_OP_LAYER_NORM] = &q4_op_layer_norm,
    [Q4_OP_CLAMP] = &q4_op_clamp,
    [Q4_OP_ROUTER] = &q4_op_router,
    [Q4_OP_EXPERTS] = &q4_op_experts,
    [Q4_OP_EXPERTS_SUM] = &q4_op_experts_sum,
    [Q4_OP_GATE_UP] = &q4_op_gate_up,
};
