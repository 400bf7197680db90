#include "model.h"

#include "memory.h"

#include <stdlib.h>

static bool place_weight(struct q4_model *model, struct q4_weight *w, char *error) {
    w->kernels = q4_select_kernels(w->type, model->features);
    const struct q4_layout *layout = w->kernels.gemv->layout;
    if (w->rows == 0 || w->k == 0 || w->k % layout->block_columns)
        return q4_plan_fail(
            error, "%s: %zu rows of %zu columns; %s needs a positive number of rows and columns in multiples of %zu",
            w->name, w->rows, w->k, w->type->name, layout->block_columns);
    if (w->rows >= Q4_MAX_ROWS)
        return q4_plan_fail(error, "%s: %zu rows; fewer than %zu are supported", w->name, w->rows, Q4_MAX_ROWS);
    size_t panels, panel;
    if (!q4_mul_size(w->k / layout->block_columns, layout->block_bytes, &panel) ||
        !q4_mul_size(q4_panels(w), w->matrices, &panels) || panels >= Q4_MAX_ROWS ||
        !q4_mul_size(panels, panel, &w->bytes) || w->bytes > SIZE_MAX / 4)
        return q4_plan_fail(error, "%s: %zu rows of %zu columns are too many", w->name, w->rows * w->matrices, w->k);
    return true;
}

bool q4_model_place_weights(struct q4_model *model, char *error) {
    size_t total = 0;
    model->few_tokens = SIZE_MAX;
    for (size_t i = 0; i < model->n_weights; i++) {
        if (!place_weight(model, &model->weights[i], error))
            return false;
        model->few_tokens = q4_min_size(model->few_tokens, model->weights[i].kernels.gemv->max_tokens);
        total = q4_round_up(total, 64) + model->weights[i].bytes + Q4_GAP;
    }
    if (model->few_tokens == SIZE_MAX) // kernels for any number alone
        model->few_tokens = Q4_FEW_TOKENS;
    // prefetching kernels may touch, never use, what lies a little behind the last weight
    model->arena_bytes = total + 64;
    model->arena = q4_alloc(model->arena_bytes, Q4_PAGES_HUGE);
    if (model->arena == NULL)
        return q4_plan_fail(error, "no memory for %zu bytes of packed weights", total);
    q4_close(model->arena, model->arena_bytes);
    size_t at = 0;
    for (size_t i = 0; i < model->n_weights; i++) {
        at = q4_round_up(at, 64);
        model->weights[i].data = model->arena + at;
        q4_open(model->weights[i].data, model->weights[i].bytes);
        at += model->weights[i].bytes + Q4_GAP;
    }
    return true;
}

void q4_model_clear(struct q4_model *m) {
    q4_team_free(m->team);
    q4_free(m->arena, m->arena_bytes);
    for (size_t i = 0; m->vectors && i < m->n_vectors; i++)
        free(m->vectors[i].data);
    for (size_t i = 0; m->rope_tables && i < m->n_rope_tables; i++) {
        free(m->rope_tables[i].frequency);
        free(m->rope_tables[i].far_frequency);
    }
    free(m->weights);
    free(m->vectors);
    free(m->tables);
    free(m->rope_tables);
    free(m->buffers);
    free(m->plan);
    free(m->kv_shapes);
    *m = (struct q4_model){0};
}
