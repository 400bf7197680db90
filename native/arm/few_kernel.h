// The kernel FUNCTION(): activations are packed, then meet all panels. Included behind few_panels.h with COLUMNS of a
// block and, for SMMLA, PACK(PAIRS) and WITH_SUMS: whether the sums of activations are packed too; else with PACKING.
#ifdef FEW_I8MM
size_t Q4_JOIN(FUNCTION(), scratch)(size_t k) { return pairs_scratch(k, COLUMNS, WITH_SUMS); }

void FUNCTION()(const struct q4_task *task) {
    if (task->n_tokens <= 2)
        pack_pairs(task, 1, COLUMNS, WITH_SUMS, PACK(1));
    else if (task->n_tokens <= 4)
        pack_pairs(task, 2, COLUMNS, WITH_SUMS, PACK(2));
    else
        pack_pairs(task, 4, COLUMNS, WITH_SUMS, PACK(4));
    few_panels(task);
}
#else
size_t Q4_JOIN(FUNCTION(), scratch)(size_t k) { return few_scratch(PACKING, k); }

void FUNCTION()(const struct q4_task *task) {
    few_pack(PACKING, task);
    few_panels(task);
}
#endif
