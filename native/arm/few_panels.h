// Panels times a few tokens, in the parts that the assembly has. Included with LEAST_WIDTH, PANEL_ROWS, PANEL_BYTES(K)
// and
//   panel_times(task, panel, row, token, n, width): a panel times n <= width tokens from `token` on

FEW_INLINE void panels_times(const struct q4_task *task, size_t width) {
    const uint8_t *panel = task->weights;
    for (size_t row = 0; row < task->n_rows; row += PANEL_ROWS, panel += PANEL_BYTES(task->k))
        panel_times(task, panel, row, 0, task->n_tokens, width);
}

#ifdef FEW_I8MM
static void few_panels(const struct q4_task *task) {
    if (task->n_tokens <= 2 && LEAST_WIDTH <= 2)
        panels_times(task, LEAST_WIDTH);
    else if (task->n_tokens <= 4)
        panels_times(task, 4);
    else
        panels_times(task, 8);
}
#else
// Four tokens and the other one or two: that is less than eight.
static void panels_times_5_or_6(const struct q4_task *task) {
    const uint8_t *panel = task->weights;
    for (size_t row = 0; row < task->n_rows; row += PANEL_ROWS, panel += PANEL_BYTES(task->k)) {
        panel_times(task, panel, row, 0, 4, 4);
        panel_times(task, panel, row, 4, task->n_tokens - 4, 2);
    }
}

static void few_panels(const struct q4_task *task) {
    if (task->n_tokens <= 2)
        panels_times(task, 2);
    else if (task->n_tokens == 3)
        panels_times(task, 3);
    else if (task->n_tokens == 4)
        panels_times(task, 4);
    else if (task->n_tokens <= 6)
        panels_times_5_or_6(task);
    else
        panels_times(task, 8);
}
#endif
